"""What the validation webhook warns of, and the rarer things it refuses, kind by kind."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshlab.minicluster.mesh.istio.validation import format_errors, judge
from meshlab.minicluster.mesh.istio.webhooks import review_validation

API_VERSIONS = {
    **dict.fromkeys(
        ["VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "WorkloadEntry", "WorkloadGroup", "Sidecar"],
        "networking.istio.io/v1",
    ),
    "EnvoyFilter": "networking.istio.io/v1alpha3",
    "ProxyConfig": "networking.istio.io/v1beta1",
    **dict.fromkeys(["AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"], "security.istio.io/v1"),
    "Telemetry": "telemetry.istio.io/v1",
    "WasmPlugin": "extensions.istio.io/v1alpha1",
}
ROUTE = "route: [{destination: {host: a}}]"


def resource(kind: str, spec: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSIONS[kind],
        "kind": kind,
        "metadata": {"name": "x", "namespace": "ns", **metadata},
        "spec": yaml.safe_load(spec),
    }


def http(route: str) -> str:
    return "{hosts: [a], http: [{" + route + "}]}"


def policy(settings: str) -> str:
    return "{host: a, trafficPolicy: {" + settings + "}}"


def server(settings: str, port: str = "{number: 443, name: a, protocol: HTTPS}") -> str:
    return f"{{servers: [{{port: {port}, hosts: ['*'], {settings}}}]}}"


def entry(settings: str) -> str:
    return "{hosts: [a.com], ports: [{number: 80, name: a, protocol: HTTP}], " + settings + "}"


SELECTOR = "workload selector specified without labels"
EXPERIMENTAL = (
    "EnvoyFilter exposes internal implementation details that may change at any time. Prefer other APIs if possible, "
    "and exercise extreme caution, especially around upgrades."
)
ONLY_HTTP = (
    "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to the use of only HTTP "
    "attributes in a DENY rule; it is recommended to explicitly specify the port"
)
WARNED = [
    (
        "VirtualService",
        "{hosts: [a], gateways: [gw.ns.svc], http: [{" + ROUTE + "}]}",
        ['using legacy gatewayName format "gw.ns.svc"; prefer the <namespace>/<name> format: "ns/gw"'],
    ),
    (
        "VirtualService",
        http("mirrorPercent: 5, " + ROUTE),
        ['using deprecated setting "mirrorPercent", use "mirrorPercentage" instead'],
    ),
    ("VirtualService", http("fault: {abort: {}}, " + ROUTE), ["abort configured, but error type not set"]),
    (
        "VirtualService",
        f"{{hosts: [a], http: [{{{ROUTE}}}, {{name: late, {ROUTE}}}]}}",
        ['virtualService rule "late" not used (only the last rule can have no matches)'],
    ),
    (
        "VirtualService",
        f"{{hosts: [a], http: [{{{ROUTE}}}, {{match: [{{uri: {{exact: /a}}}}], {ROUTE}}}]}}",
        ["virtualService rule #1 not used (route without matches defined before)"],
    ),
    (
        "VirtualService",
        f"{{hosts: [a], http: [{{match: [{{port: 80}}], {ROUTE}}}, {{match: [{{name: m, port: 80}}], {ROUTE}}}]}}",
        [
            'virtualService rule #1 match "m" is not used (duplicate/overlapping match in rule #0)',
            "virtualService rule #1 not used (all matches used by prior rules)",
        ],
    ),
    (
        "VirtualService",
        f"{{hosts: [a], http: [{{match: [{{uri: {{prefix: /a}}}}], {ROUTE}}},"
        f" {{match: [{{uri: {{prefix: /ab}}}}], {ROUTE}}}]}}",
        [
            "virtualService rule #1 match #0 of prefix /ab is not used (duplicate/overlapping match in rule "
            "#0 of prefix /a on #0)"
        ],
    ),
    (
        "VirtualService",
        "{hosts: ['1.2.3.4'], gateways: [ns/gw], tls: [{match: [{sniHosts: ['1.2.3.4']}], " + ROUTE + "}]}",
        ['using an IP address ("1.2.3.4") goes against SNI spec and most clients do not support this'],
    ),
    (
        "DestinationRule",
        policy("loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}"),
        ["outlier detection policy must be provided for failover"],
    ),
    (
        "DestinationRule",
        policy("outlierDetection: {consecutiveErrors: 3}"),
        [
            "outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or "
            "consecutive5xxErrors instead"
        ],
    ),
    ("DestinationRule", "{host: a, workloadSelector: {}}", [SELECTOR]),
    (
        "Gateway",
        server("tls: {mode: PASSTHROUGH, credentialName: a}"),
        ["PASSTHROUGH mode does not use certificates, they will be ignored"],
    ),
    (
        "Gateway",
        server("tls: {mode: SIMPLE, credentialName: a, cipherSuites: [X, AES128-SHA, AES128-SHA]}"),
        ["ignoring invalid cipher suites: [X]", "ignoring duplicate cipher suites: [AES128-SHA]"],
    ),
    (
        "Gateway",
        server("tls: {mode: PASSTHROUGH, httpsRedirect: true}"),
        ["tls.httpsRedirect should only be used with http servers"],
    ),
    (
        "ServiceEntry",
        entry("workloadSelector: {}, resolution: STATIC"),
        [f"service entry: {SELECTOR}, will be applied to all services in namespace"],
    ),
    (
        "ServiceEntry",
        "{hosts: [a.com], ports: [{number: 80, name: a}], resolution: NONE}",
        ["addresses are required for ports serving TCP (or unset) protocol when IP Autoallocation is not enabled"],
    ),
    ("WorkloadEntry", "{network: n}", ['address is unset with network "n"']),
    (
        "Sidecar",
        "{workloadSelector: {}, egress: [{hosts: [./a.com, ns/a.com]}]}",
        [
            f"sidecar: {SELECTOR}, will be applied to all services in namespace",
            "duplicated egress host: ns/a.com",
        ],
    ),
    (
        "Sidecar",
        "{egress: [{hosts: ['*/*', ns/a.com]}]}",
        ["`*/*` host select all resources, no other hosts can be added"],
    ),
    ("EnvoyFilter", "{configPatches: []}", [EXPERIMENTAL]),
    (
        "EnvoyFilter",
        "{configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter:"
        " {name: envoy.http_connection_manager}}}}, patch: {operation: REMOVE}}]}",
        [
            EXPERIMENTAL,
            'using deprecated filter name "envoy.http_connection_manager"; use '
            '"envoy.filters.network.http_connection_manager" instead',
        ],
    ),
    (
        "EnvoyFilter",
        "{configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {foo: 1}}},"
        " {applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: a}}}]}",
        [
            EXPERIMENTAL,
            'Envoy filter: unknown field "foo" in envoy.config.cluster.v3.Cluster',
            "using deprecated types by name without typed_config; a",
        ],
    ),
    ("AuthorizationPolicy", "{action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]}", [ONLY_HTTP]),
    ("AuthorizationPolicy", "{action: DENY, rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}", [ONLY_HTTP]),
    ("AuthorizationPolicy", "{action: DENY, rules: [{from: [{source: {namespaces: [a]}}]}]}", []),
    ("AuthorizationPolicy", "{action: DENY, rules: [{to: [{operation: {ports: ['80'], paths: [/a]}}]}]}", []),
    ("PeerAuthentication", "{selector: {}}", [SELECTOR]),
    ("Telemetry", "{tracing: [{}, {}]}", ["multiple tracing is not currently supported"]),
]


@pytest.mark.parametrize(("kind", "spec", "warnings"), WARNED)
def test_warnings(kind: str, spec: str, warnings: list[str]) -> None:
    judgement = judge(resource(kind, spec))
    assert judgement.errors == ()
    assert list(judgement.warnings) == warnings


REFUSED = [
    (
        "VirtualService",
        http("headers: {request: {set: {':authority': a}}}, rewrite: {authority: b}, " + ROUTE),
        'authority header cannot be set multiple times: have "b", attempting to set "a"',
    ),
    (
        "VirtualService",
        http("headers: {response: {add: {Host: a}}}, " + ROUTE),
        'invalid header "Host": cannot set Host header',
    ),
    (
        "VirtualService",
        http("headers: {request: {add: {a: 'b%'}}}, " + ROUTE),
        "header value configuration: invalid header configuration. Un-escaped %",
    ),
    (
        "VirtualService",
        http("match: [{uri: {regex: '(?=a)'}}], " + ROUTE),
        '"uri": error parsing regexp: invalid or unsupported Perl syntax: `(?=`; Istio uses RE2 style regex-based '
        "match (https://github.com/google/re2/wiki/Syntax)",
    ),
    (
        "VirtualService",
        http("name: r, delegate: {name: d}, redirect: {uri: /}"),
        "root HTTP route r must not specify redirect",
    ),
    (
        "VirtualService",
        http("mirrorPercentage: {value: 101}, " + ROUTE),
        "mirror_percentage must have a max value of 100 (it has 101.000000)",
    ),
    (
        "VirtualService",
        "{hosts: [a], exportTo: ['~'], http: [{" + ROUTE + "}]}",
        "exportTo ~ (none) is not allowed for Istio configuration objects",
    ),
    (
        "VirtualService",
        "{hosts: [a], tcp: [{match: [{destinationSubnets: [1.2.3.4/99]}], " + ROUTE + "}]}",
        "1.2.3.4/99 is not a valid CIDR block",
    ),
    (
        "DestinationRule",
        policy("loadBalancer: {localityLbSetting: {distribute: [{from: a/*, to: {a/*: 60}}]}}"),
        "total locality weight 60 != 100",
    ),
    (
        "DestinationRule",
        policy(
            "loadBalancer: {localityLbSetting: {distribute: [{from: a/*, to: {a/*: 100}}, {from: a/b/*, to: {b: 100}}]}}"
        ),
        "locality a/b/* overlap with previous specified ones",
    ),
    (
        "DestinationRule",
        policy("outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}"),
        "locality lb failover settings must specify different regions",
    ),
    (
        "DestinationRule",
        policy("loadBalancer: {warmup: {duration: 1s, aggression: 0.5}}"),
        "aggression should be greater than or equal to 1",
    ),
    (
        "DestinationRule",
        policy("tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: a}"),
        "cannot specify CaCertificates or CredentialName or SubjectAltNames when InsecureSkipVerify is set true",
    ),
    (
        "DestinationRule",
        policy("tunnel: {targetHost: a, targetPort: 0}"),
        "tunnel target port is invalid: port number 0 must be in the range 1..65535",
    ),
    (
        "DestinationRule",
        "{host: a, exportTo: ['*'], workloadSelector: {matchLabels: {a: b}}}",
        "destination rule with workload selector cannot have exportTo beyond current namespace",
    ),
    ("Gateway", server("bind: a, tls: {mode: PASSTHROUGH}"), "a is not a valid IP"),
    (
        "Gateway",
        "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [short]}]}",
        "short names (non FQDN) are not allowed",
    ),
    ("Gateway", "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['a*.com']}]}", None),
    (
        "Gateway",
        server("tls: {mode: SIMPLE, serverCertificate: a, privateKey: b, caCrl: c}"),
        "CRL is not supported with SIMPLE TLS",
    ),
    (
        "ServiceEntry",
        entry("resolution: STATIC, endpoints: [{address: 'unix://a'}]"),
        "a is not an absolute path to a file",
    ),
    ("ServiceEntry", entry("addresses: [a], resolution: DNS"), "a is not a valid IP"),
    ("WorkloadEntry", "{address: 'a b'}", 'endpoint address "a b" is not a valid FQDN or an IP address'),
    ("WorkloadGroup", "{}", "template is required"),
    ("WorkloadGroup", "{template: {}, probe: {}}", "unknown health check method <nil>"),
    ("WorkloadGroup", "{template: {}, probe: {exec: {}}}", "exec.command is required"),
    (
        "Sidecar",
        "{ingress: [{port: {number: 80, protocol: HTTP}, defaultEndpoint: '1.2.3.4:80'}]}",
        "sidecar: defaultEndpoint must be of form 127.0.0.1:<port>,0.0.0.0:<port>,[::1]:port,[::]:port,unix://filepath "
        "or unset",
    ),
    (
        "Sidecar",
        "{egress: [{port: {number: 0, protocol: HTTP}, hosts: [./*]}]}",
        "sidecar: ports with 0 value must have a unix domain socket bind address",
    ),
    ("Sidecar", "{egress: [{hosts: [a.com]}]}", "host must be of form namespace/dnsName"),
    (
        "Sidecar",
        "{outboundTrafficPolicy: {egressProxy: {host: a.com}}}",
        "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode",
    ),
    ("EnvoyFilter", "{configPatches: [{applyTo: LISTENER}]}", "Envoy filter: missing patch"),
    (
        "EnvoyFilter",
        "{configPatches: [{applyTo: CLUSTER, match: {listener: {}}, patch: {operation: MERGE, value: {}}}]}",
        "Envoy filter: applyTo for cluster class objects cannot have non cluster match",
    ),
    (
        "EnvoyFilter",
        "{configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: x}}}]}",
        'Envoy filter: Failed to parse connect_timeout field: Duration must end with letter "s": x. at '
        "Cluster.connect_timeout.",
    ),
    (
        "EnvoyFilter",
        "{configPatches: [{applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: a, typed_config:"
        ' {"@type": type.googleapis.com/envoy.config.filter.http.lua.v2.Lua}}}}]}',
        "referenced type unknown (hint: try using the v3 XDS API): Envoy filter: could not resolve Any message type: "
        "envoy.config.filter.http.lua.v2.Lua",
    ),
    ("ProxyConfig", "{concurrency: -1}", "concurrency must be greater than or equal to 0"),
    (
        "AuthorizationPolicy",
        "{rules: [{to: [{operation: {paths: ['/{**}/a/{*}']}}]}]}",
        "invalid policy x.ns: invalid or unsupported path {**}/a/{*}, found in Paths. {**} is not the last operator",
    ),
    (
        "AuthorizationPolicy",
        "{rules: [{to: [{operation: {paths: ['/{a}']}}]}]}",
        "invalid policy x.ns: invalid or unsupported path {a}, found in Paths. Contains '{' or '}' beyond a supported "
        "path template",
    ),
    (
        "AuthorizationPolicy",
        "{rules: [{from: [{source: {serviceAccounts: [a/b/c]}}]}]}",
        "invalid policy x.ns: expected format 'serviceAccount' or 'namespace/serviceAccount', found \"a/b/c\" in "
        "ServiceAccounts",
    ),
    (
        "AuthorizationPolicy",
        "{targetRefs: [{kind: Pod, name: a}]}",
        "invalid policy x.ns: targetRef must be to one of [/v1, Kind=Service networking.istio.io/v1, Kind=ServiceEntry "
        "gateway.networking.k8s.io/v1, Kind=Gateway gateway.networking.k8s.io/v1, Kind=GatewayClass] but was /Pod",
    ),
    ("RequestAuthentication", "{jwtRules: [{jwksUri: 'ftp://a'}]}", 'URI scheme "ftp" is not supported'),
    (
        "RequestAuthentication",
        "{jwtRules: [{issuer: a, outputClaimToHeaders: [{claim: a, header: a_b}]}]}",
        "header name a_b is not a valid header name",
    ),
    (
        "Telemetry",
        "{metrics: [{overrides: [{tagOverrides: {a: {operation: UPSERT}}}]}]}",
        "tagOverrides.value must be set when operation is UPSERT",
    ),
    ("WasmPlugin", "{}", "url field needs to be set"),
    ("WasmPlugin", "{url: 'oci://a', sha256: A}", "sha256 field must be 64 characters long"),
    ("WasmPlugin", "{url: 'oci://a', match: [{ports: [{number: 0}]}]}", "spec.Match[0].Ports[0] is out of range: 0"),
]


@pytest.mark.parametrize(("kind", "spec", "error"), [case for case in REFUSED if case[2]])
def test_refused(kind: str, spec: str, error: str) -> None:
    assert list(judge(resource(kind, spec)).errors) == [error]


def test_a_key_is_told_for_both_lists_of_values() -> None:
    found = judge(resource("AuthorizationPolicy", "{rules: [{when: [{key: request.headers, values: [a]}]}]}"))
    assert list(found.errors) == [
        f"invalid policy x.ns: invalid `{word}` for `key` request.headers: bad key (request.headers): should have "
        "format a[b]"
        for word in ("value", "notValue")
    ]


def test_the_condition_of_an_access_log() -> None:
    refused = judge(resource("Telemetry", "{accessLogging: [{filter: {expression: 'response.code >='}}]}")).errors
    assert refused[0].startswith("must be a valid CEL expression, ERROR: <input>:1:17: Syntax error: ")
    taken = judge(resource("Telemetry", "{accessLogging: [{filter: {expression: 'response.code >= 400'}}]}"))
    assert taken.errors == ()


def test_several_faults_of_one_host() -> None:
    found = judge(resource("Gateway", "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['a*.com']}]}"))
    assert found.errors == (
        'domain name "a*.com" invalid (label "a*" invalid)',
        'partial wildcard "a*.com" not allowed',
    )


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (
            "VirtualService",
            http("match: [{uri: {prefix: ''}, headers: {'@request.auth.claims.a': {exact: b}}}], " + ROUTE),
        ),
        ("VirtualService", http("match: [{withoutHeaders: {a: {regex: '*'}}}], " + ROUTE)),
        ("VirtualService", http("headers: {request: {set: {Host: a.com}}}, " + ROUTE)),
        (
            "VirtualService",
            "{hosts: [outbound_.80_._.a.com], gateways: [ns/gw], tls: [{match: [{sniHosts: [outbound_.80_._.a.com]}], "
            + ROUTE
            + "}]}",
        ),
        ("DestinationRule", policy("connectionPool: {tcp: {idleTimeout: 0s}}")),
        ("Gateway", server("bind: 'unix:///a'", "{number: 0, name: a, protocol: HTTP}")),
        ("Sidecar", "{ingress: [{port: {number: 80, protocol: HTTP}, defaultEndpoint: '[::1]:80'}]}"),
    ],
)
def test_taken(kind: str, spec: str) -> None:
    errors = judge(resource(kind, spec)).errors
    assert [error for error in errors if "JWT claim based routing" not in error] == []


@pytest.mark.parametrize(
    ("kind", "annotations", "error"),
    [
        (
            "Sidecar",
            {"istio.io/dry-run": "true"},
            "ns/x has unsupported annotation istio.io/dry-run, please remove the annotation",
        ),
        ("AuthorizationPolicy", {"istio.io/dry-run": "true"}, ""),
        (
            "AuthorizationPolicy",
            {"istio.io/dry-run": "maybe"},
            'ns/x has annotation istio.io/dry-run with invalid value (maybe): strconv.ParseBool: parsing "maybe": '
            "invalid syntax",
        ),
        (
            "PeerAuthentication",
            {"internal.istio.io/webhook-always-reject": ""},
            '"internal.istio.io/webhook-always-reject" annotation found, rejecting',
        ),
        (
            "PeerAuthentication",
            {"internal.istio.io/parents": "a"},
            '"internal.istio.io/parents" annotation found, this may not be set by users',
        ),
    ],
)
def test_annotations(kind: str, annotations: dict[str, str], error: str) -> None:
    found = judge(resource(kind, "{egress: [{hosts: [./*]}]}" if kind == "Sidecar" else "{}", annotations=annotations))
    assert list(found.errors) == ([error] if error else [])


def test_an_error_that_upstream_lists_is_listed_alone() -> None:
    errors = judge(resource("RequestAuthentication", "{jwtRules: [{}]}")).errors
    assert format_errors(errors) == "1 error occurred:\n\t* issuer or jwksUri must be non-empty string\n\n"


def test_the_webhooks_answer() -> None:
    def review(kind: str, spec: str) -> dict[str, Any]:
        return review_validation({"operation": "CREATE", "namespace": "ns", "object": resource(kind, spec)})

    assert review("EnvoyFilter", "{}") == {"allowed": True, "warnings": [EXPERIMENTAL]}
    assert review("PeerAuthentication", "{}") == {"allowed": True}
    refused = review("VirtualService", "{hosts: [a]}")
    assert refused["status"]["message"] == (
        "configuration is invalid: http, tcp or tls must be provided in virtual service"
    )
    assert review_validation({"operation": "DELETE"}) == {"allowed": True}
