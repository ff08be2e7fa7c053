"""What kubectl sends as protobuf must decode to what kubectl itself prints as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.apiserver.protobuf import CONTENT_TYPE, decode

KUBECTL = Path(sys.executable).parent / "kubectl"

COMMANDS = {
    "namespace": ["create", "namespace", "shop"],
    "configmap": ["create", "configmap", "settings", "--from-literal=a=1", "--from-literal=b=two words"],
    "secret": ["create", "secret", "generic", "password", "--from-literal=key=s3cr3t"],
    "serviceaccount": ["create", "serviceaccount", "robot"],
    "deployment": ["create", "deployment", "web", "--image=nginx", "--replicas=3", "--port=80"],
    "job": ["create", "job", "once", "--image=busybox", "--", "date"],
    "cronjob": ["create", "cronjob", "often", "--image=busybox", "--schedule=*/5 * * * *"],
    "service": ["create", "service", "nodeport", "web", "--tcp=80:8080", "--node-port=30080"],
    "service by name": ["create", "service", "clusterip", "web", "--tcp=80:web"],
    "headless service": ["create", "service", "clusterip", "web", "--clusterip=None"],
    "ingress": ["create", "ingress", "web", "--rule=shop.example/cart*=web:80,tls=cert", "--annotation=a=b"],
    "budget": ["create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=50%"],
    "quota": ["create", "quota", "limits", "--hard=cpu=1,memory=1Gi,pods=2", "--scopes=BestEffort"],
    "role": ["create", "rolebinding", "admins", "--clusterrole=admin", "--user=ann", "--serviceaccount=a:b"],
    "cluster role": ["create", "clusterrole", "reader", "--verb=get", "--non-resource-url=/healthz"],
    "priority": ["create", "priorityclass", "high", "--value=1000", "--description=important"],
}


@pytest.fixture
def captured() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server that keeps content type and body of every POST and sends back what it decoded."""
    bodies: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append((self.headers["Content-Type"], body))
            answer = json.dumps(decode(body)).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_body_decodes_to_what_kubectl_prints(
    captured: tuple[str, list[tuple[str, bytes]]], command: list[str], tmp_path: Path
) -> None:
    address, bodies = captured
    split = command.index("--") if "--" in command else len(command)
    head, tail = [str(KUBECTL), *command[:split]], command[split:]
    environment = {"HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "none")}

    printed = subprocess.run(
        [*head, "--dry-run=client", "-o", "json", *tail], env=environment, capture_output=True, check=True
    )
    sent = subprocess.run(
        [*head, f"--server={address}", "--namespace=", "-o", "json", *tail],
        env=environment,
        capture_output=True,
        check=False,
    )

    assert sent.returncode == 0, sent.stderr
    ((content_type, body),) = bodies
    assert content_type == CONTENT_TYPE
    decoded, expected = decode(body), without_nulls(json.loads(printed.stdout))
    for obj in (decoded, expected):
        obj["metadata"].pop("namespace", None)
    assert decoded == expected
