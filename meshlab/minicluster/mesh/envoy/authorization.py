"""Authorization policies as filters in front of a workload, each action with one of its own.

The order is upstream's: CUSTOM (before tokens are looked at), then AUDIT, DENY, ALLOW. A filter is there only if some
policy wants it, and carries its rules itself, so that it also holds for requests that no route takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.externalauthz import BAD_PROVIDER, http_check, policy_prefix, tcp_check
from meshlab.minicluster.mesh.envoy.filters import HTTP, NETWORK
from meshlab.minicluster.mesh.envoy.rbac import NEVER, Ports, Writer, rbac_policy
from meshlab.minicluster.mesh.envoy.vocabulary import extension
from meshlab.minicluster.mesh.model import Labels, Mesh, Settings, matches
from meshlab.minicluster.mesh.policy import AuthorizationRule
from meshlab.minicluster.mesh.providers import ExternalAuthorizer
from meshlab.minicluster.mesh.scope import Scope

RBAC_ACTIONS = {"AUDIT": "LOG", "DENY": "DENY", "ALLOW": "ALLOW"}
"""In the order in which they are asked."""

HTTP_RBAC = "envoy.filters.http.rbac"
NETWORK_RBAC = "envoy.filters.network.rbac"

CHECK_PREFIX = "istio_ext_authz_"
"""Marks what the filter in front of an external check found; the check's filter looks for it."""
DRY_RUN_PREFIXES = {"DENY": "istio_dry_run_deny_", "ALLOW": "istio_dry_run_allow_"}
CONNECTION_STATS = "tcp."


class Authorization:
    """The policies for one workload.

    Args:
        mesh: the model.
        namespace: the workload's namespace.
        labels: the workload's labels.
        scope: what its proxy sees: external authorizers are services.
        ports: the real port behind a nominal one.
    """

    def __init__(self, mesh: Mesh, namespace: str, labels: Labels, scope: Scope, ports: Ports) -> None:
        self._settings = mesh.settings
        self._scope = scope
        self._ports = ports
        self._rules: dict[str, list[AuthorizationRule]] = {}
        for rule in mesh.authorization:
            if rule.namespace in ("", namespace) and matches(rule.selector, labels):
                self._rules.setdefault(rule.action, []).append(rule)

    def custom_filters(self, *, http: bool) -> list[Obj]:
        """The filters of the CUSTOM policies: one that finds out whether to ask, and one that asks."""
        by_provider: dict[str, list[AuthorizationRule]] = {}
        for rule in self._rules.get("CUSTOM", ()):
            by_provider.setdefault(rule.provider, []).append(rule)
        found: list[Obj] = []
        for provider, rules in sorted(by_provider.items()):
            authorizer = _find(self._settings, provider) if len(by_provider) == 1 else None
            check = _check(authorizer, self._scope, http=http) if authorizer is not None else None
            policies = self._policies([r for r in rules if not r.dry_run], "DENY", policy_prefix(provider), http=http)
            if check is None:
                # Whoever cannot be asked has not agreed.
                refused = {f"{name}{BAD_PROVIDER}": policy for name, policy in policies.items()}
                found.append(_rbac(http=http, rules={"action": "DENY", "policies": refused}))
            elif check:
                shadow = {"action": "DENY", "policies": policies}
                found += [_rbac(http=http, shadow_rules=shadow, shadow_rules_stat_prefix=CHECK_PREFIX), check]
        return found

    def filters(self, *, http: bool) -> list[Obj]:
        """The filters of the other policies, those on trial included."""
        found: list[Obj] = []
        for action, envoy_action in RBAC_ACTIONS.items():
            rules = self._rules.get(action)
            if not rules:
                continue
            members: Obj = {}
            enforced = [rule for rule in rules if not rule.dry_run]
            if enforced:
                policies = self._policies(enforced, action, http=http)
                members["rules"] = {"action": envoy_action, "policies": policies}
            tried = [rule for rule in rules if rule.dry_run]
            if tried:
                policies = self._policies(tried, action, http=http)
                members["shadow_rules"] = {"action": envoy_action, "policies": policies}
                members["shadow_rules_stat_prefix"] = DRY_RUN_PREFIXES.get(action, "")
            found.append(_rbac(http=http, **members))
        return found

    def _policies(
        self, rules: Sequence[AuthorizationRule], action: str, prefix: str = "", *, http: bool
    ) -> Mapping[str, Obj]:
        domains = (self._settings.trust_domain, *self._settings.trust_domain_aliases)
        writer = Writer(self._ports, http=http, drop=action != "ALLOW", trust_domains=domains)
        found: dict[str, Obj] = {}
        for rule in rules:
            name = f"{prefix}ns[{rule.ref.namespace}]-policy[{rule.ref.name}]"
            if not rule.permissions:
                found[f"{name}-rule[0]"] = NEVER
            for position, permission in enumerate(rule.permissions):
                policy = rbac_policy(permission, writer)
                if policy is not None:
                    found[f"{name}-rule[{position}]"] = policy
        return found


def _rbac(*, http: bool, **members: object) -> Obj:
    if http:
        return extension(HTTP_RBAC, HTTP + "rbac.v3.RBAC", **members)
    return extension(NETWORK_RBAC, NETWORK + "rbac.v3.RBAC", stat_prefix=CONNECTION_STATS, **members)


def _find(settings: Settings, provider: str) -> ExternalAuthorizer | None:
    found = [authorizer for authorizer in settings.authorizers if authorizer.name == provider]
    # A name that several have cannot be meant.
    return found[0] if len(found) == 1 else None


def _check(authorizer: ExternalAuthorizer, scope: Scope, *, http: bool) -> Obj | None:
    """The filter that asks; empty if this authorizer does not judge bare connections, None if it cannot be reached."""
    namespace, _, host = authorizer.host.rpartition("/")
    service = scope.services.get(host)
    if service is None or (namespace and service.namespace != namespace) or not 1 <= authorizer.port <= 65535:
        return None
    return http_check(authorizer, service.host) if http else tcp_check(authorizer, service.host)
