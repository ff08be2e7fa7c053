"""Authorization rules as Envoy's RBAC: for requests by route settings, for other connections by network filters.

Each action has a filter of its own, in the order DENY, ALLOW. The HTTP filters are always there and empty; the rules
come with the route configuration, so that a new policy is in force at once and closes no connection.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import HTTP, NETWORK
from meshlab.minicluster.mesh.envoy.matching import header_matcher, string_matcher
from meshlab.minicluster.mesh.envoy.vocabulary import any_of, extension
from meshlab.minicluster.mesh.model import Mesh, ProxyNode, matches
from meshlab.minicluster.mesh.policy import AuthorizationRule, Condition, Operation, Permission, Source
from meshlab.minicluster.mesh.routing import StringMatch
from meshlab.minicluster.mesh.scope import InboundPort

ACTIONS = ("DENY", "ALLOW")
"""In the order in which they are asked."""

FILTER_NAMES = {action: f"envoy.filters.http.rbac.{action.lower()}" for action in ACTIONS}
JWT_FILTER = "envoy.filters.http.jwt_authn"
JWT_PAYLOAD = "payload"

SCHEME = "spiffe://"
ANYTHING: Obj = {"any": True}

_KEYED = re.compile(r"^(request\.headers|request\.auth\.claims)((?:\[[^\]]+\])+)$")

Ports = Callable[[int], int]


class RequestsOnly(Exception):
    """A condition that only HTTP requests can fulfil, on a port that carries something else."""


def http_filters() -> tuple[Obj, ...]:
    """The HTTP filters, without rules: they let everything pass until a route has settings for them."""
    return tuple(
        extension(FILTER_NAMES[action], HTTP + "rbac.v3.RBAC", rules_stat_prefix=f"{action.lower()}_")
        for action in ACTIONS
    )


def route_settings(mesh: Mesh, proxy: ProxyNode, ports: Ports) -> Obj:
    """The filters' settings for the pod's routes: by filter name."""
    found: Obj = {}
    for action in ACTIONS:
        rules = _rules(_applying(mesh, proxy, action), action, ports, http=True)
        if rules is not None:
            rbac = {"rules": rules, "rules_stat_prefix": f"{action.lower()}_"}
            found[FILTER_NAMES[action]] = any_of(HTTP + "rbac.v3.RBACPerRoute", rbac=rbac)
    return found


def network_filters(mesh: Mesh, proxy: ProxyNode, inbound: InboundPort, ports: Ports) -> tuple[Obj, ...]:
    """The network filters for connections that carry no HTTP."""
    if inbound.protocol.is_http:
        return ()
    found: list[Obj] = []
    for action in ACTIONS:
        rules = _rules(_applying(mesh, proxy, action), action, ports, http=False)
        if rules is not None:
            found.append(
                extension(
                    "envoy.filters.network.rbac",
                    NETWORK + "rbac.v3.RBAC",
                    rules=rules,
                    stat_prefix=f"tcp.{action.lower()}_",
                )
            )
    return tuple(found)


def _applying(mesh: Mesh, proxy: ProxyNode, action: str) -> list[AuthorizationRule]:
    workload = mesh.workloads_by_name.get((proxy.namespace, proxy.pod))
    labels = workload.labels if workload is not None else proxy.labels
    return [
        rule
        for rule in mesh.authorization
        if rule.action == action and rule.namespace in ("", proxy.namespace) and matches(rule.selector, labels)
    ]


def _rules(rules: Sequence[AuthorizationRule], action: str, ports: Ports, *, http: bool) -> Obj | None:
    """The RBAC rules of one action; None if no policy has that action."""
    if not rules:
        return None
    policies: Obj = {}
    for rule in rules:
        for position, permission in enumerate(rule.permissions):
            policy = _policy(permission, ports, http=http, drop=action == "DENY")
            if policy is not None:
                policies[f"ns[{rule.ref.namespace}]-policy[{rule.ref.name}]-rule[{position}]"] = policy
    return {"action": action, "policies": policies}


def _policy(permission: Permission, ports: Ports, *, http: bool, drop: bool) -> Obj | None:
    """One Envoy policy.

    On a port without HTTP a rule that speaks of requests is left out (ALLOW) or loses those parts (DENY), so that in
    doubt less is allowed.
    """
    writer = _Writer(ports, http=http, drop=drop)
    try:
        principals = [writer.source(source) for source in permission.sources] or [ANYTHING]
        permissions = [writer.operation(operation) for operation in permission.operations] or [ANYTHING]
        conditions = [writer.condition(condition) for condition in permission.conditions]
    except RequestsOnly:
        return None
    ids = [part for kind, part in conditions if kind == "principal"]
    rules = [part for kind, part in conditions if kind == "permission"]
    return {
        "permissions": [{"and_rules": {"rules": [{"or_rules": {"rules": permissions}}, *rules]}}],
        "principals": [{"and_ids": {"ids": [{"or_ids": {"ids": principals}}, *ids]}}],
    }


class _Writer:
    """Writes the parts of a rule for one kind of port."""

    def __init__(self, ports: Ports, *, http: bool, drop: bool) -> None:
        self.ports = ports
        self.http = http
        self.drop = drop

    def requests_only(self, *values: object) -> bool:
        """Whether those values are to be ignored here.

        Raises:
            RequestsOnly: they are asked for, and cannot be ignored.
        """
        if self.http or not any(values):
            return False
        if self.drop:
            return True
        raise RequestsOnly

    def source(self, source: Source) -> Obj:
        parts: list[Obj] = []
        skip = self.requests_only(source.request_principals, source.not_request_principals)
        for values, refused, write in (
            (source.principals, source.not_principals, _principal),
            (source.namespaces, source.not_namespaces, _namespace),
            *(() if skip else ((source.request_principals, source.not_request_principals, _request_principal),)),
        ):
            parts += _ids([write(value) for value in values], [write(value) for value in refused])
        for blocks, refused_blocks, field in (
            (source.ip_blocks, source.not_ip_blocks, "direct_remote_ip"),
            (source.remote_ip_blocks, source.not_remote_ip_blocks, "remote_ip"),
        ):
            parts += _ids(_ranges(blocks, field), _ranges(refused_blocks, field))
        return {"and_ids": {"ids": parts}} if parts else ANYTHING

    def operation(self, operation: Operation) -> Obj:
        parts: list[Obj] = []
        skip = self.requests_only(
            operation.hosts,
            operation.not_hosts,
            operation.methods,
            operation.not_methods,
            operation.paths,
            operation.not_paths,
        )
        if not skip:
            for values, refused, write in (
                (operation.hosts, operation.not_hosts, _host),
                (operation.methods, operation.not_methods, _method),
                (operation.paths, operation.not_paths, _path),
            ):
                parts += _conjunction([write(value) for value in values], [write(value) for value in refused])
        parts += _conjunction(
            [self.port(number) for number in operation.ports], [self.port(number) for number in operation.not_ports]
        )
        return {"and_rules": {"rules": parts}} if parts else ANYTHING

    def port(self, number: int) -> Obj:
        # Envoy compares the port that is really bound.
        return {"destination_port": self.ports(number)}

    def condition(self, condition: Condition) -> tuple[str, Obj]:
        """A condition, and whether it speaks of the caller (principal) or of the call (permission)."""
        key = condition.key
        if key.startswith("request.") and self.requests_only(key):
            return "principal", ANYTHING
        permission = self._permission_writer(key)
        if permission is not None:
            parts = _conjunction(
                [part for value in condition.values for part in permission(value)],
                [part for value in condition.not_values for part in permission(value)],
            )
            return "permission", {"and_rules": {"rules": parts}} if parts else ANYTHING
        principal = _principal_writer(key)
        parts = _ids(
            [part for value in condition.values for part in principal(value)],
            [part for value in condition.not_values for part in principal(value)],
        )
        return "principal", {"and_ids": {"ids": parts}} if parts else ANYTHING

    def _permission_writer(self, key: str) -> Callable[[str], list[Obj]] | None:
        if key == "destination.ip":
            return lambda value: _ranges([value], "destination_ip")
        if key == "destination.port":
            return lambda value: [self.port(int(value))] if value.isdigit() else [_NOTHING_RULE]
        if key == "connection.sni":
            return lambda value: [{"requested_server_name": string_matcher(_loose(value))}]
        return None


_NOTHING_RULE: Obj = {"not_rule": ANYTHING}
_NOTHING_ID: Obj = {"not_id": ANYTHING}


def _principal_writer(key: str) -> Callable[[str], list[Obj]]:
    """How a value of a condition on the caller is written; an unknown key matches nobody."""
    if key == "source.ip":
        return lambda value: _ranges([value], "direct_remote_ip")
    if key == "remote.ip":
        return lambda value: _ranges([value], "remote_ip")
    if key == "source.principal":
        return lambda value: [_principal(_loose(value))]
    if key == "source.namespace":
        return lambda value: [_namespace(_loose(value))]
    if key == "request.auth.principal":
        return lambda value: [_request_principal(_loose(value))]
    if key == "request.auth.audiences":
        return lambda value: [_claim(["aud"], value)]
    if key == "request.auth.presenter":
        return lambda value: [_claim(["azp"], value)]
    keyed = _KEYED.match(key)
    if keyed is None:
        return lambda _: [_NOTHING_ID]
    names = re.findall(r"\[([^\]]+)\]", keyed.group(2))
    if keyed.group(1) == "request.headers":
        return lambda value: [{"header": header_matcher(names[0].lower(), _loose(value))}]
    return lambda value: [_claim(names, value)]


def _loose(value: str) -> StringMatch:
    if value == "*":
        return StringMatch("present")
    if value.endswith("*"):
        return StringMatch("prefix", value[:-1])
    if value.startswith("*"):
        return StringMatch("suffix", value[1:])
    return StringMatch("exact", value)


def _ids(wanted: Sequence[Obj], refused: Sequence[Obj]) -> list[Obj]:
    parts: list[Obj] = [{"or_ids": {"ids": list(wanted)}}] if wanted else []
    return [*parts, {"not_id": {"or_ids": {"ids": list(refused)}}}] if refused else parts


def _conjunction(wanted: Sequence[Obj], refused: Sequence[Obj]) -> list[Obj]:
    parts: list[Obj] = [{"or_rules": {"rules": list(wanted)}}] if wanted else []
    return [*parts, {"not_rule": {"or_rules": {"rules": list(refused)}}}] if refused else parts


def _principal(match: StringMatch) -> Obj:
    if match.kind == "suffix":
        name: Obj = {"safe_regex": {"regex": f"{SCHEME}.*{re.escape(match.value)}"}}
    elif match.kind == "present":
        name = {"safe_regex": {"regex": f"{SCHEME}.+"}}
    else:
        name = {match.kind: SCHEME + match.value}
    return {"authenticated": {"principal_name": name}}


def _namespace(match: StringMatch) -> Obj:
    name = re.escape(match.value)
    pattern = {"exact": name, "prefix": f"{name}[^/]*", "suffix": f"[^/]*{name}", "present": "[^/]+"}[match.kind]
    return {"authenticated": {"principal_name": {"safe_regex": {"regex": f".*/ns/{pattern}/.*"}}}}


def _request_principal(match: StringMatch) -> Obj:
    """``issuer/subject`` of the token: both claims are compared, as Envoy has no joined one."""
    if match.kind == "present":
        return {"and_ids": {"ids": [_claim(["iss"], "*"), _claim(["sub"], "*")]}}
    issuer, _, subject = match.value.rpartition("/")
    if match.kind == "prefix":
        subject = f"{subject}*"
    if match.kind == "suffix":
        return {"and_ids": {"ids": [_claim(["iss"], f"*{issuer}"), _claim(["sub"], subject)]}}
    return {"and_ids": {"ids": [_claim(["iss"], issuer), _claim(["sub"], subject)]}}


def _claim(names: Sequence[str], value: str) -> Obj:
    """A claim of the verified token: equal to the value, or a list that holds it."""
    condition = {"string_match": string_matcher(_loose(value))}
    path = [{"key": JWT_PAYLOAD}, *({"key": name} for name in names)]
    alternatives: list[Obj] = [condition, {"list_match": {"one_of": condition}}]
    ids = [
        {"sourced_metadata": {"metadata_matcher": {"filter": JWT_FILTER, "path": path, "value": alternative}}}
        for alternative in alternatives
    ]
    return {"or_ids": {"ids": ids}}


def _ranges(blocks: Iterable[str], field: str) -> list[Obj]:
    """Address ranges; one that is not an address matches nothing, so that a typing error never opens a door."""
    found: list[Obj] = []
    for block in blocks:
        try:
            network = ipaddress.ip_network(block, strict=False)
        except ValueError:
            found.append(_NOTHING_RULE if field == "destination_ip" else _NOTHING_ID)
            continue
        found.append({field: {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}})
    return found


def _host(match: StringMatch) -> Obj:
    if match.kind == "present":
        return {"header": {"name": ":authority", "present_match": True}}
    return {"header": {"name": ":authority", "string_match": string_matcher(match, ignore_case=True)}}


def _method(match: StringMatch) -> Obj:
    return {"header": header_matcher(":method", match)}


def _path(match: StringMatch) -> Obj:
    return {"url_path": {"path": string_matcher(match)}}
