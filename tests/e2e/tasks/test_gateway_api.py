"""A canary with the Gateway API, at the mesh's edge and inside, and statuses that say what is wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.ingress import curl, node_port
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

APPS = """
apiVersion: v1
kind: Service
metadata: {name: myapp}
spec:
  selector: {app: myapp}
  ports: [{name: http, port: 80, targetPort: 5678}]
""" + "".join(
    f"""
---
apiVersion: v1
kind: Service
metadata: {{name: myapp-{version}}}
spec:
  selector: {{app: myapp, version: {version}}}
  ports: [{{name: http, port: 80, targetPort: 5678}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: myapp-{version}}}
spec:
  selector: {{matchLabels: {{app: myapp, version: {version}}}}}
  template:
    metadata: {{labels: {{app: myapp, version: {version}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: app, image: hashicorp/http-echo, args: ["-text={version}", "-listen=:5678"]}}]
"""
    for version in ("v1", "v2")
)
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: istio
  listeners: [{name: http, port: 80, protocol: HTTP}]
"""
SPLIT = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: myapp}
spec:
  parentRefs:
  - %(parent)s
  rules:
  - matches:
    - headers: [{name: end-user, value: tester}]
    backendRefs:
    - {name: myapp-v2, port: 80}
  - backendRefs:
    - {name: myapp-v1, port: 80, weight: %(v1)s}
    - {name: myapp-v2, port: 80, weight: %(v2)s}
"""
CONSUMER = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: mine, namespace: guests}
spec:
  parentRefs:
  - {group: "", kind: Service, name: myapp, namespace: default}
  rules:
  - filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier: {add: [{name: x-consumer, value: guests}]}
    backendRefs:
    - {name: myapp-v2, namespace: default, port: 80}
"""


@pytest.fixture(scope="module")
def app(lab: Lab) -> Lab:
    lab.run("istioctl", "install", "--set", "profile=minimal", "-y")
    lab.kubectl("create", "namespace", "guests")
    for namespace in ("default", "guests"):
        lab.kubectl("label", "namespace", namespace, "istio-injection=enabled")
    lab.kubectl("apply", "-f", "-", stdin=APPS)
    samples = lab.environment["MESHLAB_SAMPLES"]
    for namespace in ("default", "guests"):
        lab.kubectl("apply", "-n", namespace, "-f", f"{samples}/curl/curl.yaml")
        lab.kubectl("rollout", "status", "-n", namespace, "deployment/curl", "--timeout=60s")
    for version in ("v1", "v2"):
        lab.kubectl("rollout", "status", f"deployment/myapp-{version}", "--timeout=60s")
    return lab


def inside(lab: Lab, requests: int, *arguments: str, namespace: str = "default") -> Counter[str]:
    """Replies to a client in the mesh."""
    url = f"http://myapp.default/?n=[1-{requests}]"
    out = lab.kubectl("exec", "-n", namespace, "deploy/curl", "-c", "curl", "--", "curl", "-s", *arguments, url)
    return Counter(out.split())


def condition(lab: Lab, kind: str, name: str, type_: str, namespace: str = "default") -> str:
    query = f'{{.status.parents[0].conditions[?(@.type=="{type_}")].reason}}'
    return lab.kubectl("get", kind, name, "-n", namespace, "-o", f"jsonpath={query}")


def test_a_canary_at_the_edge(app: Lab) -> None:
    app.kubectl("apply", "-f", "-", stdin=GATEWAY)
    app.kubectl("apply", "-f", "-", stdin=SPLIT % {"parent": "name: edge", "v1": 80, "v2": 20})
    app.kubectl("wait", "--for=condition=programmed", "gtw/edge", "--timeout=60s")
    host, port = node_port(app, "edge-istio", "http", "default")

    def split(requests: int, *arguments: str) -> Counter[str]:
        return Counter(curl(app, *arguments, f"http://{host}:{port}/?n=[1-{requests}]")[1].split())

    eventually(lambda: set(split(20)) == {"v1", "v2"})
    counts = split(1000)
    assert counts.total() == 1000
    # Five standard deviations.
    assert abs(counts["v1"] - 800) <= 63
    assert split(20, "-H", "end-user: tester") == {"v2": 20}
    app.kubectl("apply", "-f", "-", stdin=SPLIT % {"parent": "name: edge", "v1": 0, "v2": 1})
    eventually(lambda: split(20) == {"v2": 20})
    app.kubectl("delete", "gtw/edge", "httproute/myapp")


def test_a_canary_in_the_mesh(app: Lab) -> None:
    service = "{group: '', kind: Service, name: myapp}"
    app.kubectl("apply", "-f", "-", stdin=(SPLIT % {"parent": service, "v1": 80, "v2": 20}))
    eventually(lambda: inside(app, 20, "-H", "end-user: tester") == {"v2": 20})
    counts = inside(app, 1000)
    assert counts.total() == 1000
    assert abs(counts["v1"] - 800) <= 63
    assert set(inside(app, 200, namespace="guests")) == {"v1", "v2"}, "a producer's route is for everybody"
    assert condition(app, "httproute", "myapp", "Accepted") == "Accepted"
    app.kubectl("apply", "-f", "-", stdin=CONSUMER)
    eventually(lambda: inside(app, 20, namespace="guests") == {"v2": 20})
    assert set(inside(app, 200)) == {"v1", "v2"}, "a consumer's is for its own namespace"
    app.kubectl("delete", "-n", "guests", "httproute/mine")
    app.kubectl("delete", "httproute/myapp")


def test_a_missing_backend_is_said_and_answers_500(app: Lab) -> None:
    broken = (SPLIT % {"parent": "{group: '', kind: Service, name: myapp}", "v1": 1, "v2": 1}).replace(
        "myapp-v", "gone-v"
    )
    app.kubectl("apply", "-f", "-", stdin=broken)
    eventually(lambda: condition(app, "httproute", "myapp", "ResolvedRefs") == "BackendNotFound")
    eventually(lambda: inside(app, 5, "-o", "/dev/null", "-w", "%{http_code}\\n") == {"500": 5})
    app.kubectl("delete", "httproute/myapp")
    eventually(lambda: set(inside(app, 20)) == {"v1", "v2"})


def test_a_status_is_written_once(app: Lab) -> None:
    app.kubectl("apply", "-f", "-", stdin=GATEWAY)
    app.kubectl("apply", "-f", "-", stdin=SPLIT % {"parent": "name: edge", "v1": 1, "v2": 1})
    app.kubectl("wait", "--for=condition=programmed", "gtw/edge", "--timeout=60s")
    eventually(lambda: condition(app, "httproute", "myapp", "Accepted") == "Accepted")

    def versions() -> str:
        return app.kubectl("get", "gtw/edge", "httproute/myapp", "-o", "jsonpath={.items[*].metadata.resourceVersion}")

    before = versions()
    # Something else that istiod translates and pushes.
    app.kubectl("label", "service", "myapp-v1", "touched=yes")
    app.kubectl("rollout", "restart", "-n", "guests", "deployment/curl")
    app.kubectl("rollout", "status", "-n", "guests", "deployment/curl", "--timeout=60s")
    assert versions() == before
    app.kubectl("delete", "gtw/edge", "httproute/myapp")
