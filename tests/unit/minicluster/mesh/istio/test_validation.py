"""What Istio's validation webhook refuses, in its words."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshlab.minicluster.mesh.istio.validation import format_errors, validate

KINDS = {
    "VirtualService": "networking.istio.io/v1",
    "DestinationRule": "networking.istio.io/v1beta1",
    "Gateway": "networking.istio.io/v1alpha3",
    "ServiceEntry": "networking.istio.io/v1",
    "Sidecar": "networking.istio.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "RequestAuthentication": "security.istio.io/v1beta1",
    "AuthorizationPolicy": "security.istio.io/v1",
    "Telemetry": "telemetry.istio.io/v1",
}


def check(kind: str, spec: str | dict[str, Any], name: str = "x") -> list[str]:
    parsed = yaml.safe_load(spec) if isinstance(spec, str) else spec
    metadata = {"name": name, "namespace": "default"}
    return validate({"apiVersion": KINDS[kind], "kind": kind, "metadata": metadata, "spec": parsed})


def route(text: str) -> str:
    """A VirtualService with one HTTP route; destinations are given as ``DEST``."""
    return "hosts: [a]\nhttp:\n- " + text.replace("DEST", "{destination: {host: a}}").replace("\n", "\n  ")


VALID = {
    "VirtualService": [
        "{hosts: [myapp.default.svc], http: [{route: [{destination: {host: myapp, subset: v1}, weight: 8},"
        " {destination: {host: myapp, subset: v2}, weight: 2}]}]}",
        route(
            "route: [DEST]\nretries: {attempts: 3, perTryTimeout: 2s, retryOn: '5xx,503,connect-failure'}\ntimeout: 10s"
        ),
        route("route: [DEST]\nretries: {attempts: 0}"),
        route("route: [DEST]\nfault: {delay: {percentage: {value: 100}, fixedDelay: 7s}, abort: {httpStatus: 500}}"),
        route("redirect: {uri: /x, redirectCode: 302}"),
        route("directResponse: {status: 503, body: {string: hi}}"),
        route("match: [{uri: {regex: '^/v[0-9]+'}, headers: {end-user: {exact: jason}}}]\nroute: [DEST]"),
        route("route: [DEST]\nrewrite: {uri: /}\nheaders: {request: {set: {x-a: b}, remove: [foo]}}"),
        "{hosts: ['*'], gateways: [gw], http: [{route: [{destination: {host: a}}]}]}",
        "{hosts: [a], tcp: [{route: [{destination: {host: a, port: {number: 9000}}}]}]}",
        "{hosts: [a.com], gateways: [ns/gw], tls: [{match: [{sniHosts: [a.com]}], route: [{destination: {host: a}}]}]}",
    ],
    "DestinationRule": [
        "{host: myapp, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}",
        "{host: '*.local', trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}",
        "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}},"
        " outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 100}}}",
    ],
    "Gateway": [
        "{selector: {istio: gateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}",
        "{servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [ns/a.com],"
        " tls: {mode: SIMPLE, credentialName: cert}}]}",
    ],
    "ServiceEntry": [
        "{hosts: [a.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}",
        "{hosts: [a.com], addresses: [10.0.0.0/8], ports: [{number: 1, name: t, protocol: TCP}], resolution: NONE}",
    ],
    "Sidecar": ["{egress: [{hosts: ['./*', 'istio-system/*']}]}"],
    "PeerAuthentication": [
        "{mtls: {mode: STRICT}}",
        "{selector: {matchLabels: {app: a}}, portLevelMtls: {8080: {mode: DISABLE}}}",
    ],
    "RequestAuthentication": ["{jwtRules: [{issuer: a@b, jwksUri: 'https://a/b'}]}"],
    "AuthorizationPolicy": [
        "{}",
        "{action: DENY, rules: [{}]}",
        "{action: ALLOW, rules: [{from: [{source: {principals: ['cluster.local/ns/default/sa/curl']}}],"
        " to: [{operation: {methods: [GET], paths: [/x*], ports: ['80']}}],"
        " when: [{key: 'request.auth.claims[groups]', values: [a]}]}]}",
    ],
    "Telemetry": ["{tracing: [{randomSamplingPercentage: 100}]}"],
}


@pytest.mark.parametrize(("kind", "spec"), [(kind, spec) for kind, specs in VALID.items() for spec in specs])
def test_valid_resources(kind: str, spec: str) -> None:
    assert check(kind, spec) == []


NEVER = "action without `rules` is meaningless as it will never be triggered, add an empty rule `{}` if you want it be triggered for every request"


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("VirtualService", "{hosts: [a]}", "http, tcp or tls must be provided in virtual service"),
        ("VirtualService", route("name: x"), "HTTP route, redirect or direct_response is required"),
        (
            "VirtualService",
            route("route: [DEST]\nredirect: {uri: /}"),
            "HTTP route cannot contain both route and redirect",
        ),
        (
            "VirtualService",
            "{hosts: ['*'], http: [{route: [{destination: {host: a}}]}]}",
            "wildcard host * is not allowed for virtual services bound to the mesh gateway",
        ),
        (
            "VirtualService",
            "{hosts: [a, a], http: [{route: [{destination: {host: a}}]}]}",
            "duplicate hosts in virtual service: a & a",
        ),
        (
            "VirtualService",
            "{hosts: ['*.foo.com', a.foo.com], http: [{route: [{destination: {host: a}}]}]}",
            "duplicate hosts in virtual service: *.foo.com & a.foo.com",
        ),
        ("VirtualService", route("route: [{destination: {host: a}, weight: -1}]"), "weight -1 < 0"),
        (
            "VirtualService",
            route("route: [{destination: {host: a}, weight: 0}, {destination: {host: b}, weight: 0}]"),
            "total destination weight = 0",
        ),
        ("VirtualService", route("route: [{weight: 1}]"), "destination is required"),
        (
            "VirtualService",
            route("route: [{destination: {host: a_b}}]"),
            'domain name "a_b" invalid (label "a_b" invalid)',
        ),
        (
            "VirtualService",
            route("route: [{destination: {host: a, subset: V_1}}]"),
            "subset name is invalid: V_1",
        ),
        (
            "VirtualService",
            route("route: [DEST]\nretries: {attempts: 0, retryOn: 5xx}"),
            "http retry policy configured when attempts are set to 0 (disabled)",
        ),
        (
            "VirtualService",
            route("route: [DEST]\nretries: {attempts: 1, retryOn: sometimes}"),
            '"sometimes" is not a valid retryOn policy',
        ),
        (
            "VirtualService",
            route("route: [DEST]\nfault: {}"),
            "HTTP fault injection must have an abort and/or a delay",
        ),
        (
            "VirtualService",
            route("route: [DEST]\nfault: {abort: {httpStatus: 500, percentage: {value: 101}}}"),
            "percentage 101 is neither 0.0, nor in range [0.0001, 100.0]",
        ),
        (
            "VirtualService",
            route("route: [DEST]\nfault: {delay: {fixedDelay: 0.0001s}}"),
            "duration must be greater than 1ms",
        ),
        (
            "VirtualService",
            route("route: [DEST]\nmatch: [{scheme: {prefix: ''}}]"),
            '"scheme": prefix string match should not be empty',
        ),
        ("DestinationRule", "{host: a, subsets: [{labels: {v: '1'}}]}", "subset name cannot be empty"),
        ("DestinationRule", "{host: a, subsets: [{name: v1}, {name: v1}]}", "duplicate subset names: v1"),
        ("DestinationRule", "{host: ''}", "empty domain name not allowed"),
        ("DestinationRule", "{host: a, trafficPolicy: {}}", "traffic policy must have at least one field"),
        (
            "DestinationRule",
            "{host: a, trafficPolicy: {connectionPool: {}}}",
            "connection pool must have at least one field",
        ),
        (
            "DestinationRule",
            "{host: a, trafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}}",
            "percentage 101 is not in range 0..100",
        ),
        ("Gateway", "{selector: {a: b}}", "gateway must have at least one server"),
        (
            "Gateway",
            "{servers: [{port: {number: 80, name: h, protocol: HTTP}}]}",
            "server config must contain at least one host",
        ),
        (
            "Gateway",
            "{servers: [{port: {number: 443, name: h, protocol: HTTPS}, hosts: ['*']}]}",
            "server must have TLS settings for HTTPS/TLS protocols",
        ),
        (
            "Gateway",
            "{servers: [{port: {number: 80, protocol: HTTP}, hosts: ['*']}]}",
            'port name must be set: number:80 protocol:"HTTP"',
        ),
        ("ServiceEntry", "{ports: []}", "service entry must have at least one host"),
        ("Sidecar", "{}", "sidecar: empty configuration provided"),
        (
            "PeerAuthentication",
            "{portLevelMtls: {8080: {mode: STRICT}}}",
            "mesh/namespace peer authentication cannot have port level mTLS",
        ),
        ("RequestAuthentication", "{jwtRules: [{}]}", "issuer or jwksUri must be non-empty string"),
        ("AuthorizationPolicy", "{action: DENY}", f"invalid policy x.default: DENY {NEVER}"),
        (
            "AuthorizationPolicy",
            "{rules: [{from: []}]}",
            "invalid policy x.default: `from` must not be empty, found at rule 0",
        ),
        (
            "AuthorizationPolicy",
            "{rules: [{to: []}]}",
            "invalid policy x.default: `to` must not be empty, found at rule 0",
        ),
        (
            "AuthorizationPolicy",
            "{rules: [{when: [{values: [a]}]}]}",
            "invalid policy x.default: `key` must not be empty",
        ),
    ],
)
def test_what_is_refused(kind: str, spec: str, expected: str) -> None:
    assert check(kind, spec) == [expected]


def test_several_errors_are_all_told() -> None:
    found = check("VirtualService", route("route: [{destination: {host: a}, weight: -1}]\ntimeout: 0.0001s"))
    assert found == ["weight -1 < 0", "duration must be greater than 1ms"]
    expected = "2 errors occurred:\n\t* weight -1 < 0\n\t* duration must be greater than 1ms\n\n"
    assert format_errors(found) == expected
    assert format_errors(found[:1]) == "weight -1 < 0"


def test_other_kinds_and_versions() -> None:
    assert validate({"apiVersion": "v1", "kind": "Service"}) == []
    assert validate({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "spec": {}}) == []


@pytest.mark.parametrize(
    "spec", [None, [], "x", {"http": {"a": 1}}, {"hosts": [1], "http": [{"route": 5, "fault": 3}]}]
)
def test_nonsense_never_raises(spec: Any) -> None:
    for kind in KINDS:
        check(kind, {"spec": spec} if spec == [] else spec)
