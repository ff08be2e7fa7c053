"""``describe``: upstream's lines for pods and services, from small snapshots."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshlab.minicluster.mesh.istio.analysis.model import Resource, Snapshot
from meshlab.minicluster.mesh.istio.istioctl.describe import lookup, rules
from meshlab.minicluster.mesh.istio.istioctl.describe.authentication import authentication
from meshlab.minicluster.mesh.istio.istioctl.describe.ingress import ingress
from meshlab.minicluster.mesh.istio.istioctl.describe.lookup import View
from meshlab.minicluster.mesh.istio.istioctl.describe.prototext import prototext
from meshlab.minicluster.mesh.istio.istioctl.describe.rules import Subsets
from meshlab.minicluster.mesh.istio.istioctl.describe.workload import describe_pod, describe_service
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError

LABELS = {"app": "web", "version": "v1"}
STATUS = {"phase": "Running", "containerStatuses": [{"name": n, "ready": True} for n in ("app", "istio-proxy")]}


def obj(api_version: str, kind: str, name: str, spec: Any, namespace: str = "default", **metadata: Any) -> Resource:
    more = {"status": metadata.pop("status")} if "status" in metadata else {}
    metadata = {"name": name, "namespace": namespace, **metadata}
    return Resource({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec, **more})


def pod(name: str = "web-1", *, proxy: bool = True, labels: Any = None, **more: Any) -> Resource:
    containers: Any = [
        {"name": "app", "ports": [{"containerPort": 8080, "name": "web"}, {"containerPort": 53, "protocol": "UDP"}]}
    ]
    containers += [{"name": "istio-proxy", "ports": [{"containerPort": 15090}]}] if proxy else []
    given = {"status": STATUS, "annotations": {"sidecar.istio.io/status": json.dumps({"revision": "default"})}, **more}
    return obj("v1", "Pod", name, {"containers": containers}, labels=LABELS if labels is None else labels, **given)  # fmt: skip


def service(*ports: Any, name: str = "web", **more: Any) -> Resource:
    return obj("v1", "Service", name, {"selector": {"app": "web"}, "ports": list(ports) or [PORT]}, **more)


PORT = {"name": "http", "port": 80, "targetPort": "web"}
NETWORKING = "networking.istio.io/v1"
SECURITY = "security.istio.io/v1"
CANARY = obj(
    NETWORKING,
    "VirtualService",
    "web",
    {"hosts": ["web"], "http": [{"route": [
        {"destination": {"host": "web", "subset": "v1"}, "weight": 80},
        {"destination": {"host": "web", "subset": "v2"}, "weight": 20},
    ]}]},
)  # fmt: skip
SUBSETS = obj(
    NETWORKING,
    "DestinationRule",
    "web",
    {"host": "web", "subsets": [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]},
)


def test_a_pod_of_a_canary() -> None:
    lines = list(describe_pod(pod(), View(Snapshot([pod(), service(), CANARY, SUBSETS]))))
    assert lines == [
        "Pod: web-1",
        "   Pod Revision: default",
        "   Pod Ports: 8080 (app), 53/UDP (app), 15090 (istio-proxy)",
        "--------------------",
        "Service: web",
        "   Port: http 80/HTTP targets pod port 8080",
        'DestinationRule: web for "web"',
        "   Matching subsets: v1",
        "      (Non-matching subsets v2)",
        "   No Traffic Policy",
        "VirtualService: web",
        '   Route to host "web" subset "v1" with weight 80%',
        "--------------------",
        "Effective PeerAuthentication:",
        "   Workload mTLS mode: PERMISSIVE",
        "Skipping Gateway information (no ingress gateway pods)",
    ]


def test_a_pod_outside_the_mesh() -> None:
    outside = pod(proxy=False, labels={"app": "other"}, annotations={})
    lines = describe_pod(outside, View(Snapshot([]), "elsewhere"))
    with pytest.raises(CommandError, match="failed to execute command on sidecar"):
        assert [next(lines) for _ in range(7)] == [
            "Pod: web-1.default",
            "   Pod Revision: ",
            "   Pod Ports: 8080 (app), 53/UDP (app)",
            "WARNING: web-1.default is not part of mesh; no Istio sidecar",
            "Warning: No Kubernetes Services select pod web-1.default (see "
            "https://istio.io/docs/setup/kubernetes/additional-setup/requirements/ )",
            "--------------------",
            "never",
        ]
    assert "no Istio sidecar" not in "".join(describe_pod(outside, View(Snapshot([]), ignore_unmeshed=True)))


def test_what_a_pod_lacks() -> None:
    unready: Any = {"phase": "Running", "containerStatuses": [{"name": "app", "ready": False}]}
    lines = list(describe_pod(pod(labels={"x": "y"}, status=unready), View(Snapshot([]))))
    assert lines[3] == "WARNING: Pod web-1 Container app NOT READY"
    assert lines[4].startswith("Suggestion: add required service name label for Istio telemetry. See https://istio.io/")
    assert lines[5].startswith("Suggestion: add required service revision label for Istio telemetry.")
    pending = list(describe_pod(pod(status={"phase": "Pending"}), View(Snapshot([]))))
    assert pending[3] == "   Pod is not Running (Pending)"


def test_a_service_with_several_ports() -> None:
    second = {"name": "tcp-db", "port": 5432, "targetPort": 5432}
    policy = obj(SECURITY, "AuthorizationPolicy", "allow", {"rules": [{}, {}]})
    both = service(PORT, second)
    lines = list(describe_service(both, View(Snapshot([pod(), both, CANARY, SUBSETS, policy]))))
    names = "RBAC policies: ns[default]-policy[allow]-rule[0], ns[default]-policy[allow]-rule[1]"
    rule = ['   DestinationRule: web for "web"', "      Matching subsets: v1", "         (Non-matching subsets v2)"]
    assert lines == [
        "Service: web",
        "   Port: http 80/HTTP targets pod port 8080",
        "   Port: tcp-db 5432/TCP targets pod port 5432",
        "80:",
        *rule,
        "      No Traffic Policy",
        "   VirtualService: web",
        '      Route to host "web" subset "v1" with weight 80%',
        f"80 {names}",
        "5432:",
        *rule,
        "      No Traffic Policy",
        f"5432 {names}",
        "Skipping Gateway information (no ingress gateway pods)",
    ]


def test_a_service_without_pods() -> None:
    view = View(Snapshot([]))
    assert list(describe_service(service(), view)) == ['Service "web" has no pods.']
    plain = View(Snapshot([pod(proxy=False, status={"phase": "Running"})]))
    assert list(describe_service(service(), plain)) == [
        'Pod web-1: no container "istio-proxy" in pod',
        'Service "web" has no Istio pods.  (1 pods in service).',
        "Use `istioctl kube-inject` or redeploy with Istio automatic sidecar injection.",
    ]


HOST = "web.default.svc.cluster.local"
ONE = Subsets("web", ("v1",), ("v2",))


def routes(*http: Any, **spec: Any) -> list[str]:
    resource = obj(NETWORKING, "VirtualService", "web", {"hosts": ["web"], "http": list(http), **spec})
    return list(rules.virtual_service(resource, "web", HOST, spec.pop("subsets", ONE)))[1:]


def to(subset: str, host: str = "web", weight: int = 0) -> dict[str, Any]:
    destination = {"host": host, **({"subset": subset} if subset else {})}
    return {"destination": destination, **({"weight": weight} if weight else {})}


def test_routes_of_a_virtual_service() -> None:
    match = {"headers": {"end-user": {"exact": "jason"}}, "uri": {"prefix": "/login"}, "ignoreUriCase": True}
    fault = {"delay": {"percentage": {"value": 100}, "fixedDelay": "7s"}}
    assert routes({"match": [match], "fault": fault, "route": [to("v1")]}, {"route": [to("v2")]}) == [
        "   Fault injection delay:{percentage:{value:100}  fixed_delay:{seconds:7}}, Match: /login* uncased when headers "
        "are end-user=jason",
        "   1 additional destination(s) that will not reach this pod",
    ]
    assert routes({"route": [to("v2")]}) == [
        "   WARNING: No destinations match pod subsets (checked 1 HTTP routes)",
        "      Route to non-matching subset v2 for (everything)",
    ]
    assert routes({"route": [to("v3")]}) == [
        "   WARNING: No destinations match pod subsets (checked 1 HTTP routes)",
        "      Warning: Route to UNKNOWN subset v3; check DestinationRule web",
    ]
    assert routes({"route": [to("v1")]}) == ["   1 HTTP route(s)"]
    assert routes({"route": [to("", weight=90), to("", "other", 10)]}) == [
        '   Route to host "web" with weight 90%',
        '   Route to host "other" with weight 10%',
    ]
    missing = obj(NETWORKING, "VirtualService", "web", {"http": [{"route": [to("v1")]}]})
    assert list(rules.virtual_service(missing, "web", HOST, Subsets()))[-1] == (
        "      Warning: Route to subset v1 but NO DESTINATION RULE defining subsets!"
    )


def test_traffic_policies() -> None:
    policy = {
        "tls": {"mode": "ISTIO_MUTUAL"},
        "connectionPool": {},
        "outlierDetection": {},
        "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "DISABLE"}, "loadBalancer": {}}],
    }
    rule = obj(NETWORKING, "DestinationRule", "web", {"host": "web", "trafficPolicy": policy})
    assert list(rules.destination_rule(rule, Subsets.of(rule, "web", [LABELS]))) == [
        'DestinationRule: web for "web"',
        "   Traffic Policy TLS Mode: ISTIO_MUTUAL",
        "   Policies: connection pool/outlier detection",
        "   Port Level Settings:",
        "    80:",
        "      TLS Mode: DISABLE",
        "      Policies: load balancer",
    ]
    none = Subsets.of(SUBSETS, "web", [{"version": "v9"}])
    assert list(rules.destination_rule(SUBSETS, none))[1:4] == [
        "   WARNING POD DOES NOT MATCH ANY SUBSETS.  (Non matching subsets v1,v2)",
        "   Matching subsets: ",
        "      (Non-matching subsets v1,v2)",
    ]


def peer(name: str, namespace: str, mode: str, **spec: Any) -> Resource:
    return obj(SECURITY, "PeerAuthentication", name, {"mtls": {"mode": mode}, **spec}, namespace)


def test_the_effective_peer_authentication() -> None:
    selective = peer("own", "default", "UNSET", selector={"matchLabels": {"app": "web"}},
                     portLevelMtls={"8080": {"mode": "DISABLE"}, "90": {"mode": "UNSET"}})  # fmt: skip
    other = peer("other", "default", "DISABLE", selector={"matchLabels": {"app": "x"}})
    mesh = peer("mesh", "istio-system", "STRICT")
    assert list(authentication(Snapshot([selective, other, mesh]), LABELS, "default")) == [
        "Effective PeerAuthentication:",
        "   Workload mTLS mode: STRICT",
        "   Port Level mTLS mode:",
        "      90: STRICT",
        "      8080: DISABLE",
        "Applied PeerAuthentication:",
        "   mesh.istio-system, own.default",
    ]


INGRESS = {"istio": "ingressgateway"}


def gateway_pod(**more: Any) -> Resource:
    return obj("v1", "Pod", "gw", {"containers": [{"name": "istio-proxy"}]}, "istio-system", labels=INGRESS,
               status={"phase": "Running", "hostIP": "127.1.0.1"}, **more)  # fmt: skip


def test_where_a_service_is_exposed() -> None:
    balanced = {"loadBalancer": {"ingress": [{"ip": "127.1.96.1"}]}}
    front = obj("v1", "Service", "gw", {"selector": INGRESS, "ports": [
        {"name": "http2", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8443},
    ]}, "istio-system", status=balanced)  # fmt: skip
    gateway = obj(NETWORKING, "Gateway", "public", {"selector": INGRESS})
    edge = obj(NETWORKING, "VirtualService", "edge", {"gateways": ["public"], "hosts": ["*"],
               "http": [{"match": [{"uri": {"exact": "/shop"}}], "route": [to("")]}]})  # fmt: skip
    view = View(Snapshot([gateway_pod(), front, gateway, edge]))
    assert list(ingress([service()], [LABELS], view)) == [
        "--------------------",
        "Exposed on Ingress Gateway http://127.1.96.1",
        "VirtualService: edge",
        "   Match: /shop",
    ]
    assert list(ingress([service(name="other")], [LABELS], view)) == []
    alone = View(Snapshot([gateway_pod()]))
    assert list(ingress([service()], [LABELS], alone)) == ["Skipping Gateway information (no ingress gateway service)"]


def test_the_rule_of_the_clients_namespace_comes_first() -> None:
    near = obj(NETWORKING, "DestinationRule", "near", {"host": HOST}, "client")
    hidden = obj(NETWORKING, "DestinationRule", "hidden", {"host": "web", "exportTo": ["."]})
    everywhere = obj(NETWORKING, "DestinationRule", "all", {"host": "*.local"}, "istio-system")
    snapshot = Snapshot([near, hidden, everywhere])
    found = {ns: lookup.destination_rule(service(), ns, snapshot) for ns in ("client", "default", "other")}
    assert {ns: rule and rule.name for ns, rule in found.items()} == {
        "client": "near",
        "default": "hidden",
        "other": "all",
    }


@pytest.mark.parametrize(
    ("port", "word"),
    [
        ({"port": 80}, "auto-detect"),
        ({"port": 80, "name": "web"}, "UnsupportedProtocol"),
        ({"port": 80, "name": "grpc-web"}, "GRPC-Web"),
        ({"port": 80, "name": "x", "appProtocol": "http"}, "HTTP"),
        ({"port": 6379, "name": "redis"}, "Redis"),
        ({"port": 5432, "name": "tcp-db"}, "TCP"),
    ],
)
def test_protocols(port: Any, word: str) -> None:
    assert lookup.protocol_word(port) == word


def test_prototext() -> None:
    abort = {"abort": {"httpStatus": 500, "percentage": {"value": 12.5}}}
    assert prototext(abort) == "abort:{http_status:500  percentage:{value:12.5}}"
    assert prototext({"fixedDelay": "1m500ms"}) == "fixed_delay:{seconds:60  nanos:500000000}"
    assert prototext({"port": 90, "destinationSubnets": ["a", "b"]}) == (
        'port:90  destination_subnets:"a"  destination_subnets:"b"'
    )
