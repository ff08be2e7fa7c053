"""Who is asking: the identity that authentication found and that authorization and admission judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshlab.minicluster.kubeapi import Obj

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
SERVICE_ACCOUNTS = "system:serviceaccounts"


@dataclass(frozen=True, slots=True)
class User:
    """A user as ``authentication.k8s.io`` knows one."""

    name: str
    groups: tuple[str, ...] = (AUTHENTICATED,)
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_master(self) -> bool:
        """Whether every request of this user is allowed."""
        return MASTERS in self.groups

    def to_user_info(self) -> Obj:
        """The ``UserInfo`` of reviews and admission requests."""
        info: Obj = {"username": self.name}
        if self.uid:
            info["uid"] = self.uid
        info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))


def service_account_user(
    namespace: str, name: str, uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None
) -> User:
    """The user that a pod of that ServiceAccount is."""
    groups = (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra or {})


def in_process_user(name: str) -> User:
    """The identity of a part of the mini-cluster itself, trusted because it shares this process."""
    groups = [MASTERS]
    if name.startswith("system:node:"):
        groups.append("system:nodes")
    parts = name.split(":")
    if name.startswith("system:serviceaccount:") and len(parts) == 4:
        groups += [SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{parts[2]}"]
    return User(name, (*groups, AUTHENTICATED))
