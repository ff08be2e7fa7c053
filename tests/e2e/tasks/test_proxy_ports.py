"""The ports of a sidecar, as people and tools ask for them."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.ingress import curl
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def pod(lab: Lab) -> Lab:
    """A lab with an injected ``curl`` in the default namespace."""
    lab.run("istioctl", "install", "--set", "profile=minimal", "-y")
    lab.kubectl("label", "namespace", "default", "istio-injection=enabled")
    lab.kubectl("apply", "-f", f"{lab.environment['MESHLAB_SAMPLES']}/curl/curl.yaml")
    lab.kubectl("rollout", "status", "deployment/curl", "--timeout=60s")
    return lab


def in_proxy(lab: Lab, *command: str, container: str = "istio-proxy") -> str:
    return lab.kubectl("exec", "deploy/curl", "-c", container, "--", *command)


@contextmanager
def forwarded(lab: Lab, port: int) -> Iterator[str]:
    """``kubectl port-forward`` to a port of the pod: its URL."""
    process = lab.popen("kubectl", "port-forward", "deploy/curl", f":{port}", stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        local = process.stdout.readline().split("->")[0].rsplit(":", 1)[1].strip()
        yield f"http://127.0.0.1:{local}"
    finally:
        process.terminate()
        process.communicate()


def test_the_administration_through_pilot_agent_curl_and_port_forward(pod: Lab) -> None:
    dump = json.loads(in_proxy(pod, "pilot-agent", "request", "GET", "config_dump"))
    kinds = {config["@type"].rpartition(".")[2] for config in dump["configs"]}
    assert {"BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump"} <= kinds
    assert "outbound|443||istiod.istio-system.svc.cluster.local::" in in_proxy(
        pod, "pilot-agent", "request", "GET", "clusters"
    )
    assert "active loggers:" in in_proxy(pod, "pilot-agent", "request", "POST", "logging?level=warning")
    for container in ("istio-proxy", "curl"):
        assert in_proxy(pod, "curl", "-s", "localhost:15000/ready", container=container) == "LIVE\n"
    for port in ("15000", "15020", "15090"):
        page = in_proxy(pod, "curl", "-s", f"localhost:{port}/stats/prometheus")
        assert "# TYPE envoy_server_live gauge" in page
    assert (
        in_proxy(pod, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "localhost:15021/healthz/ready") == "200"
    )
    with forwarded(pod, 15000) as url:
        assert curl(pod, f"{url}/ready") == (0, "LIVE\n")
        assert json.loads(curl(pod, f"{url}/server_info")[1])["state"] == "LIVE"
        assert "certificates" in json.loads(curl(pod, f"{url}/certs")[1])
        assert "virtualInbound::" in curl(pod, f"{url}/listeners")[1]
        assert "server.state: 0" in curl(pod, f"{url}/stats?filter=server.state")[1]


def test_the_administration_is_nobody_elses(pod: Lab) -> None:
    ip = pod.kubectl("get", "pods", "-l", "app=curl", "-o", "jsonpath={.items[0].status.podIP}")
    assert curl(pod, f"http://{ip}:15000/config_dump")[0] == 7, "refused"
    # What is not administration answers, as on a pod's network.
    for port, path, wanted in (
        (15020, "/healthz/ready", "200"),
        (15021, "/healthz/ready", "200"),
        (15020, "/stats/prometheus", "200"),
        (15090, "/stats/prometheus", "200"),
    ):
        assert curl(pod, "-o", "/dev/null", "-w", "%{http_code}", f"http://{ip}:{port}{path}")[1] == wanted
    assert curl(pod, f"http://{ip}:15006/")[0] in (52, 56), "closed without an answer"
    assert curl(pod, "-w", "%{http_code}", "-o", "/dev/null", f"http://{ip}:15001/")[1] == "503"


def test_istioctl_forwards_a_port_to_the_proxy(pod: Lab) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    process = pod.popen(
        "istioctl",
        "dashboard",
        "proxy",
        "deploy/curl.default",
        "--port",
        port,
        "--browser=false",
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url == f"http://localhost:{port}"
        eventually(lambda: curl(pod, f"{url}/ready") == (0, "LIVE\n"))
    finally:
        process.terminate()
        process.communicate()
