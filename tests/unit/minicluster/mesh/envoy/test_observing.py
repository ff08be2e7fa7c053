"""What telemetry makes of a proxy's listeners, as plain configuration that fits Envoy's messages."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh import proto
from meshlab.minicluster.mesh.envoy import LISTENER, build
from meshlab.minicluster.mesh.envoy.observing import proxy_telemetry
from meshlab.minicluster.mesh.providers import ProxyTracing
from meshlab.minicluster.mesh.scope import Scope
from tests.fakes.istio_world import World, same_port

HTTP = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp", "port": 9000, "targetPort": 9000}]
COLLECTOR = "collector.default.svc.cluster.local"


def world(telemetry: str = "", **mesh_config: Any) -> World:
    found = World()
    found.mesh_config = mesh_config
    found.pod("web", {"app": "web"})
    found.service("web", {"app": "web"}, HTTP)
    found.service("collector", {}, [{"name": "grpc", "port": 4317}])
    if telemetry:
        found.apply(
            f"{{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {{name: t}}, spec: {{{telemetry}}}}}"
        )
    return found


def filters(found: dict[str, dict[str, Obj]], listener: str) -> list[Obj]:
    """The settings of all network filters of a listener, which fits its message."""
    proto.to_message(LISTENER, found[LISTENER][listener])
    chains = found[LISTENER][listener]["filter_chains"]
    return [item["typed_config"] for chain in chains for item in chain["filters"]]


def loggers(found: dict[str, dict[str, Obj]], listener: str) -> list[Obj]:
    return [log for item in filters(found, listener) for log in item.get("access_log", ())]


def provider(kind: str, **settings: Any) -> Obj:
    return {"name": "mine", kind: {"service": COLLECTOR, "port": 4317, **settings}}


def test_a_service_takes_the_log_with_headers() -> None:
    als = provider(
        "envoyHttpAls",
        additionalRequestHeadersToLog=["a"],
        additionalResponseHeadersToLog=["b"],
        additionalResponseTrailersToLog=["c"],
        filterStateObjectsToLog=["d"],
    )
    found = world("accessLogging: [{providers: [{name: mine}]}]", extensionProviders=[als]).build("web")
    log = loggers(found, "http_proxy")[0]["typed_config"]
    assert log["common_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] == f"outbound|4317||{COLLECTOR}"
    assert log["common_config"]["filter_state_objects_to_log"] == ["d"]
    assert [log[f"additional_{name}_to_log"] for name in ("request_headers", "response_headers")] == [["a"], ["b"]]
    assert log["additional_response_trailers_to_log"] == ["c"]
    assert "mine" not in json.dumps(loggers(found, "inbound_0.0.0.0_9000")), "connections are not for it"


@pytest.mark.parametrize(("given", "wanted"), [('{"c": "%PROTOCOL%"}', {"c": "%PROTOCOL%"}), ("no json", None)])
def test_the_meshs_own_json_format(given: str, wanted: Obj | None) -> None:
    settings = {"accessLogFile": "/dev/stdout", "accessLogEncoding": "JSON", "accessLogFormat": given}
    for telemetry in ("", "accessLogging: [{providers: [{name: envoy}]}]"):
        log = loggers(world(telemetry, **settings).build("web"), "http_proxy")[0]
        found = log["typed_config"]["log_format"]["json_format"]
        assert found == wanted if wanted else found["response_code"] == "%RESPONSE_CODE%"


def test_conditions_know_the_port_that_a_program_asked_for() -> None:
    telemetry = "accessLogging: [{providers: [{name: envoy}], filter: {expression: destination.port == 80}}]"
    found = world(telemetry).build("web")
    expressions = {
        name: loggers(found, name)[0]["filter"]["extension_filter"]["typed_config"]["expression"]
        for name in ("http_proxy", "inbound_0.0.0.0_8080")
    }
    assert expressions["inbound_0.0.0.0_8080"] == "destination.port == 80"
    assert "default_original_port" in expressions["http_proxy"]


def managers(found: dict[str, dict[str, Obj]]) -> dict[str, Obj]:
    names = ("http_proxy", "inbound_0.0.0.0_8080")
    return {name: next(item for item in filters(found, name) if "http_filters" in item) for name in names}


def test_without_collector_and_rule_proxies_decide_on_traces_as_upstreams() -> None:
    for manager in managers(world().build("web")).values():
        tracing = manager["tracing"]
        assert "provider" not in tracing
        assert tracing["random_sampling"] == {"value": 1.0}
        assert {tag["tag"] for tag in tracing["custom_tags"]} >= {"istio.mesh_id", "istio.canonical_service"}
    for manager in managers(world(enableTracing=False).build("web")).values():
        assert "tracing" not in manager


def test_the_proxys_own_configuration_counts_before_the_meshs() -> None:
    found = world(defaultConfig={"tracing": {"sampling": 50}})
    own = ProxyTracing(sampling_percent=7.5, mesh_tags=False, max_path_tag_length=10)
    built = build(found.mesh(), replace(found.proxy("web"), tracing=own), same_port)
    for resources, sampling in ((found.build("web"), 50), (built, 7.5)):
        for manager in managers(resources).values():
            assert manager["tracing"]["random_sampling"] == {"value": sampling}
    assert managers(built)["http_proxy"]["tracing"]["custom_tags"] == []
    assert managers(built)["http_proxy"]["tracing"]["max_path_tag_length"] == 10


def test_one_side_traces_to_a_service() -> None:
    telemetry = "tracing: [{match: {mode: CLIENT}, providers: [{name: mine}], useRequestIdForTraceSampling: false}]"
    found = managers(world(telemetry, extensionProviders=[provider("opentelemetry")]).build("web"))
    assert "tracing" not in found["inbound_0.0.0.0_8080"], "a rule speaks, but names no tracer for that side"
    client = found["http_proxy"]
    config = client["tracing"]["provider"]["typed_config"]
    assert config["service_name"] == "web.default"
    assert config["grpc_service"]["envoy_grpc"] == {
        "cluster_name": f"outbound|4317||{COLLECTOR}",
        "authority": COLLECTOR,
    }
    assert client["request_id_extension"]["typed_config"]["use_request_id_for_trace_sampling"] is False


@pytest.mark.parametrize("settings", [{"service": "nobody.default.svc.cluster.local"}, {"port": 1}])
def test_a_tracer_without_its_service_is_none(settings: Obj) -> None:
    tracer = provider("zipkin", **settings)
    found = world("tracing: [{providers: [{name: mine}]}]", extensionProviders=[tracer]).build("web")
    assert all("tracing" not in manager for manager in managers(found).values())


def test_the_way_into_the_proxy_is_no_span() -> None:
    found = world().build("web")
    routes = json.dumps(list(found.values()))
    assert '"random_sampling": {"numerator": 0}' in routes


def test_proxies_that_tell_the_same_can_share_listeners() -> None:
    found = world()
    for name, labels in (("web2", {"app": "web"}), ("other", {"service.istio.io/canonical-name": "other"})):
        found.pod(name, labels)
    mesh = found.mesh()
    scope = Scope(mesh, "default", {})
    web, web2, other = (
        proxy_telemetry(scope, proxy, proxy.labels).client_identity
        for proxy in map(found.proxy, ("web", "web2", "other"))
    )
    assert web == web2 != other
