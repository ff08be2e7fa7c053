"""Access logs as Telemetry resources want them, on real proxies."""

from __future__ import annotations

import json

from tests.functional.minicluster.mesh.envoy.conftest import StaticMesh

HTTP = [{"name": "http", "port": 80, "targetPort": 8080}]


async def logged(mesh: StaticMesh, telemetry: str, *paths: str) -> dict[str, list[str]]:
    """What client and server wrote for some requests, by pod."""
    mesh.world.pod("client", {"app": "client"}, account="client")
    mesh.world.pod("web", {"app": "web"}, account="web")
    mesh.world.service("web", {"app": "web"}, HTTP)
    mesh.world.apply(telemetry)
    await mesh.serve("web", 8080)
    await mesh.start("client", "web")
    for path in paths:
        await mesh.get("client", f"http://web{path}")
    for pod in ("client", "web"):
        mesh.stop(pod)  # flushes the log
    texts = {pod: (mesh.directory / f"{pod}.log").read_text() for pod in ("client", "web")}
    # Envoy's own messages go the same way.
    return {pod: [line for line in text.splitlines() if "][warning][" not in line] for pod, text in texts.items()}


async def test_a_rule_switches_logs_on_with_a_condition_and_off_for_one_side(static_mesh: StaticMesh) -> None:
    telemetry = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh, namespace: istio-system}
spec: {accessLogging: [{providers: [{name: envoy}], filter: {expression: "response.code >= 500"}}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: quiet}
spec:
  selector: {matchLabels: {app: client}}
  accessLogging: [{match: {mode: CLIENT}, disabled: true}]
"""
    static_mesh.statuses["web"] = [200, 500]

    lines = await logged(static_mesh, telemetry, "/good", "/bad")

    assert lines["client"] == []
    (line,) = lines["web"]
    assert '"GET /bad HTTP/1.1" 500' in line


async def test_a_provider_of_ones_own_writes_labels(static_mesh: StaticMesh) -> None:
    static_mesh.world.mesh_config = {
        "accessLogFile": "/dev/stdout",
        "extensionProviders": [
            {
                "name": "short",
                "envoyFileAccessLog": {
                    "path": "/dev/stdout",
                    "logFormat": {"labels": {"code": "%RESPONSE_CODE%", "path": "%REQ_WITHOUT_QUERY(:PATH)%"}},
                },
            },
            {"name": "otel", "envoyOtelAls": {"service": "web.default.svc.cluster.local", "port": 80}},
        ],
    }
    telemetry = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: short}
spec: {selector: {matchLabels: {app: web}}, accessLogging: [{providers: [{name: SHORT}, {name: otel}]}]}
"""

    lines = await logged(static_mesh, telemetry, "/path?secret=1")

    assert json.loads(lines["web"][0]) == {"code": 200, "path": "/path"}
    assert '"GET /path?secret=1 HTTP/1.1" 200' in lines["client"][0], "the mesh's own log where nobody says otherwise"
