"""AuthorizationPolicy: who may call a workload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import (
    Problems,
    created,
    integer,
    mapping,
    objects,
    sequence,
    text,
    texts,
)
from meshlab.minicluster.mesh.istio.targets import targets
from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.policy import AuthorizationRule, Condition, Operation, Permission, Source
from meshlab.minicluster.mesh.routing import StringMatch

ACTIONS: dict[str, Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"]] = {
    "": "ALLOW",
    "ALLOW": "ALLOW",
    "DENY": "DENY",
    "AUDIT": "AUDIT",
    "CUSTOM": "CUSTOM",
}
DRY_RUN = "istio.io/dry-run"
TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
"""What Go's ParseBool takes for true."""
TEMPLATE_OPERATORS = ("{*}", "{**}")


def translate_authorization_policy(obj: Obj, ref: ConfigRef, root: str, problems: Problems) -> list[AuthorizationRule]:
    """The rules of one AuthorizationPolicy, one for each of its targets."""
    spec = mapping(obj.get("spec"))
    action = ACTIONS.get(text(spec.get("action")))
    if action is None:
        problems.add("authorizationpolicy.action", ref, f"{ref}: action {spec.get('action')!r} is unknown", "error")
        return []
    if action == "AUDIT":
        problems.add(
            "authorizationpolicy.audit", ref, f"{ref}: audited requests are marked, but no plugin records them", "info"
        )
    annotations = mapping(mapping(obj.get("metadata")).get("annotations"))
    permissions = tuple(_permission(rule, ref.namespace) for rule in objects(spec.get("rules")))
    return [
        AuthorizationRule(
            namespace=target.namespace,
            selector=target.selector,
            action=action,
            permissions=permissions,
            ref=ref,
            created=created(obj),
            provider=text(mapping(spec.get("provider")).get("name")),
            dry_run=annotations.get(DRY_RUN) in TRUE,
        )
        for target in targets(spec, ref, root, problems)
    ]


def _permission(rule: Mapping[str, Any], namespace: str) -> Permission:
    return Permission(
        sources=tuple(_source(mapping(item.get("source")), namespace) for item in objects(rule.get("from"))),
        operations=tuple(_operation(mapping(item.get("operation"))) for item in objects(rule.get("to"))),
        conditions=tuple(_condition(item, namespace) for item in objects(rule.get("when"))),
    )


def _condition(item: Mapping[str, Any], namespace: str) -> Condition:
    key = text(item.get("key"))
    values, refused = texts(item.get("values")), texts(item.get("notValues"))
    if key == "source.serviceAccount":
        return Condition(key, _accounts(values, namespace), _accounts(refused, namespace))
    return Condition(key, values, refused)


def _source(item: Mapping[str, Any], namespace: str) -> Source:
    return Source(
        principals=_matches(item.get("principals")),
        not_principals=_matches(item.get("notPrincipals")),
        service_accounts=_accounts(item.get("serviceAccounts"), namespace),
        not_service_accounts=_accounts(item.get("notServiceAccounts"), namespace),
        request_principals=texts(item.get("requestPrincipals")),
        not_request_principals=texts(item.get("notRequestPrincipals")),
        namespaces=_matches(item.get("namespaces")),
        not_namespaces=_matches(item.get("notNamespaces")),
        ip_blocks=texts(item.get("ipBlocks")),
        not_ip_blocks=texts(item.get("notIpBlocks")),
        remote_ip_blocks=texts(item.get("remoteIpBlocks")),
        not_remote_ip_blocks=texts(item.get("notRemoteIpBlocks")),
    )


def _accounts(value: Any, namespace: str) -> tuple[str, ...]:
    names = value if isinstance(value, tuple) else texts(value)
    return tuple(name if "/" in name else f"{namespace}/{name}" for name in names)


def _operation(item: Mapping[str, Any]) -> Operation:
    paths, templates = _paths(item.get("paths"))
    not_paths, not_templates = _paths(item.get("notPaths"))
    return Operation(
        hosts=_matches(item.get("hosts")),
        not_hosts=_matches(item.get("notHosts")),
        ports=_ports(item.get("ports")),
        not_ports=_ports(item.get("notPorts")),
        methods=_matches(item.get("methods")),
        not_methods=_matches(item.get("notMethods")),
        paths=paths,
        not_paths=not_paths,
        path_templates=templates,
        not_path_templates=not_templates,
    )


def _paths(value: Any) -> tuple[tuple[StringMatch, ...], tuple[str, ...]]:
    """Paths as conditions, and those that are templates."""
    given = texts(value)
    templates = tuple(path for path in given if any(operator in path for operator in TEMPLATE_OPERATORS))
    return tuple(policy_match(path) for path in given if path not in templates), templates


def _ports(value: Any) -> tuple[int, ...]:
    return tuple(port for port in map(integer, sequence(value)) if port is not None)


def _matches(value: Any) -> tuple[StringMatch, ...]:
    return tuple(policy_match(item) for item in texts(value))


def policy_match(value: str) -> StringMatch:
    """A policy's string: ``*`` is any non-empty value, ``abc*`` a prefix, ``*abc`` a suffix, else exact."""
    if value == "*":
        return StringMatch("present")
    if value.startswith("*"):
        return StringMatch("suffix", value[1:])
    if value.endswith("*"):
        return StringMatch("prefix", value[:-1])
    return StringMatch("exact", value)
