"""The module's quick path, typed by hand, and what its route does under load."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections import Counter

import pytest

from tests.support.lab import Lab, eventually

APPS = """
apiVersion: v1
kind: Service
metadata: {name: myapp}
spec:
  selector: {app: myapp}
  ports: [{name: http, port: 80, targetPort: 5678}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: curl, image: curlimages/curl, command: [sleep, infinity]}]
""" + "".join(
    f"""
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

VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: myapp
spec:
  hosts:
  - myapp.default.svc.cluster.local
  http:
  - route:
    - destination:
        host: myapp
        subset: v1
      weight: 80
    - destination:
        host: myapp
        subset: v2
      weight: 20
"""

DESTINATION_RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: myapp}
spec:
  host: myapp
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""

PLAIN = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: by-hand}
spec:
  selector: {matchLabels: {app: by-hand}}
  template:
    metadata: {labels: {app: by-hand}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: hashicorp/http-echo, args: ["-text=by hand"]}]
"""


@pytest.fixture(scope="module")
def app(mesh: Lab) -> Lab:
    """The module's app in an injected namespace."""
    mesh.kubectl("label", "namespace", "default", "istio-injection=enabled")
    mesh.kubectl("apply", "-f", "-", stdin=APPS)
    for name in ("client", "myapp-v1", "myapp-v2"):
        mesh.kubectl("rollout", "status", f"deployment/{name}", "--timeout=40s")
    return mesh


def split(lab: Lab, requests: int) -> Counter[str]:
    """First word of each reply, or its status if it is not 200."""
    out = lab.curl("-w", "|%{http_code}\\n", f"http://myapp/?n=[1-{requests}]")
    return Counter(body if code == "200" else code for body, code in re.findall(r"(\w*)\n?\|(\d{3})\n", out))


class Load:
    """Requests without pause from the client, while something else happens."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        while not self._stop.is_set():
            self.counts += split(self._lab, 200)

    def __enter__(self) -> Load:
        self._thread.start()
        eventually(self.counts.total)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_503_until_the_destination_rule_exists_then_80_to_20(app: Lab) -> None:
    assert set(split(app, 20)) == {"v1", "v2"}
    app.kubectl("apply", "-f", "-", stdin=VIRTUAL_SERVICE)
    eventually(lambda: split(app, 10) == {"503": 10})
    eventually(lambda: "503 NC" in app.kubectl("logs", "deploy/client", "-c", "istio-proxy", "--tail=1"))
    analysis = app.run("istioctl", "analyze", check=False)
    assert analysis.returncode != 0
    assert "Error [IST0101] (VirtualService default/myapp) Referenced host+subset in destinationrule" in analysis.stdout
    app.kubectl("apply", "-f", "-", stdin=DESTINATION_RULE)
    eventually(lambda: "503" not in split(app, 10))
    counts = split(app, 1000)
    assert counts["v1"] + counts["v2"] == 1000
    # Five standard deviations would be 63; the issue asks for 50, which an honest 80/20 misses once in 13,000 runs.
    assert abs(counts["v1"] - 800) <= 50


def test_new_weights_are_effective_within_a_second_and_no_request_fails(app: Lab) -> None:
    app.kubectl("apply", "-f", "-", stdin=DESTINATION_RULE + "---" + VIRTUAL_SERVICE)
    eventually(lambda: "503" not in split(app, 10))
    with Load(app) as load:
        for weight in (0, 100, 50, 0):
            patch = (
                f'[{{"op":"replace","path":"/spec/http/0/route/0/weight","value":{weight}}},'
                f'{{"op":"replace","path":"/spec/http/0/route/1/weight","value":{100 - weight}}}]'
            )
            app.kubectl("patch", "virtualservice", "myapp", "--type=json", "-p", patch)
            if weight in (0, 100):
                changed = time.monotonic()
                only = "v1" if weight else "v2"
                eventually(lambda only=only: set(split(app, 5)) == {only}, within_s=2)  # type: ignore[misc]
                # kubectl itself takes some 100 ms of this.
                assert time.monotonic() - changed < 1.5
    assert set(load.counts) <= {"v1", "v2"}, load.counts
    app.kubectl("delete", "virtualservice/myapp", "destinationrule/myapp")


def test_deleting_istiods_pod_costs_no_request(app: Lab) -> None:
    before = app.kubectl("get", "pods", "-n", "istio-system", "-l", "app=istiod", "-o", "name")
    with Load(app) as load:
        app.kubectl("delete", "pod", "-n", "istio-system", "-l", "app=istiod")
        app.kubectl("rollout", "status", "-n", "istio-system", "deployment/istiod", "--timeout=40s")
        seen = load.counts.total()
        eventually(lambda: load.counts.total() > seen + 400)
    after = app.kubectl("get", "pods", "-n", "istio-system", "-l", "app=istiod", "-o", "name")
    assert after and after != before
    assert set(load.counts) <= {"v1", "v2"}, load.counts
    # The new one serves: every proxy is connected and in sync again.
    eventually(lambda: app.run("istioctl", "proxy-status").stdout.count("istiod-") >= 5)


def test_kube_inject_by_hand(app: Lab) -> None:
    app.kubectl("create", "namespace", "by-hand")
    (app.home / "deployment.yaml").write_text(PLAIN)
    (app.home / "deployment.yaml").chmod(0o644)
    app.run("sh", "-c", "istioctl kube-inject -f deployment.yaml | kubectl apply -n by-hand -f -")
    app.kubectl("rollout", "status", "-n", "by-hand", "deployment/by-hand", "--timeout=40s")
    containers = app.kubectl(
        "get", "pods", "-n", "by-hand", "-o",
        "jsonpath={.items[0].spec.initContainers[*].name} {.items[0].spec.containers[*].name}",
    )  # fmt: skip
    assert "istio-proxy" in containers.split()
    app.kubectl("delete", "namespace", "by-hand")


def test_strict_mtls_resets_a_plaintext_client(app: Lab) -> None:
    app.kubectl("create", "namespace", "legacy")
    app.kubectl("run", "plain", "-n", "legacy", "--image=curlimages/curl", "--command", "--", "sleep", "infinity")
    app.kubectl("wait", "-n", "legacy", "--for=condition=Ready", "pod/plain", "--timeout=30s")

    def plain() -> subprocess.CompletedProcess[str]:
        return app.run(
            "kubectl", "exec", "-n", "legacy", "plain", "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
            "http://myapp.default/", check=False,
        )  # fmt: skip

    assert plain().stdout == "200"
    app.kubectl(
        "apply",
        "-f",
        "-",
        stdin=(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\n"
            "spec: {mtls: {mode: STRICT}}\n"
        ),
    )
    eventually(lambda: plain().returncode == 56)
    assert plain().stdout == "000"
    assert set(split(app, 20)) <= {"v1", "v2"}
    app.kubectl("delete", "peerauthentication", "default")


def test_the_proxy_answers_as_istioctl_and_pilot_agent_ask(app: Lab) -> None:
    dump = app.kubectl(
        "exec", "deploy/client", "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", "config_dump"
    )
    assert "outbound|80||myapp.default.svc.cluster.local" in dump
    assert "client version" in app.run("istioctl", "version").stdout
    table = app.run("istioctl", "proxy-config", "cluster", "deploy/client").stdout
    assert re.search(r"myapp\.default\.svc\.cluster\.local\s+80\s+-\s+outbound\s+EDS", table)
