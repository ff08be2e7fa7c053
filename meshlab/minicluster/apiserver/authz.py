"""Authorization: role-based access control over the rules in the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshlab.minicluster.apiserver.selectors import selector_from_object
from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.apiserver.users import User
from meshlab.minicluster.kubeapi import Obj

RBAC = "rbac.authorization.k8s.io"
_ROLES = f"{RBAC}/roles"
_CLUSTER_ROLES = f"{RBAC}/clusterroles"
_ROLE_BINDINGS = f"{RBAC}/rolebindings"
_CLUSTER_ROLE_BINDINGS = f"{RBAC}/clusterrolebindings"


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody wants to do: to a resource, or to a path that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """As rules name it: ``pods`` or ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def refusal(self, user: User) -> str:
        """Upstream's words for a 403."""
        if self.path:
            return f'User "{user.name}" cannot {self.verb} path "{self.path}"'
        where = f' in the namespace "{self.namespace}"' if self.namespace else " at the cluster scope"
        return (
            f'User "{user.name}" cannot {self.verb} resource "{self.full_resource}" in API group "{self.group}"{where}'
        )


class Authorizer:
    """Decides by the roles and bindings in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, action: Action) -> bool:
        """Whether the user may do it."""
        return self.reason(user, action) is not None

    def reason(self, user: User, action: Action) -> str | None:
        """By which binding the user may do it; None if by none."""
        if user.is_master:
            return ""
        for rule, origin in self._rules(user, action.namespace):
            if _permits(rule, action):
                return origin
        return None

    def rules(self, user: User, namespace: str) -> Iterator[Obj]:
        """All rules that hold for a user in a namespace."""
        if user.is_master:
            yield {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            yield {"verbs": ["*"], "nonResourceURLs": ["*"]}
        for rule, _ in self._rules(user, namespace):
            yield rule

    def _rules(self, user: User, namespace: str) -> Iterator[tuple[Obj, str]]:
        bindings = [(_CLUSTER_ROLE_BINDINGS, "")]
        if namespace:
            bindings.append((_ROLE_BINDINGS, namespace))
        for collection, scope in bindings:
            for _, record in self._store.collection(collection).scan(scope):
                binding = record.obj
                subject = next((s for s in binding.get("subjects") or () if _is(user, s, scope)), None)
                if subject is None:
                    continue
                reference = binding["roleRef"]
                name = binding["metadata"]["name"]
                kind = binding["kind"]
                where = f"{name}/{scope}" if scope else name
                origin = (
                    f'RBAC: allowed by {kind} "{where}" of {reference["kind"]} "{reference["name"]}" to '
                    f'{subject["kind"]} "{subject["name"]}"'
                )
                for rule in self._role_rules(reference, scope):
                    yield rule, origin

    def _role_rules(self, reference: Obj, namespace: str) -> Iterator[Obj]:
        if reference["kind"] == "Role":
            record = self._store.get(_ROLES, (namespace, reference["name"]))
        else:
            record = self._store.get(_CLUSTER_ROLES, ("", reference["name"]))
        if record is not None:
            yield from record.obj.get("rules") or ()
            yield from aggregated_rules(self._store, record.obj)


def aggregated_rules(store: Store, role: Obj) -> Iterator[Obj]:
    """The rules a ClusterRole gathers from others by their labels (``aggregationRule``)."""
    for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
        parsed = selector_from_object(selector)
        for _, record in store.collection(_CLUSTER_ROLES).scan():
            other = record.obj
            if other["metadata"]["name"] != role["metadata"]["name"] and parsed.matches(
                other["metadata"].get("labels")
            ):
                yield from other.get("rules") or ()
                yield from aggregated_rules(store, other)


def _is(user: User, subject: Obj, binding_namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            namespace = subject.get("namespace") or binding_namespace
            return user.name == f"system:serviceaccount:{namespace}:{subject['name']}"
    return False


def _permits(rule: Obj, action: Action) -> bool:
    if not {"*", action.verb} & set(rule.get("verbs") or ()):
        return False
    if action.path:
        return any(_covers(pattern, action.path) for pattern in rule.get("nonResourceURLs") or ())
    if not {"*", action.group} & set(rule.get("apiGroups") or ()):
        return False
    resources = {"*", action.full_resource}
    if action.subresource:
        resources.add(f"*/{action.subresource}")
    if not resources & set(rule.get("resources") or ()):
        return False
    names = rule.get("resourceNames")
    return not names or action.name in names


def _covers(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))
