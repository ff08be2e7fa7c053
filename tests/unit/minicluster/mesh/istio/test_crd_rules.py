"""What the API server refuses of Istio's resources by their definitions alone: schemas and CEL rules."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshlab.minicluster.apiserver.crd import versions
from meshlab.minicluster.apiserver.schema import default, validate
from meshlab.minicluster.apiserver.schema.rules import rule_problems
from meshlab.minicluster.mesh.istio.manifests import istio_crds

KINDS = {
    custom.resource.kind: custom
    for crd in istio_crds()
    for custom in versions(crd)
    if custom.resource.version[:2] == "v1"
}


def check(kind: str, spec: str) -> list[str]:
    custom = KINDS[kind]
    body: dict[str, Any] = {"apiVersion": custom.resource.api_version, "kind": kind, "metadata": {"name": "x"}}
    if spec:
        body["spec"] = yaml.safe_load(spec)
    obj = default(custom.schema, body)
    problems = validate(custom.schema, obj) or rule_problems(custom.rules, obj)
    return [f"{problem.field}: {problem.message}" for problem in problems]


REFUSED = [
    ("ServiceEntry", "", "spec: Required value"),
    ("ServiceEntry", "{}", "spec.hosts: Required value"),
    (
        "ServiceEntry",
        "{hosts: [a.com], workloadSelector: {labels: {a: '*'}}}",
        'spec.workloadSelector.labels[a]: Invalid value: "*": wildcard is not supported in selector',
    ),
    (
        "ServiceEntry",
        "{hosts: [a.com], resolution: STATIC, workloadSelector: {}, endpoints: [{address: 1.2.3.4}]}",
        "spec: Invalid value: only one of WorkloadSelector or Endpoints can be set",
    ),
    ("ServiceEntry", "{hosts: ['*']}", 'spec.hosts[0]: Invalid value: "*": hostname cannot be wildcard'),
    (
        "ServiceEntry",
        "{hosts: [a.com], addresses: [1.2.3.4/16], resolution: DNS}",
        "spec: Invalid value: CIDR addresses are allowed only for NONE/STATIC resolution types",
    ),
    (
        "ServiceEntry",
        "{hosts: [a.com], ports: [{name: a, number: 1}, {name: a, number: 2}]}",
        'spec.ports[1]: Duplicate value: {"name":"a"}',
    ),
    (
        "ServiceEntry",
        "{hosts: [a.com], ports: [{name: a, number: 1}, {name: b, number: 1}]}",
        "spec.ports: Invalid value: port number cannot be duplicated",
    ),
    (
        "ServiceEntry",
        "{hosts: [a.com], ports: [{name: a, number: 99999}]}",
        "spec.ports[0].number: Invalid value: 99999: port must be between 1-65535",
    ),
    (
        "ServiceEntry",
        "{hosts: [a.com], endpoints: [{address: 1.2.3.4}], resolution: NONE}",
        "spec: Invalid value: NONE mode cannot set endpoints",
    ),
    (
        "ServiceEntry",
        "{hosts: [a.com], resolution: DNS_ROUND_ROBIN, endpoints: [{address: a.a.com}, {address: b.a.com}]}",
        "spec: Invalid value: DNS_ROUND_ROBIN mode cannot have multiple endpoints",
    ),
    ("WorkloadEntry", "{}", "spec: Invalid value: Address is required"),
    ("WorkloadEntry", "{address: 'unix:///a/'}", 'spec.address: Invalid value: "unix:///a/": UDS may not be a dir'),
    (
        "WorkloadEntry",
        "{address: 'unix://a'}",
        'spec.address: Invalid value: "unix://a": UDS must be an absolute path or abstract socket',
    ),
    ("WorkloadEntry", "{address: 'unix://@a', ports: {http: 80}}", "spec: Invalid value: UDS may not include ports"),
    (
        "WorkloadEntry",
        "{address: 1.1.1.1, ports: {http: 99999}}",
        "spec.ports[http]: Invalid value: 99999: port must be between 1-65535",
    ),
    ("WorkloadEntry", "{address: 1.1.1.1, ports: {'@': 80}}", "spec.ports: Invalid value: port name must be valid"),
    (
        "WorkloadGroup",
        "{template: {}, probe: {tcpSocket: {port: 65536}}}",
        "spec.probe.tcpSocket.port: Invalid value: 65536: port must be between 1-65535",
    ),
    (
        "EnvoyFilter",
        "{configPatches: [{applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND, waypoint: {}}}]}",
        "spec.configPatches[0].match: Invalid value: only support waypointMatch when context is WAYPOINT",
    ),
    (
        "EnvoyFilter",
        "{configPatches: [{applyTo: HTTP_FILTER, match: {context: WAYPOINT, listener: {}}}]}",
        "spec.configPatches[0].match: Invalid value: only support waypointMatch when context is WAYPOINT",
    ),
    ("WasmPlugin", "{url: ''}", 'spec.url: Invalid value: "": spec.url in body should be at least 1 chars long'),
    (
        "WasmPlugin",
        "{url: 'fake://example.com'}",
        'spec.url: Invalid value: "fake://example.com": url must have schema one of [http, https, file, oci]',
    ),
    (
        "WasmPlugin",
        "{url: '#%blah$#@'}",
        'spec.url: Invalid value: "#%blah$#@": url must have schema one of [http, https, file, oci]',
    ),
    (
        "WasmPlugin",
        "{url: 'http://a', vmConfig: {env: [{name: a}, {name: a}]}}",
        'spec.vmConfig.env[1]: Duplicate value: {"name":"a"}',
    ),
    (
        "WasmPlugin",
        "{url: 'http://a', vmConfig: {env: [{name: a, valueFrom: HOST, value: b}]}}",
        "spec.vmConfig.env[0]: Invalid value: value may only be set when valueFrom is INLINE",
    ),
    (
        "WasmPlugin",
        "{url: 'http://a', selector: {matchLabels: {a: 'b*'}}}",
        'spec.selector.matchLabels[a]: Invalid value: "b*": wildcard not allowed in label value match',
    ),
    (
        "WasmPlugin",
        "{url: 'http://a', selector: {matchLabels: {'a*': b}}}",
        "spec.selector.matchLabels: Invalid value: wildcard not allowed in label key match",
    ),
    (
        "ProxyConfig",
        "{selector: {matchLabels: {'': b}}}",
        "spec.selector.matchLabels: Invalid value: key must not be empty",
    ),
    (
        "RequestAuthentication",
        "{selector: {matchLabels: {a: b}}, targetRef: {kind: Service, name: a}}",
        "spec: Invalid value: only one of targetRefs or selector can be set",
    ),
    ("RequestAuthentication", "{targetRef: {kind: Service}}", "spec.targetRef.name: Required value"),
    (
        "RequestAuthentication",
        "{targetRef: {kind: Service, name: a, namespace: b}}",
        'spec.targetRef.namespace: Invalid value: "b": cross namespace referencing is not currently supported',
    ),
    (
        "RequestAuthentication",
        "{jwtRules: [{issuer: a, jwksUri: 'ftp://a/b'}]}",
        'spec.jwtRules[0].jwksUri: Invalid value: "ftp://a/b": url must have scheme http:// or https://',
    ),
    (
        "RequestAuthentication",
        "{jwtRules: [{issuer: a, timeout: apple}]}",
        "spec.jwtRules[0].timeout: Invalid value: \"string\": type conversion error from 'string' to "
        "'google.protobuf.Duration' evaluating rule: must be a valid duration greater than 1ms",
    ),
    (
        "AuthorizationPolicy",
        "{rules: [{from: [{source: {serviceAccounts: [a/b], namespaces: [a]}}]}]}",
        "spec.rules[0].from[0].source: Invalid value: Cannot set serviceAccounts with namespaces or principals",
    ),
    (
        "PeerAuthentication",
        "{mtls: {mode: BLAH}}",
        'spec.mtls.mode: Unsupported value: "BLAH": supported values: "UNSET", "DISABLE", "PERMISSIVE", "STRICT"',
    ),
    (
        "PeerAuthentication",
        "{selector: {matchLabels: {a: b}}, portLevelMtls: {acd: {mode: STRICT}}}",
        "spec.portLevelMtls: Invalid value: \"object\": type conversion error from 'string' to 'int' evaluating rule: "
        "port must be between 1-65535",
    ),
    (
        "PeerAuthentication",
        "{portLevelMtls: {'80': {mode: STRICT}}}",
        "spec: Invalid value: portLevelMtls requires selector",
    ),
    (
        "PeerAuthentication",
        "{selector: {matchLabels: {a: b}}, portLevelMtls: {'0': {mode: STRICT}}}",
        "spec.portLevelMtls: Invalid value: port must be between 1-65535",
    ),
    (
        "Telemetry",
        "{metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: b}}}]}]}",
        "spec.metrics[0].overrides[0].tagOverrides[a]: Invalid value: value must not be set when operation is REMOVE",
    ),
    (
        "DestinationRule",
        "{host: a, trafficPolicy: {loadBalancer: {warmup: {duration: 1s, aggression: 0.3}}}}",
        "spec.trafficPolicy.loadBalancer.warmup.aggression: Invalid value: 0.3: "
        "spec.trafficPolicy.loadBalancer.warmup.aggression in body should be greater than or equal to 1",
    ),
    (
        "VirtualService",
        "{hosts: [a], http: [{timeout: 0s, route: [{destination: {host: a}}]}]}",
        'spec.http[0].timeout: Invalid value: "0s": must be a valid duration greater than 1ms',
    ),
]


@pytest.mark.parametrize(("kind", "spec", "expected"), REFUSED)
def test_what_the_definitions_refuse(kind: str, spec: str, expected: str) -> None:
    assert check(kind, spec) == [expected]


ACCEPTED = [
    ("ServiceEntry", "{hosts: [a.com], addresses: [1.2.3.4, '2001:db8::'], ports: [{name: a, number: 1, targetPort: 2}], resolution: DNS}"),
    ("ServiceEntry", "{hosts: [a.com], resolution: STATIC, endpoints: [{address: 1.2.3.4, ports: {a-b: 80}}]}"),
    ("WorkloadEntry", "{network: n}"),
    ("WorkloadEntry", "{address: 'unix:///a/b'}"),
    ("WorkloadGroup", "{template: {}, probe: {httpGet: {port: 80, httpHeaders: [{name: a}]}}}"),
    ("EnvoyFilter", "{configPatches: [{applyTo: HTTP_FILTER, match: {context: WAYPOINT, waypoint: {portNumber: 80}}}]}"),
    ("WasmPlugin", "{url: 'oci://a/b:c', vmConfig: {env: [{name: a, valueFrom: HOST}, {name: b, value: c}]}}"),
    ("WasmPlugin", "{url: a.example.com/b, priority: null}"),
    ("Telemetry", "{tracing: [{randomSamplingPercentage: null, disableSpanReporting: null}]}"),
    ("RequestAuthentication", "{jwtRules: [{issuer: a, jwksUri: 'https://a/b', timeout: 5s}]}"),
    ("PeerAuthentication", "{selector: {matchLabels: {a: b}}, portLevelMtls: {'80': {mode: STRICT}}}"),
    ("AuthorizationPolicy", "{rules: [{from: [{source: {serviceAccounts: [a/b]}}]}]}"),
    ("Telemetry", "{metrics: [{overrides: [{tagOverrides: {a: {operation: UPSERT, value: b}}}]}]}"),
    ("DestinationRule", "{host: a, trafficPolicy: {connectionPool: {tcp: {idleTimeout: 0s, connectTimeout: 10ms}}}}"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "spec"), ACCEPTED)
def test_what_the_definitions_accept(kind: str, spec: str) -> None:
    assert check(kind, spec) == []
