"""Istio's task "Mutual TLS Migration", under load: lock down one namespace, then the mesh; only plain text fails."""

from __future__ import annotations

import re
import threading
from collections import Counter

import pytest

from tests.support.lab import Lab, eventually
from tests.support.security_tasks import apply, becomes, deploy, status

pytestmark = pytest.mark.full

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: {namespace}}}
spec: {{mtls: {{mode: STRICT}}}}
"""


@pytest.fixture(scope="module")
def apps(mesh: Lab) -> Lab:
    deploy(mesh, "foo")
    deploy(mesh, "bar")
    mesh.kubectl("create", "namespace", "legacy")
    mesh.kubectl("apply", "-n", "legacy", "-f", f"{mesh.environment['MESHLAB_SAMPLES']}/curl/curl.yaml")
    mesh.kubectl("rollout", "status", "-n", "legacy", "deployment/curl", "--timeout=40s")
    return mesh


class Load:
    """Requests without pause from one namespace; statuses are counted."""

    def __init__(self, lab: Lab, namespace: str) -> None:
        self._lab = lab
        self._namespace = namespace
        self._stop = threading.Event()
        self.statuses: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        while not self._stop.is_set():
            done = self._lab.run(
                "kubectl", "exec", "-n", self._namespace, "deploy/curl", "-c", "curl", "--",
                "curl", "-s", "-w", "|%{http_code}|", "-o", "/dev/null", "http://httpbin.foo:8000/ip?n=[1-200]",
                check=False,
            )  # fmt: skip
            self.statuses.update(re.findall(r"\|(\d{3})\|", done.stdout))

    def __enter__(self) -> Load:
        self._thread.start()
        eventually(self.statuses.total)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_only_plain_text_fails_when_strict_comes_under_load(apps: Lab) -> None:
    assert status(apps, "legacy", "http://httpbin.foo:8000/ip") == "200"
    with Load(apps, "foo") as own, Load(apps, "bar") as other:
        for namespace in ("foo", "istio-system"):
            apply(apps, STRICT.format(namespace=namespace))
            becomes(apps, "000", "legacy", "http://httpbin.foo:8000/ip")
            seen = own.statuses.total(), other.statuses.total()
            eventually(lambda seen=seen: own.statuses.total() > seen[0] + 400)  # type: ignore[misc]
            eventually(lambda seen=seen: other.statuses.total() > seen[1] + 400)  # type: ignore[misc]
    assert set(own.statuses) == {"200"}, own.statuses
    assert set(other.statuses) == {"200"}, other.statuses
    becomes(apps, "000", "legacy", "http://httpbin.bar:8000/ip")
