"""One rule of an authorization policy as a policy of Envoy's RBAC, for requests or for bare connections."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.claims import JWT_FILTER, JWT_PAYLOAD
from meshlab.minicluster.mesh.envoy.matching import header_matcher, string_matcher
from meshlab.minicluster.mesh.envoy.vocabulary import extension
from meshlab.minicluster.mesh.policy import Condition, Operation, Permission, Source
from meshlab.minicluster.mesh.routing import StringMatch

SCHEME = "spiffe://"
METADATA_PREFIX = "experimental."

ANYTHING: Obj = {"any": True}
NO_CALL: Obj = {"not_rule": ANYTHING}
NOBODY: Obj = {"not_id": ANYTHING}
NEVER: Obj = {"permissions": [NO_CALL], "principals": [NOBODY]}
"""A policy that nothing fulfils."""

_KEYED = re.compile(r"^(request\.headers|request\.auth\.claims)((?:\[[^\]]+\])+)$")
_METADATA = re.compile(r"^experimental\.(envoy\.filters\.[^\[]+)\[(.+)\]$")

Ports = Callable[[int], int]


class RequestsOnly(Exception):
    """A condition that only HTTP requests can fulfil, on a port that carries something else."""


def rbac_policy(permission: Permission, writer: Writer) -> Obj | None:
    """One policy; None where it is left out.

    On a port without HTTP a rule that speaks of requests is left out (ALLOW) or loses those parts (the other actions),
    so that in doubt less is allowed.
    """
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


class Writer:
    """Writes the parts of a rule for one kind of port.

    Args:
        ports: the real port behind a nominal one; Envoy compares what is really bound.
        http: whether requests are seen.
        drop: whether conditions on requests are dropped elsewhere, instead of the whole rule.
        trust_domains: the mesh's own trust domain, then its aliases.
    """

    def __init__(self, ports: Ports, *, http: bool, drop: bool, trust_domains: Sequence[str] = ()) -> None:
        self.ports = ports
        self.http = http
        self.drop = drop
        self.trust_domains = trust_domains

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
        """One of the callers that a rule names."""
        parts: list[Obj] = []
        skip = self.requests_only(source.request_principals, source.not_request_principals)
        parts += _ids(self.principals(source.principals), self.principals(source.not_principals))
        parts += _ids(
            [_service_account(value) for value in source.service_accounts],
            [_service_account(value) for value in source.not_service_accounts],
        )
        parts += _ids(
            [_namespace(value) for value in source.namespaces], [_namespace(value) for value in source.not_namespaces]
        )
        if not skip:
            parts += _ids(
                [_request_principal(value) for value in source.request_principals],
                [_request_principal(value) for value in source.not_request_principals],
            )
        for blocks, refused, field in (
            (source.ip_blocks, source.not_ip_blocks, "direct_remote_ip"),
            (source.remote_ip_blocks, source.not_remote_ip_blocks, "remote_ip"),
        ):
            parts += _ids(_ranges(blocks, field), _ranges(refused, field))
        return {"and_ids": {"ids": parts}} if parts else ANYTHING

    def principals(self, values: Iterable[StringMatch]) -> list[Obj]:
        """Identities; one of the mesh's own trust domain also under its aliases."""
        found: list[Obj] = []
        for match in values:
            domain, slash, rest = match.value.partition("/")
            if slash and len(self.trust_domains) > 1 and domain in self.trust_domains:
                alternatives = [StringMatch(match.kind, f"{alias}/{rest}") for alias in self.trust_domains]
            else:
                alternatives = [match]
            found += [_principal(alternative) for alternative in alternatives]
        return found

    def operation(self, operation: Operation) -> Obj:
        """One of the calls that a rule names."""
        parts: list[Obj] = []
        paths = [_path(value) for value in operation.paths]
        paths += [_template(value) for value in operation.path_templates]
        not_paths = [_path(value) for value in operation.not_paths]
        not_paths += [_template(value) for value in operation.not_path_templates]
        requests = (
            ([_host(value) for value in operation.hosts], [_host(value) for value in operation.not_hosts]),
            ([_method(value) for value in operation.methods], [_method(value) for value in operation.not_methods]),
            (paths, not_paths),
        )
        if not self.requests_only(*(part for pair in requests for part in pair)):
            for wanted, refused in requests:
                parts += _conjunction(wanted, refused)
        parts += _conjunction(
            [self.port(number) for number in operation.ports], [self.port(number) for number in operation.not_ports]
        )
        return {"and_rules": {"rules": parts}} if parts else ANYTHING

    def port(self, number: int) -> Obj:
        """The port that is called."""
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
        principal = self._principal_writer(key)
        parts = _ids(
            [part for value in condition.values for part in principal(value)],
            [part for value in condition.not_values for part in principal(value)],
        )
        return "principal", {"and_ids": {"ids": parts}} if parts else ANYTHING

    def _permission_writer(self, key: str) -> Callable[[str], list[Obj]] | None:
        if key == "destination.ip":
            return lambda value: _ranges([value], "destination_ip")
        if key == "destination.port":
            return lambda value: [self.port(int(value))] if value.isdigit() else [NO_CALL]
        if key == "connection.sni":
            return lambda value: [{"requested_server_name": string_matcher(_loose(value))}]
        metadata = _METADATA.match(key)
        if metadata is not None:
            name, path = metadata.groups()
            return lambda value: [{"sourced_metadata": {"metadata_matcher": _metadata(name, path, value)}}]
        return None

    def _principal_writer(self, key: str) -> Callable[[str], list[Obj]]:
        """How a value of a condition on the caller is written; an unknown key matches nobody."""
        simple = _PRINCIPAL_WRITERS.get(key)
        if simple is not None:
            return simple
        if key == "source.principal":
            return lambda value: self.principals([_loose(value)])
        keyed = _KEYED.match(key)
        if keyed is None:
            return lambda _: [NOBODY]
        names = re.findall(r"\[([^\]]+)\]", keyed.group(2))
        if keyed.group(1) == "request.headers":
            return lambda value: [{"header": header_matcher(names[0].lower(), _loose(value))}]
        return lambda value: [_claim(names, _loose(value))]


def _loose(value: str) -> StringMatch:
    if value == "*":
        return StringMatch("present")
    if value.startswith("*"):
        return StringMatch("suffix", value[1:])
    if value.endswith("*"):
        return StringMatch("prefix", value[:-1])
    return StringMatch("exact", value)


def _ids(wanted: Sequence[Obj], refused: Sequence[Obj]) -> list[Obj]:
    parts: list[Obj] = [{"or_ids": {"ids": list(wanted)}}] if wanted else []
    return [*parts, {"not_id": {"or_ids": {"ids": list(refused)}}}] if refused else parts


def _conjunction(wanted: Sequence[Obj], refused: Sequence[Obj]) -> list[Obj]:
    parts: list[Obj] = [{"or_rules": {"rules": list(wanted)}}] if wanted else []
    return [*parts, {"not_rule": {"or_rules": {"rules": list(refused)}}}] if refused else parts


def _authenticated(name: Obj) -> Obj:
    return {"authenticated": {"principal_name": name}}


def _principal(match: StringMatch) -> Obj:
    if match.kind == "suffix":
        return _authenticated({"safe_regex": {"regex": f"{SCHEME}.*{re.escape(match.value)}"}})
    if match.kind == "present":
        return _authenticated({"safe_regex": {"regex": f"{SCHEME}.+"}})
    return _authenticated({match.kind: SCHEME + match.value})


def _service_account(value: str) -> Obj:
    namespace, _, account = value.partition("/")
    pattern = f"{SCHEME}.+/ns/{re.escape(namespace)}/(.+/|)sa/{re.escape(account)}(/.+)?"
    return _authenticated({"safe_regex": {"regex": pattern}})


def _namespace(match: StringMatch) -> Obj:
    name = re.escape(match.value)
    pattern = {"exact": name, "prefix": f"{name}.*", "suffix": f".*{name}", "present": ".*"}[match.kind]
    return _authenticated({"safe_regex": {"regex": f".*/ns/{pattern}/.*"}})


def _request_principal(value: str) -> Obj:
    """``issuer/subject`` of the token: both claims are compared, as Envoy has no joined one."""
    issuer, slash, subject = value.rpartition("/")
    if value == "*":
        issuer = subject = "*"
    elif not slash:
        # Without a slash a wildcard is the other half.
        issuer, subject = ("*", value) if value.startswith("*") else (value, "*" if value.endswith("*") else "")
    return {"and_ids": {"ids": [_claim(["iss"], _loose(issuer)), _claim(["sub"], _loose(subject))]}}


def _claim(names: Sequence[str], match: StringMatch) -> Obj:
    """A claim of the verified token: equal to the value, or a list that holds it."""
    condition = {"string_match": string_matcher(match)}
    path = [{"key": JWT_PAYLOAD}, *({"key": name} for name in names)]
    alternatives: list[Obj] = [condition, {"list_match": {"one_of": condition}}]
    ids = [
        {"sourced_metadata": {"metadata_matcher": {"filter": JWT_FILTER, "path": path, "value": alternative}}}
        for alternative in alternatives
    ]
    return {"or_ids": {"ids": ids}}


def _metadata(name: str, key: str, value: str) -> Obj:
    """A value in a filter's dynamic metadata; in brackets: a list that holds it."""
    listed = value.startswith("[") and value.endswith("]")
    condition: Obj = {"string_match": string_matcher(_loose(value.strip("[]") if listed else value))}
    found = {"list_match": {"one_of": condition}} if listed else condition
    return {"filter": name, "path": [{"key": key}], "value": found}


def _ranges(blocks: Iterable[str], field: str) -> list[Obj]:
    """Address ranges; one that is not an address matches nothing, so that a typing error never opens a door."""
    found: list[Obj] = []
    for block in blocks:
        try:
            network = ipaddress.ip_network(block, strict=False)
        except ValueError:
            found.append(NO_CALL if field == "destination_ip" else NOBODY)
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


def _template(path: str) -> Obj:
    pattern = path.replace("{*}", "*").replace("{**}", "**")
    return {
        "uri_template": extension(
            "uri-template",
            "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
            path_template=pattern,
        )
    }


_PRINCIPAL_WRITERS: dict[str, Callable[[str], list[Obj]]] = {
    "source.ip": lambda value: _ranges([value], "direct_remote_ip"),
    "remote.ip": lambda value: _ranges([value], "remote_ip"),
    "source.namespace": lambda value: [_namespace(_loose(value))],
    "source.serviceAccount": lambda value: [_service_account(value)],
    "request.auth.principal": lambda value: [_request_principal(value)],
    "request.auth.audiences": lambda value: [_claim(["aud"], _loose(value))],
    "request.auth.presenter": lambda value: [_claim(["azp"], _loose(value))],
}
