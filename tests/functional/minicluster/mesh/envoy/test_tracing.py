"""Spans that real proxies send to a collector, and the headers that carry a trace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh import proto
from tests.fakes.istio_world import World
from tests.functional.minicluster.mesh.envoy.conftest import StaticMesh

HTTP = [{"name": "http", "port": 80, "targetPort": 8080}]
COLLECTOR = "collector.default.svc.cluster.local"
EXPORT = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"
MESH = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh, namespace: istio-system}
spec: {tracing: [{%s}]}
"""
ENOUGH = 5
"""Spans that a proxy reports without waiting for more."""


@dataclass
class Collector:
    """Takes Zipkin's JSON and OTLP over HTTP."""

    zipkin: list[Obj] = field(default_factory=list)
    otlp: list[Obj] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.headers.append({key.lower(): value for key, value in request.headers.items()})
        if request.path == "/v1/traces":
            message = proto.message_class(EXPORT).FromString(await request.read())
            self.otlp.append(proto.to_dict(message))
        else:
            self.zipkin += await request.json()
        self.arrived.set()
        return web.Response(status=202)

    async def spans(self, kind: str, number: int) -> list[Obj]:
        """Zipkin spans of a kind, as soon as there are so many."""
        async with asyncio.timeout(15):
            while len(found := [span for span in self.zipkin if span.get("kind") == kind]) < number:
                self.arrived.clear()
                await self.arrived.wait()
        return found


async def traced(mesh: StaticMesh, telemetry: str, mesh_config: Obj) -> Collector:
    """A client, a server and a collector; both proxies run."""
    mesh.world.pod("client", {"app": "client", "service.istio.io/canonical-name": "client"}, account="client")
    mesh.world.pod("web", {"app": "web"}, account="web")
    mesh.world.pod("collector", {"app": "collector"}, injected=False)
    mesh.world.service("web", {"app": "web"}, HTTP)
    mesh.world.service("collector", {"app": "collector"}, [{"name": "http", "port": 9411, "targetPort": 9411}])
    mesh.world.mesh_config = mesh_config
    mesh.world.apply(telemetry)
    found = Collector()
    application = web.Application()
    application.router.add_post("/{path:.*}", found.take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, mesh.world.proxy("collector").ip, 9411).start()
    mesh.runners.append(runner)
    await mesh.serve("web", 8080)
    await mesh.start("client", "web")
    return found


async def requests(mesh: StaticMesh, headers: dict[str, str] | None = None, number: int = ENOUGH) -> None:
    for _ in range(number):
        assert (await mesh.get("client", "http://web/path", headers=headers)).status == 200


async def test_zipkin_gets_linked_spans_of_both_sides_with_tags(static_mesh: StaticMesh) -> None:
    tags = (
        "a: {literal: {value: one}}, b: {header: {name: x-b, defaultValue: none}}, "
        "c: {environment: {name: NOBODY_SETS_THIS, defaultValue: two}}"
    )
    telemetry = MESH % f"providers: [{{name: zipkin}}], randomSamplingPercentage: 100, customTags: {{{tags}}}"
    provider = {"name": "zipkin", "zipkin": {"service": COLLECTOR, "port": 9411}}
    collector = await traced(static_mesh, telemetry, {"extensionProviders": [provider]})
    await requests(static_mesh, {"x-b": "given"})

    clients, servers = await collector.spans("CLIENT", ENOUGH), await collector.spans("SERVER", ENOUGH)

    client = clients[0]
    (server,) = [span for span in servers if span["traceId"] == client["traceId"]]
    assert server["parentId"] == client["id"]
    assert len(client["traceId"]) == 32
    assert client["name"] == "web.default.svc.cluster.local:80/*"
    assert client["localEndpoint"]["serviceName"] == "client.default"
    assert {key: client["tags"][key] for key in ("a", "b", "c", "http.status_code", "upstream_cluster.name")} == {
        "a": "one",
        "b": "given",
        "c": "two",
        "http.status_code": "200",
        "upstream_cluster.name": "outbound|80||web.default.svc.cluster.local",
    }
    assert client["tags"]["istio.canonical_service"] == "client"
    assert client["tags"]["istio.namespace"] == "default"
    _, seen = static_mesh.requests[-1]
    assert {"x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled"} <= seen.keys()
    assert "traceparent" not in seen


async def test_a_program_that_hands_on_headers_stays_in_the_trace(static_mesh: StaticMesh) -> None:
    telemetry = MESH % "providers: [{name: zipkin}]"
    provider = {
        "name": "zipkin",
        "zipkin": {
            "service": COLLECTOR,
            "port": 9411,
            "path": "/spans",
            "traceContextOption": "USE_B3_WITH_W3C_PROPAGATION",
            "headers": [{"name": "x-key", "value": "secret"}],
        },
    }
    collector = await traced(static_mesh, telemetry, {"extensionProviders": [provider]})
    trace = "463ac35c9f6413ad48485a3953bb6124"
    await requests(static_mesh, {"x-b3-traceid": trace, "x-b3-spanid": "a2fb4a1d1a96d312", "x-b3-sampled": "1"})

    client = (await collector.spans("CLIENT", ENOUGH))[0]

    assert (client["traceId"], client["parentId"]) == (trace, "a2fb4a1d1a96d312")
    assert collector.headers[0]["x-key"] == "secret"
    assert f"-{trace}-" in static_mesh.requests[-1][1]["traceparent"]


async def test_the_context_of_a_trace_is_kept_from_servers(static_mesh: StaticMesh) -> None:
    telemetry = MESH % "providers: [{name: zipkin}], randomSamplingPercentage: 100, disableContextPropagation: true"
    provider = {"name": "zipkin", "zipkin": {"service": COLLECTOR, "port": 9411}}
    collector = await traced(static_mesh, telemetry, {"extensionProviders": [provider]})
    await requests(static_mesh)
    assert await collector.spans("CLIENT", ENOUGH)
    assert "x-b3-traceid" not in static_mesh.requests[-1][1]


async def test_opentelemetry_over_http(static_mesh: StaticMesh) -> None:
    provider = {
        "name": "otel",
        "opentelemetry": {
            "service": COLLECTOR,
            "port": 9411,
            "http": {"path": "/v1/traces", "timeout": "5s", "headers": [{"name": "x-key", "value": "secret"}]},
            "resourceDetectors": {"environment": {}},
        },
    }
    config = {"extensionProviders": [provider], "defaultProviders": {"tracing": ["otel"]}}
    telemetry = MESH % "randomSamplingPercentage: 100"
    collector = await traced(static_mesh, telemetry, config)
    await requests(static_mesh)
    async with asyncio.timeout(15):
        while not collector.otlp:
            collector.arrived.clear()
            await collector.arrived.wait()

    assert collector.headers[0]["x-key"] == "secret"
    assert "traceparent" in static_mesh.requests[-1][1]
    resource = collector.otlp[0]["resource_spans"][0]["resource"]["attributes"]
    names = {item["key"]: item["value"].get("string_value") for item in resource}
    assert names["service.name"] in ("client.default", "web.default")


@pytest.mark.parametrize(
    ("telemetry", "config", "sampled"),
    [
        ("", {}, None),
        (MESH % "providers: [{name: zipkin}], disableSpanReporting: true", {}, None),
        (MESH % "providers: [{name: zipkin}], randomSamplingPercentage: 0", {}, "0"),
        (MESH % "providers: [{name: nobody}], randomSamplingPercentage: 100", {}, None),
        ("", {"enableTracing": False, "defaultConfig": {"tracing": {"zipkin": {"address": "collector:9411"}}}}, None),
    ],
)
async def test_nothing_is_reported_unless_somebody_wants_it(
    static_mesh: StaticMesh, telemetry: str, config: Obj, sampled: str | None
) -> None:
    provider = {"name": "zipkin", "zipkin": {"service": COLLECTOR, "port": 9411}}
    collector = await traced(static_mesh, telemetry, {"extensionProviders": [provider], **config})
    await requests(static_mesh, number=2 * ENOUGH)
    seen = static_mesh.requests[-1][1]
    assert (seen.get("x-b3-sampled"), "x-request-id" in seen, collector.zipkin) == (sampled, True, [])


@pytest.mark.parametrize(
    "provider",
    [
        {"opentelemetry": {"grpc": {"timeout": "1s", "initialMetadata": [{"name": "a", "value": "b"}]}}},
        {"skywalking": {}},
        {"datadog": {"maxTagLength": 100}},
        {"zipkin": {"enable64bitTraceId": True, "maxTagLength": 100, "timeout": "1s"}},
    ],
)
def test_envoy_takes_every_tracer(validate: Callable[[World, str, str], None], provider: dict[str, Obj]) -> None:
    ((kind, settings),) = provider.items()
    world = World()
    world.pod("web", {"app": "web"})
    world.service("collector", {"app": "web"}, [{"name": "grpc", "port": 9411, "targetPort": 9411}])
    tracer = {"name": "tracer", kind: {"service": COLLECTOR, "port": 9411, **settings}}
    world.mesh_config = {"extensionProviders": [tracer], "defaultProviders": {"tracing": ["tracer"]}}
    world.apply(MESH % "useRequestIdForTraceSampling: false, customTags: {a: {formatter: {value: '%PROTOCOL%'}}}")
    assert "provider" in json.dumps(world.build("web"))
    validate(world, "web", "sidecar")


def test_envoy_takes_a_collector_of_the_proxys_own_by_its_name(validate: Callable[[World, str, str], None]) -> None:
    world = World()
    world.pod("web", {"app": "web"})
    world.mesh_config = {"defaultConfig": {"tracing": {"zipkin": {"address": "zipkin.example.com:9411"}}}}
    validate(world, "web", "sidecar")


async def test_the_proxys_own_configuration_names_a_collector(static_mesh: StaticMesh) -> None:
    tracing = {
        "zipkin": {"address": "collector.default:9411"},
        "sampling": 100,
        "custom_tags": {"my_tag_header": {"header": {"name": "host"}}},
        "max_path_tag_length": 3,
    }
    collector = await traced(static_mesh, "", {"defaultConfig": {"tracing": tracing}})
    await requests(static_mesh)
    client = (await collector.spans("CLIENT", ENOUGH))[0]
    assert client["tags"]["my_tag_header"] == "web"
    assert client["tags"]["http.url"] == "http://web/pa"
