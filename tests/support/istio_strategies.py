"""Hypothesis strategies for valid traffic resources, about the world that `shop_world` makes.

Alphabets are small on purpose: conditions should often hold, and often meet each other.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from meshlab.minicluster.kubeapi import Obj
from tests.fakes.istio_world import World

HOSTS = ("shop", "shop.default.svc.cluster.local", "cart.other.svc.cluster.local", "*.default.svc.cluster.local")
SUBSETS = ("v1", "v2")
PATHS = ("/", "/a", "/a/b", "/A", "/b", "/ab")
USERS = ("jason", "jane", "")
PORT = 80

PERCENT = st.sampled_from([0.1, 1.0, 12.5, 50.0, 100.0])
DURATIONS = st.sampled_from(["5s", "1.5m", "2m", "1h30m"])


def shop_world(prefix: str) -> World:
    """A client, two versions of a shop, a cart in another namespace, and an ingress gateway; nobody has a sidecar."""
    world = World(prefix)
    world.pod("client", {"app": "client"}, injected=False)
    for version in ("v1", "v2"):
        world.pod(f"shop-{version}", {"app": "shop", "version": version}, injected=False)
    world.pod("cart-v1", {"app": "cart", "version": "v1"}, namespace="other", injected=False)
    world.pod("ingress", {"istio": "ingressgateway"}, injected=False)
    ports = [
        {"name": "http", "port": PORT, "targetPort": 8080},
        {"name": "grpc-api", "port": 81, "targetPort": 8081},
        {"name": "tcp-raw", "port": 9000},
        {"name": "https", "port": 443, "targetPort": 8443},
        {"name": "guess", "port": 82, "targetPort": 8082},
    ]
    world.service("shop", {"app": "shop"}, ports)
    world.service("cart", {"app": "cart"}, ports[:1], namespace="other")
    edge = [{"name": f"p{p}", "port": p, "targetPort": t} for p, t in ((80, 8080), (443, 8443), (9000, 9000))]
    world.service("istio-ingressgateway", {"istio": "ingressgateway"}, edge)
    return world


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Obj]:
    """An object in which each of the fields may be missing."""
    return st.fixed_dictionaries({}, optional=fields)


def string_matches(*words: str) -> st.SearchStrategy[Obj]:
    """An exact, prefix or regex condition made of one of the words."""
    word = st.sampled_from([w for w in words if w])
    return st.one_of(
        word.map(lambda w: {"exact": w}),
        word.map(lambda w: {"prefix": w[: max(1, len(w) - 1)]}),
        word.map(lambda w: {"regex": f"{w}.*"}),
    )


def matches(*, gateways: bool = True) -> st.SearchStrategy[Obj]:
    """One alternative of an HTTP match."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "uri": string_matches(*PATHS),
        "ignoreUriCase": st.booleans(),
        "method": string_matches("GET", "POST"),
        "scheme": st.just({"exact": "http"}),
        "authority": string_matches("shop", "other"),
        "headers": st.fixed_dictionaries({"x-user": st.one_of(string_matches(*USERS), st.just({}))}),
        "withoutHeaders": st.fixed_dictionaries({"x-role": st.one_of(string_matches("admin"), st.just({}))}),
        "queryParams": st.fixed_dictionaries({"q": string_matches("1", "22")}),
        "port": st.sampled_from([PORT, 81]),
        "sourceLabels": st.sampled_from([{"app": "client"}, {"app": "shop"}]),
        "sourceNamespace": st.sampled_from(["default", "other"]),
        "statPrefix": st.just("some"),
        "name": st.sampled_from(["m1", "m2"]),
    }
    if gateways:
        fields["gateways"] = st.sampled_from([["mesh"], ["edge"], ["mesh", "edge"]])
    return optional(**fields).filter(lambda match: set(match) - {"ignoreUriCase", "statPrefix", "name"})


DESTINATIONS = st.one_of(
    st.sampled_from(SUBSETS).map(lambda s: {"host": "shop", "subset": s, "port": {"number": PORT}}),
    st.just({"host": "shop", "port": {"number": PORT}}),
    st.just({"host": "shop.default.svc.cluster.local"}),
    st.just({"host": "cart.other.svc.cluster.local"}),
)

HEADER_OPERATIONS = optional(
    set=st.just({"x-set": "1"}), add=st.just({"x-add": "2"}), remove=st.just(["x-user-agent", "x-gone"])
)
HEADERS = optional(request=HEADER_OPERATIONS, response=HEADER_OPERATIONS)


@st.composite
def splits(draw: st.DrawFn) -> list[Obj]:
    """Weighted destinations of which at least one gets traffic."""
    found: list[Obj] = draw(
        st.lists(
            st.fixed_dictionaries({"destination": DESTINATIONS}, optional={"headers": HEADERS}), min_size=1, max_size=3
        )
    )
    if len(found) > 1:
        for position, split in enumerate(found):
            split["weight"] = draw(st.integers(min_value=1 if position == 0 else 0, max_value=30))
    return found


ROUTE_PARTS = {
    "timeout": DURATIONS,
    "retries": st.fixed_dictionaries(
        {"attempts": st.integers(1, 3)},
        optional={
            "perTryTimeout": st.sampled_from(["5s", "10.5s"]),
            "retryOn": st.sampled_from(["5xx,reset", "connect-failure,503", "gateway-error"]),
            "retryRemoteLocalities": st.booleans(),
            "retryIgnorePreviousHosts": st.booleans(),
            "backoff": st.just("25ms"),
        },
    ),
    "fault": st.one_of(
        st.fixed_dictionaries(
            {
                "abort": st.fixed_dictionaries(
                    {"httpStatus": st.sampled_from([418, 503]), "percentage": st.just({"value": 100})}
                )
            }
        ),
        st.just({"delay": {"fixedDelay": "2ms", "percentage": {"value": 100}}}),
    ),
    "rewrite": st.one_of(
        st.just({"uri": "/new"}),
        st.just({"authority": "elsewhere.example.com"}),
        st.just({"uri": "/new/", "authority": "elsewhere"}),
        st.just({"uriRegexRewrite": {"match": "^/(.)(.*)$", "rewrite": r"/x\1\2"}}),
    ),
    "mirror": st.just({"host": "cart.other.svc.cluster.local"}),
    "headers": HEADERS,
    "corsPolicy": optional(
        allowOrigins=st.just([{"exact": "https://a.example.com"}, {"prefix": "https://b"}, {"regex": ".*\\.c"}]),
        allowMethods=st.just(["GET", "POST"]),
        allowHeaders=st.just(["x-a"]),
        exposeHeaders=st.just(["x-b"]),
        maxAge=st.just("24h"),
        allowCredentials=st.booleans(),
        unmatchedPreflights=st.sampled_from(["FORWARD", "IGNORE"]),
    ),
}

REDIRECTS = optional(
    uri=st.just("/moved"),
    authority=st.just("new.example.com"),
    scheme=st.sampled_from(["http", "https"]),
    redirectCode=st.sampled_from([301, 302, 303, 307, 308]),
    port=st.sampled_from([80, 443, 8443]),
).filter(lambda r: bool(set(r) - {"redirectCode", "port", "scheme"}))

RESPONSES = st.fixed_dictionaries(
    {"status": st.sampled_from([200, 404, 503])},
    optional={"body": st.sampled_from([{"string": "fixed"}, {"bytes": "Zml4ZWQ="}])},
)


@st.composite
def http_routes(draw: st.DrawFn) -> Obj:
    """One HTTP route: its matches, and one of the three actions with what goes with it."""
    route: Obj = {}
    found = draw(st.lists(matches(), max_size=2))
    if found:
        route["match"] = found
    kind = draw(st.sampled_from(["route", "route", "route", "redirect", "directResponse"]))
    if kind == "route":
        route |= {"route": draw(splits()), **draw(optional(**ROUTE_PARTS))}
    elif kind == "redirect":
        route["redirect"] = draw(REDIRECTS)
    else:
        route["directResponse"] = draw(RESPONSES)
    return route


@st.composite
def virtual_services(draw: st.DrawFn, name: str) -> Obj:
    """A VirtualService for one of the hosts, for sidecars, the gateway or both."""
    spec: Obj = {
        "hosts": [draw(st.sampled_from(HOSTS))],
        "http": draw(st.lists(http_routes(), min_size=1, max_size=3)),
    }
    spec |= draw(optional(gateways=st.sampled_from([["mesh"], ["edge"], ["mesh", "edge"]])))
    if draw(st.booleans()):
        spec["tcp"] = [
            {
                "match": [{"port": 9000}],
                "route": [
                    {"destination": {"host": "shop", "port": {"number": 9000}, "subset": s}, "weight": w}
                    for s, w in (("v1", 3), ("v2", 1))
                ],
            }
        ]
    return _resource("VirtualService", name, spec)


LOAD_BALANCERS = st.one_of(
    st.sampled_from(["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "UNSPECIFIED"]).map(lambda s: {"simple": s}),
    st.fixed_dictionaries(
        {
            "consistentHash": st.one_of(
                st.just({"httpHeaderName": "x-user"}),
                st.just({"httpCookie": {"name": "user", "ttl": "0s", "path": "/"}}),
                st.just({"useSourceIp": True}),
                st.just({"httpQueryParameterName": "q", "ringHash": {"minimumRingSize": 64}}),
                st.just({"httpHeaderName": "x-user", "maglev": {"tableSize": 997}}),
            )
        }
    ),
    st.just({"simple": "ROUND_ROBIN", "warmup": {"duration": "30s", "minimumPercent": 5, "aggression": 1.5}}),
    st.just({"localityLbSetting": {"distribute": [{"from": "r1/*", "to": {"r1/*": 80, "r2/*": 20}}]}}),
    st.just({"localityLbSetting": {"failoverPriority": ["app", "topology.kubernetes.io/region"]}}),
    st.just({"localityLbSetting": {"enabled": True, "failover": [{"from": "r1", "to": "r2"}]}}),
)

POLICY_PARTS: dict[str, st.SearchStrategy[Any]] = {
    "loadBalancer": LOAD_BALANCERS,
    "connectionPool": st.fixed_dictionaries(
        {
            "tcp": st.fixed_dictionaries(
                {"maxConnections": st.just(1000)},
                optional={
                    "connectTimeout": DURATIONS,
                    "idleTimeout": DURATIONS,
                    "maxConnectionDuration": st.just("1h"),
                    "tcpKeepalive": st.just({"probes": 3, "time": "7200s", "interval": "75s"}),
                },
            )
        },
        optional={
            "http": st.fixed_dictionaries(
                {"http2MaxRequests": st.just(1000)},
                optional={
                    "http1MaxPendingRequests": st.just(1000),
                    "maxRequestsPerConnection": st.sampled_from([0, 1, 10]),
                    "maxRetries": st.just(3),
                    "idleTimeout": DURATIONS,
                    "useClientProtocol": st.booleans(),
                    "maxConcurrentStreams": st.just(100),
                },
            )
        },
    ),
    "outlierDetection": st.fixed_dictionaries(
        {"consecutive5xxErrors": st.sampled_from([0, 1000])},
        optional={
            "consecutiveGatewayErrors": st.just(1000),
            "consecutiveLocalOriginFailures": st.just(1000),
            "splitExternalLocalOriginErrors": st.just(True),
            "interval": DURATIONS,
            "baseEjectionTime": st.sampled_from(["1s", "3m", "10m"]),
            "maxEjectionPercent": st.sampled_from([1, 100]),
            "minHealthPercent": st.sampled_from([0, 50]),
        },
    ).filter(lambda o: "consecutiveLocalOriginFailures" not in o or "splitExternalLocalOriginErrors" in o),
    "retryBudget": st.sampled_from([{"percent": 20}, {"percent": 25.5, "minRetryConcurrency": 5}]),
}


@st.composite
def policies(draw: st.DrawFn) -> Obj:
    """A traffic policy with at least one part, perhaps other settings for one port."""
    # A budget alone does not make a policy, as upstream's validation has it.
    policy = draw(optional(**POLICY_PARTS).filter(lambda parts: bool(parts.keys() - {"retryBudget"})))
    if draw(st.booleans()):
        of_port = draw(optional(**{k: v for k, v in POLICY_PARTS.items() if k != "retryBudget"}).filter(bool))
        policy["portLevelSettings"] = [{"port": {"number": draw(st.sampled_from([80, 9000]))}, **of_port}]
    return policy


@st.composite
def destination_rules(draw: st.DrawFn, name: str) -> Obj:
    """A DestinationRule with the subsets that routes ask for, some of them perhaps."""
    subsets = [
        {"name": s, "labels": {"version": s}, **draw(optional(trafficPolicy=policies()))}
        for s in draw(st.sets(st.sampled_from(SUBSETS)))
    ]
    spec: Obj = {
        "host": draw(st.sampled_from(["shop", "*.svc.cluster.local"])),
        **draw(optional(trafficPolicy=policies())),
    }
    if subsets:
        spec["subsets"] = sorted(subsets, key=lambda s: str(s["name"]))
    return _resource("DestinationRule", name, spec)


@st.composite
def service_entries(draw: st.DrawFn, name: str) -> Obj:
    """A host outside of the mesh, or made of endpoints."""
    protocol = st.sampled_from(["HTTP", "HTTPS", "TLS", "GRPC", "HTTP2"])
    ports = [
        {"number": 80, "name": "http", "protocol": "HTTP"},
        {"number": 443, "name": "p443", "protocol": draw(protocol)},
    ]
    kind = draw(st.sampled_from(["STATIC", "DNS", "DNS_ROUND_ROBIN", "NONE"]))
    spec: Obj = {
        "hosts": [
            draw(st.sampled_from([f"{name}.example.com", "*.example.com"])) if kind == "NONE" else f"{name}.example.com"
        ],
        "ports": ports,
        "resolution": kind,
        "location": draw(st.sampled_from(["MESH_EXTERNAL", "MESH_INTERNAL"])),
    }
    if kind == "STATIC":
        spec["endpoints"] = [
            {"address": "192.0.2.1"},
            {"address": "192.0.2.2", "ports": {"http": 8080}, "weight": 3, "locality": "r1/z1"},
        ]
    elif kind.startswith("DNS") and draw(st.booleans()):
        spec["endpoints"] = [{"address": "localhost", "ports": {"http": 8080}}]
    return _resource("ServiceEntry", name, spec)


EDGE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "edge", "namespace": "default"},
    "spec": {
        "selector": {"istio": "ingressgateway"},
        "servers": [
            {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
            {"port": {"number": 9000, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]},
        ],
    },
}

SIDECARS = st.sampled_from(
    [
        {"egress": [{"hosts": ["./*", "other/*"]}]},
        {"egress": [{"hosts": ["*/*"]}], "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}},
        {
            "ingress": [
                {"port": {"number": 9080, "protocol": "HTTP", "name": "in"}, "defaultEndpoint": "127.0.0.1:8080"}
            ],
            "egress": [{"hosts": ["*/*"]}],
        },
    ]
).map(lambda spec: _resource("Sidecar", "default", spec))


@st.composite
def worlds(draw: st.DrawFn) -> list[Obj]:
    """Resources to add to `shop_world`, oldest first."""
    found = [draw(virtual_services(f"vs{n}")) for n in range(draw(st.integers(1, 3)))]
    found += [draw(destination_rules(f"dr{n}")) for n in range(draw(st.integers(0, 2)))]
    found += [draw(service_entries(f"se{n}")) for n in range(draw(st.integers(0, 2)))]
    found += draw(st.lists(SIDECARS, max_size=1))
    return [EDGE, *found]


def _resource(kind: str, name: str, spec: Any) -> Obj:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }
