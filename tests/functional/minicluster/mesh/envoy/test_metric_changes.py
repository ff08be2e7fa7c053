"""Labels of the standard metrics as Telemetry resources change them, on real proxies."""

from __future__ import annotations

import pytest

from tests.functional.minicluster.mesh.envoy.conftest import StaticMesh
from tests.functional.minicluster.mesh.envoy.test_telemetry import MESHED, client_and_server, counted, series

TELEMETRY = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: changed}
spec: {metrics: [{providers: [{name: prometheus}], overrides: [%s]}]}
"""
REQUESTS = "istio_requests_total"
DURATION = "istio_request_duration_milliseconds_count"

SAME = {
    "request_host: {value: request.host}": "myapp",
    "method: {value: request.method}": "GET",
    "header: {value: \"request.headers['x-who']\"}": "me ) {} %CEL(1)%",
    "literal: {value: \"'fixed'\"}": "fixed",
    "is_ok: {value: response.code == 200}": "true",
    "class: {value: \"response.code >= 500 ? '5xx' : string(response.code)\"}": "200",
    "has: {value: \"has(request.nothing) ? request.nothing : 'nothing'\"}": "nothing",
    "text: {value: \"string(response.code) + ':' + request.method\"}": "200:GET",
    "prefix: {value: \"request.protocol.startsWith('HTTP') ? request.protocol : ''\"}": "HTTP/1.1",
    "old: {value: \"node.metadata['NAME']\"}": "unknown",
    "nothing: {value: request.nothing.at.all}": "unknown",
    "compared: {value: \"filter_state.upstream_peer.app == 'myapp' ? 'a' : 'b'\"}": "unknown",
    "request_protocol: {value: \"'mine'\"}": "mine",
    "with-hyphen: {value: request.host}": "myapp",
}
"""Label -> value on both sides."""


def overriding(*overrides: str) -> str:
    return TELEMETRY % ", ".join(overrides)


async def test_expressions_give_labels(static_mesh: StaticMesh) -> None:
    tags = [
        *SAME,
        "destination_port: {value: string(destination.port)}",
        "peer: {value: filter_state.upstream_peer.app}",
        "caller: {value: filter_state.downstream_peer.workload}",
        "either: {value: \"has(filter_state.upstream_peer) ? 'to ' + filter_state.upstream_peer.app : 'none'\"}",
        "node: {value: xds.node.id}",
    ]
    override = f"{{match: {{metric: REQUEST_COUNT}}, tagOverrides: {{{', '.join(tags)}}}}}"
    await client_and_server(static_mesh, overriding(override))
    assert (await static_mesh.get("client", "http://myapp/", headers={"x-who": "me ) {} %CEL(1)%"})).status == 200

    both = {tag.partition(":")[0].replace("-", "_"): value for tag, value in SAME.items()}
    for pod, reporter, own in (
        ("client", "source", {"destination_port": "80", "peer": "myapp", "caller": "unknown", "either": "to myapp"}),
        ("myapp", "destination", {"destination_port": "5678", "peer": "unknown", "caller": "client", "either": "none"}),
    ):
        found = await counted(static_mesh, pod, REQUESTS, {"reporter": reporter}, 1)
        node = static_mesh.world.proxy(pod).id
        security = {"connection_security_policy": "unknown" if reporter == "source" else "mutual_tls"}
        assert found == {**MESHED, "reporter": reporter, **security, **both, **own, "node": node}
        (duration,) = [labels for labels, _ in series(static_mesh, pod, DURATION)]
        assert duration == {**MESHED, "reporter": reporter, **security}


@pytest.mark.full
async def test_series_without_a_label_are_added_up(static_mesh: StaticMesh) -> None:
    removed = "response_code: {operation: REMOVE}, destination_workload: {operation: REMOVE}"
    await client_and_server(static_mesh, overriding(f"{{match: {{mode: CLIENT}}, tagOverrides: {{{removed}}}}}"))
    static_mesh.statuses["myapp"] = [200, 404, 200]
    for _ in range(3):
        await static_mesh.get("client", "http://myapp/")

    found = await counted(static_mesh, "client", REQUESTS, {"reporter": "source"}, 3)
    assert not {"response_code", "destination_workload"} & found.keys()
    assert found["destination_app"] == "myapp"
    await counted(static_mesh, "client", DURATION, {"reporter": "source"}, 3)
    assert [
        value
        for labels, value in series(static_mesh, "client", DURATION.replace("count", "bucket"))
        if labels["le"] == "+Inf"
    ] == [3]
    await counted(static_mesh, "myapp", REQUESTS, {"response_code": "404", "destination_workload": "myapp"}, 1)


@pytest.mark.full
@pytest.mark.parametrize(
    ("override", "client", "server"),
    [
        ("{match: {metric: ALL_METRICS, mode: CLIENT_AND_SERVER}, disabled: true}", set(), set()),
        ("{match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: true}", {DURATION}, {DURATION, REQUESTS}),
        ("{match: {mode: SERVER}, disabled: true}", {DURATION, REQUESTS}, set()),
    ],
)
async def test_metrics_are_switched_off(
    static_mesh: StaticMesh, override: str, client: set[str], server: set[str]
) -> None:
    await client_and_server(static_mesh, overriding(override))
    for _ in range(2):
        assert (await static_mesh.get("client", "http://myapp/")).status == 200
    for pod, wanted in (("client", client), ("myapp", server)):
        for name in wanted:
            await counted(static_mesh, pod, name, {}, 2)
        page = static_mesh.admin(pod, "/stats/prometheus")
        assert {name for name in (REQUESTS, DURATION) if f"envoy_{name}" in page} == wanted


async def test_what_proxies_cannot_evaluate_does_not_stop_them(static_mesh: StaticMesh) -> None:
    tags = "a: {value: 'request.'}, b: {value: nobody(1)}, c: {value: request.host}, response_flags: {value: '=='}"
    await client_and_server(static_mesh, overriding(f"{{tagOverrides: {{{tags}}}}}"))
    assert (await static_mesh.get("client", "http://myapp/")).status == 200
    found = await counted(static_mesh, "client", REQUESTS, {"c": "myapp"}, 1)
    assert not {"a", "b", "response_flags"} & found.keys()
