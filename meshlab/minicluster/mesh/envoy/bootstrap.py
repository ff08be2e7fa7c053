"""The bootstrap that a proxy starts with: who it is, where its control plane is, and what it keeps statistics of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.telemetry import STATS_SCOPE
from meshlab.minicluster.mesh.envoy.vocabulary import (
    ADS,
    HTTP_PROTOCOL_OPTIONS,
    any_of,
    duration,
    extension,
    socket_address,
)

XDS_CLUSTER = "xds-grpc"

STATS_PREFIXES = (
    f"{STATS_SCOPE}.",
    "cluster.outbound|",
    "cluster.inbound|",
    "cluster.xds-grpc.",
    "cluster.PassthroughCluster",
    "cluster.BlackHoleCluster",
    "cluster_manager.",
    "listener_manager.",
    "server.",
    "http.outbound_",
    "http.inbound_",
    "tcp.",
    "control_plane.",
    "sds.",
)
STATS_SUFFIXES = (
    ".upstream_cx_active",
    ".upstream_cx_total",
    ".upstream_cx_connect_fail",
    ".upstream_cx_overflow",
    ".circuit_breakers.default.cx_open",
    ".circuit_breakers.default.rq_pending_open",
    ".outlier_detection.ejections_active",
    ".outlier_detection.ejections_enforced_total",
    ".upstream_rq_active",
    ".upstream_rq_total",
    ".upstream_rq_pending_active",
    ".upstream_rq_pending_overflow",
    ".upstream_rq_retry",
    ".upstream_rq_retry_success",
    ".upstream_rq_retry_limit_exceeded",
    ".upstream_rq_timeout",
    ".upstream_rq_per_try_timeout",
    ".upstream_rq_2xx",
    ".upstream_rq_3xx",
    ".upstream_rq_4xx",
    ".upstream_rq_5xx",
    ".membership_healthy",
    ".membership_total",
    ".handshake",
    ".fail_verify_error",
    ".fail_verify_san",
)


@dataclass(frozen=True, slots=True)
class MoreStats:
    """Statistics that somebody wants beyond the usual ones."""

    prefixes: Sequence[str] = ()
    suffixes: Sequence[str] = ()
    expressions: Sequence[str] = ()
    """Regular expressions on the whole name."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What a bootstrap is made of.

    The agent knows all of it: from its pod's context, its environment and its volumes.
    """

    node_id: str
    """``sidecar~IP~pod.namespace~namespace.svc.cluster.local``."""
    cluster: str
    """``app.namespace``."""
    pod_ip: str
    admin_socket: str
    """Path of Envoy's admin socket; at most 107 bytes."""
    discovery_address: str
    discovery_port: int
    """The really bound port."""
    discovery_san: str
    """DNS name in istiod's certificate: ``istiod.istio-system.svc``."""
    root_certificate: str
    """Path of the root certificate that istiod's certificate is checked against."""
    token: str
    """The pod's token for istiod (audience ``istio-ca``)."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    """NAME, NAMESPACE, LABELS, WORKLOAD_NAME, ..."""
    locality: Mapping[str, str] = field(default_factory=dict)
    """region, zone, sub_zone."""
    more_stats: MoreStats = field(default_factory=MoreStats)
    """Further statistics to keep."""


def bootstrap(wanted: Bootstrap) -> Obj:
    """Envoy's bootstrap.

    Every upstream connection starts at the pod's own address, so that the other side knows the pod by it; clusters that
    leave the lab say otherwise for themselves. Reconnects are quick: a restarted istiod has its proxies back within a
    second.
    """
    node: Obj = {"id": wanted.node_id, "cluster": wanted.cluster, "metadata": dict(wanted.metadata)}
    if wanted.locality:
        node["locality"] = dict(wanted.locality)
    service: Obj = {
        "envoy_grpc": {
            "cluster_name": XDS_CLUSTER,
            "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}},
        },
        "initial_metadata": [{"key": "authorization", "value": f"Bearer {wanted.token}"}],
    }
    return {
        "node": node,
        "admin": {"address": {"pipe": {"path": wanted.admin_socket}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [service],
            },
            "cds_config": ADS,
            "lds_config": ADS,
        },
        "static_resources": {"clusters": [_discovery_cluster(wanted)]},
        "cluster_manager": {"upstream_bind_config": {"source_address": {"address": wanted.pod_ip, "port_value": 0}}},
        "bootstrap_extensions": [
            extension(
                "envoy.bootstrap.internal_listener",
                "envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
            )
        ],
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _kept_stats(wanted.more_stats)}}},
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    "static_layer": {
                        # Istio's limit; Envoy's own of 100 refuses quite ordinary expressions.
                        "re2.max_program_size.error_level": 32768,
                    },
                },
                {"name": "admin", "admin_layer": {}},
            ]
        },
    }


def _discovery_cluster(wanted: Bootstrap) -> Obj:
    tls: Obj = {
        "validation_context": {
            "trusted_ca": {"filename": wanted.root_certificate},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": wanted.discovery_san}}],
        },
        "alpn_protocols": ["h2"],
    }
    http2 = {"connection_keepalive": {"interval": "30s", "timeout": "10s"}}
    return {
        "name": XDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": duration(1),
        "typed_extension_protocol_options": {
            HTTP_PROTOCOL_OPTIONS: any_of(HTTP_PROTOCOL_OPTIONS, explicit_http_config={"http2_protocol_options": http2})
        },
        "transport_socket": extension(
            "envoy.transport_sockets.tls",
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            sni=wanted.discovery_san,
            common_tls_context=tls,
        ),
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": socket_address(wanted.discovery_address, wanted.discovery_port)}}
                    ]
                }
            ],
        },
    }


def _kept_stats(more: MoreStats) -> list[Obj]:
    """Keep what the course looks at: all of the proxy itself and of its listeners, a choice per cluster.

    A hundred services otherwise cost each sidecar several megabytes of counters nobody reads.
    """
    whole = [prefix for prefix in STATS_PREFIXES if not prefix.startswith("cluster.")]
    clusters = [prefix for prefix in STATS_PREFIXES if prefix.startswith("cluster.")]
    patterns: list[Obj] = [{"prefix": prefix} for prefix in (*whole, "listener.", *more.prefixes)]
    patterns += [{"suffix": suffix} for suffix in more.suffixes]
    patterns += [{"safe_regex": {"regex": expression}} for expression in more.expressions]
    chosen = "|".join(suffix.replace(".", r"\.") for suffix in STATS_SUFFIXES)
    names = "|".join(prefix.replace("|", r"\|").replace(".", r"\.") for prefix in clusters)
    return [*patterns, {"safe_regex": {"regex": f"({names}).*({chosen})"}}]
