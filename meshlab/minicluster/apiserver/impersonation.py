"""Acting as somebody else (``kubectl --as``), which itself has to be allowed."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.authz import Action, Authorizer
from meshlab.minicluster.apiserver.users import (
    ANONYMOUS,
    AUTHENTICATED,
    SERVICE_ACCOUNTS,
    UNAUTHENTICATED,
    User,
)
from meshlab.minicluster.kubeapi import StatusError

_USER, _GROUP, _UID, _EXTRA = "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "impersonate-extra-"


def impersonated(user: User, headers: CIMultiDictProxy[str], authorizer: Authorizer) -> User:
    """The user that the request wants to be, or the same one if it wants to be nobody else.

    Raises:
        StatusError: 403 if the user may not be that one.
    """
    name = headers.get(_USER)
    groups = headers.getall(_GROUP, [])
    if not name:
        if groups or _UID in headers:
            raise statuses.bad_request("requested impersonation without impersonating a user")
        return user
    extra: dict[str, tuple[str, ...]] = {}
    for key in headers:
        if key.lower().startswith(_EXTRA):
            extra[unquote(key[len(_EXTRA) :]).lower()] = tuple(headers.getall(key))
    for action in _actions(name, groups, headers.get(_UID, ""), extra):
        if not authorizer.allows(user, action):
            message = f'{action.resource} "{action.name}" is forbidden: {action.refusal(user)}'
            raise StatusError(403, "Forbidden", message, {"name": action.name, "kind": action.resource})
    found = list(groups)
    parts = name.split(":")
    if name.startswith("system:serviceaccount:") and len(parts) == 4 and not groups:
        found = [SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{parts[2]}"]
    implied = UNAUTHENTICATED if name == ANONYMOUS.name else AUTHENTICATED
    if implied not in found:
        found.append(implied)
    return User(name, tuple(found), headers.get(_UID, ""), extra)


def _actions(name: str, groups: list[str], uid: str, extra: dict[str, tuple[str, ...]]) -> Iterator[Action]:
    parts = name.split(":")
    if name.startswith("system:serviceaccount:") and len(parts) == 4:
        yield Action("impersonate", "", "serviceaccounts", namespace=parts[2], name=parts[3])
    else:
        yield Action("impersonate", "", "users", name=name)
    for group in groups:
        yield Action("impersonate", "", "groups", name=group)
    if uid:
        yield Action("impersonate", "authentication.k8s.io", "uids", name=uid)
    for key, values in extra.items():
        for value in values:
            yield Action("impersonate", "authentication.k8s.io", "userextras", subresource=key, name=value)
