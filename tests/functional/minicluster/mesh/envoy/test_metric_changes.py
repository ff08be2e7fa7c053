"""Labels of the standard metrics as Telemetry resources change them, on real proxies."""

from __future__ import annotations

from tests.functional.minicluster.mesh.envoy.conftest import StaticMesh
from tests.functional.minicluster.mesh.envoy.test_telemetry import client_and_server, counted, series

TELEMETRY = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: changed}
spec: {metrics: [{providers: [{name: prometheus}], overrides: [%s]}]}
"""


def overriding(*overrides: str) -> str:
    return TELEMETRY % ", ".join(overrides)


async def test_expressions_give_labels(static_mesh: StaticMesh) -> None:
    """Upstream's task, and what else its attributes offer."""
    expressions = {
        "destination_port": "string(destination.port)",
        "request_host": "request.host",
        "method": "request.method",
        "who": "request.headers['x-who']",
        "literal": "'fixed'",
        "is_ok": "response.code == 200",
        "class": "response.code >= 500 ? '5xx' : '2xx'",
        "has": "has(request.host) ? request.host : 'unknown'",
        "peer": "filter_state.upstream_peer.app",
        "caller": "filter_state.downstream_peer.workload",
        "node": "xds.node.id",
        "labels": "xds.node.metadata['LABELS']['app']",
        "old": "node.metadata['NAME']",
        "nothing": "request.nothing.at.all",
        "protocol_text": "request.protocol.startsWith('HTTP') ? request.protocol : ''",
        "request_protocol": "'mine'",
    }
    tags = ", ".join(f'{name}: {{value: "{value}"}}' for name, value in expressions.items())
    await client_and_server(
        static_mesh, overriding(f"{{match: {{metric: REQUEST_COUNT}}, tagOverrides: {{{tags}}}}}")
    )
    assert (await static_mesh.get("client", "http://myapp/", headers={"x-who": 'me "and" {} 1'})).status == 200

    source = await counted(static_mesh, "client", "istio_requests_total", {"reporter": "source"}, 1)
    server = await counted(static_mesh, "myapp", "istio_requests_total", {"reporter": "destination"}, 1)
    print(source)
    print(server)
    assert 0
