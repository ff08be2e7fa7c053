"""Tracing: what a connection manager is told of it, as istiod tells it (pilot/pkg/networking/core/tracing.go).

Without a rule and a collector Envoy decides about traces all the same, but reports none and adds no header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.clusters import ANY_SOURCE
from meshlab.minicluster.mesh.envoy.vocabulary import any_of, cluster_name, duration, extension, socket_address
from meshlab.minicluster.mesh.model import ProxyNode
from meshlab.minicluster.mesh.providers import CustomTag, ProxyTracing, Tracer
from meshlab.minicluster.mesh.scope import Scope
from meshlab.minicluster.mesh.telemetry import LATEST, UNKNOWN
from meshlab.minicluster.mesh.tracing import TracingSpec

TRACE = "envoy.config.trace.v3."
SPANS_PATH = "/api/v2/spans"
REPORT_TIMEOUT_S = 5.0
LEGACY_CLUSTER = "zipkin"
"""Cluster of a collector that no service stands for; upstream has it in the bootstrap."""
NOT_TRACED: Obj = {
    "tracing": {key: {"numerator": 0} for key in ("client_sampling", "random_sampling", "overall_sampling")}
}
"""Members of a route that is part of the lab's way into the proxy only: upstream has no such request."""


def tracing_members(spec: TracingSpec | None, proxy: ProxyNode, scope: Scope) -> Obj:
    """Members of a connection manager.

    Args:
        spec: what rules say; None: nothing.
        proxy: whose it is.
        scope: what the proxy sees.
    """
    settings = scope.mesh.settings
    own = proxy.tracing or settings.tracing.proxy
    if spec is None:
        if not settings.tracing.enabled:
            return {}
        collector = _legacy(own, scope)
        tracing = _tracing(own.sampling_percent, _tags(own.tags, proxy, mesh_tags=own.mesh_tags))
        return {"tracing": _limited({**tracing, **({"provider": collector} if collector else {})}, own, 0)}
    if spec.disabled or spec.tracer is None:
        return {}
    provider = _provider(spec.tracer, proxy, scope)
    if provider is None:
        return {}
    sampling = own.sampling_percent if spec.sampling_percent is None else spec.sampling_percent
    tracing = _tracing(sampling, _tags(spec.tags or own.tags, proxy, mesh_tags=spec.mesh_tags))
    tracing["provider"] = provider
    if spec.tracer.kind == "SKYWALKING":
        tracing["spawn_upstream_span"] = True
    if spec.silent:
        tracing["no_context_propagation"] = True
    return {
        "tracing": _limited(tracing, own, spec.tracer.max_path_tag_length),
        "request_id_extension": {
            "typed_config": any_of(
                "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                use_request_id_for_trace_sampling=spec.by_request_id,
            )
        },
    }


def legacy_cluster(proxy: ProxyNode, scope: Scope, ports: Callable[[int], int]) -> Obj | None:
    """The cluster of a collector that the proxy's configuration names, if no service stands for it."""
    own = proxy.tracing or scope.mesh.settings.tracing.proxy
    if own.zipkin is None or _service(*own.zipkin, scope):
        return None
    host, port = own.zipkin
    # Only the lab's own ports are bound elsewhere.
    endpoint = {"endpoint": {"address": socket_address(host, ports(port) if host.startswith("127.") else port)}}
    return {
        "name": LEGACY_CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "dns_lookup_family": "V4_ONLY",
        "upstream_bind_config": ANY_SOURCE,
        "load_assignment": {"cluster_name": LEGACY_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _tracing(sampling_percent: float, tags: list[Obj]) -> Obj:
    return {
        "client_sampling": {"value": 100.0},
        "random_sampling": {"value": sampling_percent},
        "overall_sampling": {"value": 100.0},
        "custom_tags": tags,
    }


def _limited(tracing: Obj, own: ProxyTracing, of_tracer: int) -> Obj:
    length = of_tracer or own.max_path_tag_length
    return {**tracing, "max_path_tag_length": length} if length else tracing


def _tags(custom: Iterable[CustomTag], proxy: ProxyNode, *, mesh_tags: bool) -> list[Obj]:
    """Tags of a name that comes twice are both told, as upstream; Envoy keeps the last."""
    found = [*(_mesh_tags(proxy) if mesh_tags else ()), *(_tag(tag) for tag in custom)]
    return sorted(found, key=lambda tag: str(tag["tag"]))


def _mesh_tags(proxy: ProxyNode) -> Iterable[Obj]:
    own = {
        "istio.canonical_revision": proxy.labels.get("service.istio.io/canonical-revision") or LATEST,
        "istio.canonical_service": proxy.labels.get("service.istio.io/canonical-name") or UNKNOWN,
        "istio.mesh_id": proxy.metadata.get("MESH_ID") or UNKNOWN,
        "istio.namespace": proxy.namespace,
        "istio.cluster_id": proxy.metadata.get("CLUSTER_ID") or UNKNOWN,
    }
    for name, value in own.items():
        yield {"tag": name, "literal": {"value": value}}
    for action in ("allow", "deny"):
        for told, key in (("name", "effective_policy_id"), ("result", "engine_result")):
            yield {
                "tag": f"istio.authorization.dry_run.{action}_policy.{told}",
                "metadata": {
                    "kind": {"request": {}},
                    "metadata_key": {
                        "key": "envoy.filters.http.rbac",
                        "path": [{"key": f"istio_dry_run_{action}_shadow_{key}"}],
                    },
                },
            }


def _tag(tag: CustomTag) -> Obj:
    if tag.kind == "LITERAL":
        return {"tag": tag.name, "literal": {"value": tag.value}}
    if tag.kind == "FORMATTER":
        return {"tag": tag.name, "value": tag.value}
    source = {"name": tag.value, **({"default_value": tag.default} if tag.default else {})}
    return {"tag": tag.name, "environment" if tag.kind == "ENVIRONMENT" else "request_header": source}


def _provider(tracer: Tracer, proxy: ProxyNode, scope: Scope) -> Obj | None:
    """The tracer as Envoy's; None if the service that would take the spans is unknown: upstream does not trace then."""
    host = tracer.host.rpartition("/")[2]
    if host not in scope.services or scope.services[host].port(tracer.port) is None:
        return None
    cluster = cluster_name("outbound", tracer.port, "", host)
    if tracer.kind == "ZIPKIN":
        return _zipkin(tracer, host, cluster)
    if tracer.kind == "DATADOG":
        members: Obj = {"collector_cluster": cluster, "service_name": proxy.cluster, "collector_hostname": host}
        return extension("envoy.tracers.datadog", TRACE + "DatadogConfig", **members)
    grpc: Obj = {"envoy_grpc": {"cluster_name": cluster, "authority": host}}
    if tracer.kind == "SKYWALKING":
        return extension("envoy.tracers.skywalking", TRACE + "SkyWalkingConfig", grpc_service=grpc)
    members = {"service_name": proxy.cluster}
    if tracer.kind == "OTLP_HTTP":
        uri = f"{host}/{tracer.path.lstrip('/')}"
        members["http_service"] = _http_service(uri, cluster, tracer, tracer.timeout_s or 0.0)
    else:
        if tracer.timeout_s is not None:
            grpc["timeout"] = duration(tracer.timeout_s)
        if tracer.headers:
            grpc["initial_metadata"] = [{"key": key, "value": value} for key, value in tracer.headers]
        members["grpc_service"] = grpc
    if tracer.environment_resource:
        members["resource_detectors"] = [
            extension(
                "envoy.tracers.opentelemetry.resource_detectors.environment",
                "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig",
            )
        ]
    return extension("envoy.tracers.opentelemetry", TRACE + "OpenTelemetryConfig", **members)


def _zipkin(tracer: Tracer, host: str, cluster: str) -> Obj:
    timeout = REPORT_TIMEOUT_S if tracer.timeout_s is None else tracer.timeout_s
    return extension(
        "envoy.tracers.zipkin",
        TRACE + "ZipkinConfig",
        collector_endpoint_version="HTTP_JSON",
        trace_id_128bit=not tracer.short_trace_ids,
        shared_span_context=False,
        trace_context_option="USE_B3_WITH_W3C_PROPAGATION" if tracer.w3c else "USE_B3",
        collector_service=_http_service(f"http://{host}{tracer.path or SPANS_PATH}", cluster, tracer, timeout),
    )


def _http_service(uri: str, cluster: str, tracer: Tracer, timeout_s: float) -> Obj:
    found: Obj = {"http_uri": {"uri": uri, "cluster": cluster, "timeout": duration(timeout_s)}}
    if tracer.headers:
        found["request_headers_to_add"] = [
            {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD", "header": {"key": key, "value": value}}
            for key, value in tracer.headers
        ]
    return found


def _legacy(own: ProxyTracing, scope: Scope) -> Obj | None:
    if own.zipkin is None:
        return None
    name, port = own.zipkin
    host = _service(name, port, scope)
    tracer = Tracer("zipkin", "ZIPKIN", name, port)
    cluster = cluster_name("outbound", port, "", host) if host else LEGACY_CLUSTER
    return _zipkin(tracer, host or name, cluster)


def _service(name: str, port: int, scope: Scope) -> str:
    """The host of a service with that port, by any of the names that resolve everywhere; empty for others."""
    domain = scope.mesh.settings.domain
    for host in (name, f"{name}.{domain}", f"{name}.svc.{domain}"):
        if host in scope.services and scope.services[host].port(port) is not None:
            return host
    return ""
