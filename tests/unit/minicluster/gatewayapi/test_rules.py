"""What the Gateway API's definitions refuse by their CEL rules."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshlab.minicluster.apiserver.crd import versions
from meshlab.minicluster.apiserver.schema import default, validate
from meshlab.minicluster.apiserver.schema.cel import expression
from meshlab.minicluster.apiserver.schema.rules import rule_problems
from meshlab.minicluster.gatewayapi import gateway_api_crds
from meshlab.minicluster.gatewayapi.rules import RULES

KINDS = {custom.resource.kind: custom for crd in gateway_api_crds() for custom in versions(crd)}


def check(kind: str, spec: str) -> list[str]:
    custom = KINDS[kind]
    body: dict[str, Any] = {
        "apiVersion": custom.resource.api_version,
        "kind": kind,
        "metadata": {"name": "x"},
        "spec": yaml.safe_load(spec),
    }
    obj = default(custom.schema, body)
    problems = validate(custom.schema, obj) or rule_problems(custom.rules, obj)
    return [f"{problem.field}: {problem.message}" for problem in problems]


@pytest.mark.parametrize("name", RULES)
def test_every_rule_compiles(name: str) -> None:
    assert all("self" in expression(rule["rule"]).names for rule in RULES[name])


def rule(text: str) -> str:
    return "{parentRefs: [{name: gw}], rules: [{" + text + "}]}"


BACKEND = "backendRefs: [{name: a, port: 80}]"
REFUSED = [
    (
        "HTTPRoute",
        rule("backendRefs: [{name: a}]"),
        "spec.rules[0].backendRefs[0]: Invalid value: Must have port for Service reference",
    ),
    (
        "HTTPRoute",
        rule(BACKEND + ", filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]"),
        "spec.rules[0]: Invalid value: RequestRedirect filter must not be used together with backendRefs",
    ),
    (
        "HTTPRoute",
        rule(BACKEND + ", filters: [{type: RequestHeaderModifier}]"),
        "spec.rules[0].filters[0]: Invalid value: filter.requestHeaderModifier must be specified for "
        "RequestHeaderModifier filter.type",
    ),
    (
        "HTTPRoute",
        rule(BACKEND + ", filters: [{type: RequestHeaderModifier, requestHeaderModifier: {}, urlRewrite: {}}]"),
        "spec.rules[0].filters[0]: Invalid value: filter.urlRewrite must be nil if the filter.type is not URLRewrite",
    ),
    (
        "HTTPRoute",
        rule(BACKEND + ", filters: [{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}]"),
        "spec.rules[0].filters: Invalid value: URLRewrite filter cannot be repeated",
    ),
    (
        "HTTPRoute",
        rule(
            "matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite,"
            " urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]"
        ),
        "spec.rules[0]: Invalid value: When using URLRewrite filter with path.replacePrefixMatch, exactly one "
        "PathPrefix match must be specified",
    ),
    (
        "HTTPRoute",
        rule("filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}]"),
        "spec.rules[0].filters[0].urlRewrite.path: Invalid value: replaceFullPath must be specified when type is set "
        "to 'ReplaceFullPath'",
    ),
    (
        "HTTPRoute",
        rule("matches: [{path: {value: a}}]"),
        "spec.rules[0].matches[0].path: Invalid value: value must be an absolute path and start with '/' when type one "
        "of ['Exact', 'PathPrefix']",
    ),
    (
        "HTTPRoute",
        rule("matches: [{path: {value: /a//b}}]"),
        "spec.rules[0].matches[0].path: Invalid value: must not contain '//' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "HTTPRoute",
        rule("timeouts: {request: 1s, backendRequest: 2s}"),
        "spec.rules[0].timeouts: Invalid value: backendRequest timeout cannot be longer than request timeout",
    ),
    (
        "HTTPRoute",
        "{parentRefs: [{name: gw}, {name: gw}]}",
        "spec.parentRefs: Invalid value: sectionName must be unique when parentRefs includes 2 or more references to "
        "the same parent",
    ),
    (
        "HTTPRoute",
        f"{{rules: [{', '.join(['{matches: [' + '{},' * 30 + ']}'] * 5)}]}}",
        "spec.rules: Invalid value: While 16 rules and 64 matches per rule are allowed, the total number of matches "
        "across all rules in a route must be less than 128",
    ),
    (
        "GRPCRoute",
        rule("matches: [{method: {}}]"),
        "spec.rules[0].matches[0].method: Invalid value: One or both of 'service' or 'method' must be specified",
    ),
    (
        "GRPCRoute",
        rule("matches: [{method: {method: a/b}}]"),
        "spec.rules[0].matches[0].method: Invalid value: method must only contain valid characters (matching "
        "^[A-Za-z_][A-Za-z_0-9]*$)",
    ),
    (
        "Gateway",
        "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}]}",
        "spec.listeners: Invalid value: Combination of port, protocol and hostname must be unique for each listener",
    ),
    (
        "Gateway",
        "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP, tls: {certificateRefs: [{name: a}]}}]}",
        "spec.listeners: Invalid value: tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
    ),
    (
        "Gateway",
        "{gatewayClassName: istio, listeners: [{name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: []}}]}",
        'spec.listeners[0].tls: Invalid value: "object": no such key: options evaluating rule: certificateRefs or '
        "options must be specified when mode is Terminate",
    ),
    (
        "Gateway",
        "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}],"
        " addresses: [{value: 10.0.0.1}, {value: 10.0.0.1}]}",
        "spec.addresses: Invalid value: IPAddress values must be unique",
    ),
    (
        "Gateway",
        "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}],"
        " infrastructure: {labels: {'a b': c}}}",
        "spec.infrastructure.labels: Invalid value: Label keys must be in the form of an optional DNS subdomain prefix "
        "followed by a required name segment of up to 63 characters.",
    ),
]


@pytest.mark.parametrize(("kind", "spec", "expected"), REFUSED)
def test_what_the_rules_refuse(kind: str, spec: str, expected: str) -> None:
    assert expected in check(kind, spec)


ACCEPTED = [
    ("HTTPRoute", rule(BACKEND)),
    ("HTTPRoute", rule("backendRefs: [{group: networking.istio.io, kind: Hostname, name: a.com}]")),
    ("HTTPRoute", rule("filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]")),
    (
        "HTTPRoute",
        rule(
            "matches: [{path: {value: /a}}], filters: [{type: URLRewrite,"
            " urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}], " + BACKEND
        ),
    ),
    ("HTTPRoute", "{parentRefs: [{name: gw, sectionName: a}, {name: gw, sectionName: b}, {name: gw, namespace: n}]}"),
    ("GRPCRoute", rule("matches: [{method: {service: a.B, method: C}}], " + BACKEND)),
    (
        "Gateway",
        "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP, hostname: a.com},"
        " {name: b, port: 80, protocol: HTTP}, {name: c, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: a}]}},"
        " {name: d, port: 444, protocol: TLS, tls: {mode: Passthrough}},"
        " {name: e, port: 445, protocol: HTTPS, tls: {mode: Terminate, options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}}}],"
        " addresses: [{value: 10.0.0.1}, {type: Hostname, value: a.svc}],"
        " infrastructure: {annotations: {networking.istio.io/service-type: ClusterIP}}}",
    ),
]


@pytest.mark.parametrize(("kind", "spec"), ACCEPTED)
def test_what_the_rules_accept(kind: str, spec: str) -> None:
    assert check(kind, spec) == []
