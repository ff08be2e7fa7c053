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
    match_labels,
    objects,
    sequence,
    text,
    texts,
)
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


def translate_authorization_policy(
    obj: Obj, ref: ConfigRef, root: str, trust_domain: str, problems: Problems
) -> list[AuthorizationRule]:
    """The rule of one AuthorizationPolicy."""
    spec = mapping(obj.get("spec"))
    action = ACTIONS.get(text(spec.get("action")))
    if action is None:
        problems.add("authorizationpolicy.action", ref, f"{ref}: action {spec.get('action')!r} is unknown", "error")
        return []
    if action in ("AUDIT", "CUSTOM"):
        problems.add("authorizationpolicy.ignored", ref, f"{ref} is not enforced: action {action} has no provider")
    selector = match_labels(spec)
    # A root-namespace policy with a selector holds for matching workloads of every namespace.
    return [
        AuthorizationRule(
            namespace="" if ref.namespace == root else ref.namespace,
            selector=selector,
            action=action,
            permissions=tuple(_permission(rule, ref.namespace, trust_domain) for rule in objects(spec.get("rules"))),
            ref=ref,
            created=created(obj),
        )
    ]


def _permission(rule: Mapping[str, Any], namespace: str, trust_domain: str) -> Permission:
    return Permission(
        sources=tuple(_source(mapping(i.get("source")), namespace, trust_domain) for i in objects(rule.get("from"))),
        operations=tuple(_operation(mapping(item.get("operation"))) for item in objects(rule.get("to"))),
        conditions=tuple(
            Condition(text(item.get("key")), texts(item.get("values")), texts(item.get("notValues")))
            for item in objects(rule.get("when"))
        ),
    )


def _source(item: Mapping[str, Any], namespace: str, trust_domain: str) -> Source:
    accounts = tuple(_service_account(name, namespace, trust_domain) for name in texts(item.get("serviceAccounts")))
    not_accounts = tuple(
        _service_account(name, namespace, trust_domain) for name in texts(item.get("notServiceAccounts"))
    )
    return Source(
        principals=_matches(item.get("principals")) + accounts,
        not_principals=_matches(item.get("notPrincipals")) + not_accounts,
        request_principals=_matches(item.get("requestPrincipals")),
        not_request_principals=_matches(item.get("notRequestPrincipals")),
        namespaces=_matches(item.get("namespaces")),
        not_namespaces=_matches(item.get("notNamespaces")),
        ip_blocks=texts(item.get("ipBlocks")),
        not_ip_blocks=texts(item.get("notIpBlocks")),
        remote_ip_blocks=texts(item.get("remoteIpBlocks")),
        not_remote_ip_blocks=texts(item.get("notRemoteIpBlocks")),
    )


def _service_account(name: str, namespace: str, trust_domain: str) -> StringMatch:
    owner, _, account = name.rpartition("/")
    return StringMatch("exact", f"{trust_domain}/ns/{owner or namespace}/sa/{account}")


def _operation(item: Mapping[str, Any]) -> Operation:
    return Operation(
        hosts=_matches(item.get("hosts")),
        not_hosts=_matches(item.get("notHosts")),
        ports=_ports(item.get("ports")),
        not_ports=_ports(item.get("notPorts")),
        methods=_matches(item.get("methods")),
        not_methods=_matches(item.get("notMethods")),
        paths=_matches(item.get("paths")),
        not_paths=_matches(item.get("notPaths")),
    )


def _ports(value: Any) -> tuple[int, ...]:
    return tuple(port for port in map(integer, sequence(value)) if port is not None)


def _matches(value: Any) -> tuple[StringMatch, ...]:
    return tuple(policy_match(item) for item in texts(value))


def policy_match(value: str) -> StringMatch:
    """A policy's string: ``*`` is any non-empty value, ``abc*`` a prefix, ``*abc`` a suffix, else exact."""
    if value == "*":
        return StringMatch("present")
    if value.endswith("*"):
        return StringMatch("prefix", value[:-1])
    if value.startswith("*"):
        return StringMatch("suffix", value[1:])
    return StringMatch("exact", value)
