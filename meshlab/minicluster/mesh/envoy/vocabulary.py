"""Envoy's words: type URLs, and the small shapes that occur everywhere in its configuration.

All configuration is plain JSON (snake_case, as in Envoy's reference), with an ``@type`` member where Envoy has an Any.
"""

from __future__ import annotations

from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.model import ConfigRef

TYPE = "type.googleapis.com/"

CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINT = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTE = TYPE + "envoy.config.route.v3.RouteConfiguration"
SECRET = TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret"
EXTENSION = TYPE + "envoy.config.core.v3.TypedExtensionConfig"

ADS: Obj = {"ads": {}, "resource_api_version": "V3"}
"""Where every dynamic resource comes from."""

MAX_UINT32 = 4294967295
"""What Istio writes where it means: no limit."""

HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

BLACK_HOLE = "BlackHoleCluster"
PASSTHROUGH = "PassthroughCluster"
INBOUND_PASSTHROUGH = "InboundPassthroughCluster"
LAB_PASSTHROUGH = "PassthroughCluster-lab"
"""PassthroughCluster for the lab's own addresses: it keeps the pod's address as source, which cannot leave the host."""
TUNNEL = "http_proxy_tunnel"
"""Cluster and internal listener that take HTTP out of a CONNECT tunnel."""
BLACK_HOLE_TUNNEL = "http_proxy_blackhole"
"""Cluster and internal listener that accept a CONNECT tunnel and close it, as a captured connection is closed."""
CAPTURED_PASSTHROUGH = "PassthroughCluster-captured"
"""PassthroughCluster for captured connections, whose own destination is known."""
ORIGINAL = "original"
"""In place of ``outbound`` in the name of a cluster by whose service captured connections go where they were going."""
VIRTUAL_OUTBOUND = "virtualOutbound"
"""The listener that takes captured connections and hands each to the listener of its destination."""
HTTP_PROXY_PORT = 15001
HTTP_PROXY = "http_proxy"
"""Listener and route configuration of sidecars' outbound side."""


def lab_passthrough(port: int) -> str:
    """CAPTURED_PASSTHROUGH for the lab's own addresses.

    Args:
        port: a nominal port behind which another one is bound; 0 for the others.
    """
    return f"{CAPTURED_PASSTHROUGH}-lab{f'-{port}' if port else ''}"


def any_of(type_name: str, **members: Any) -> Obj:
    """A message in an Any."""
    return {"@type": TYPE + type_name, **members}


def extension(name: str, type_name: str, **members: Any) -> Obj:
    """A named, typed extension: a filter, a transport socket, an access log ..."""
    return {"name": name, "typed_config": any_of(type_name, **members)}


def socket_address(address: str, port: int) -> Obj:
    """A TCP address."""
    return {"socket_address": {"address": address, "port_value": port}}


def internal_cluster(name: str) -> Obj:
    """The cluster that leads to the internal listener of the same name."""
    address = {"envoy_internal_address": {"server_listener_name": name, "endpoint_id": name}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def duration(seconds: float) -> str:
    """A protobuf duration in JSON: at most nine decimals and an s."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def fraction(percent: float) -> Obj:
    """A FractionalPercent for a percentage."""
    return {"numerator": round(percent * 10_000), "denominator": "MILLION"}


def cluster_name(direction: str, port: int, subset: str, host: str) -> str:
    """Istio's name for a cluster: ``outbound|80|v1|host``."""
    return f"{direction}|{port}|{subset}|{host}"


def sni_name(port: int, subset: str, host: str) -> str:
    """The SNI that sidecars send: ``outbound_.80_.v1_.host``."""
    return f"outbound_.{port}_.{subset}_.{host}"


def config_path(ref: ConfigRef) -> str:
    """The path of the resource behind something, as Istio writes it into metadata."""
    kind = "".join(f"-{c.lower()}" if c.isupper() else c for c in ref.kind).lstrip("-")
    # istiod keeps resources in their storage version, whatever version they were written in.
    return f"/apis/{ref.group}/v1/namespaces/{ref.namespace}/{kind}/{ref.name}"


def istio_metadata(others: Obj | None = None, /, **members: Any) -> Obj:
    """Metadata in Istio's namespace, where its tools look for it, and perhaps in other namespaces."""
    return {"filter_metadata": {"istio": members, **(others or {})}}
