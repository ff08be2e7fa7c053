"""The command line and environment of ``pilot-discovery``."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshlab.minicluster.mesh.istio.inject_decision import DEFAULT_REVISION
from meshlab.minicluster.mesh.istio.reading import seconds
from meshlab.minicluster.mesh.istio.tracingproviders import DEFAULT_SAMPLING_PERCENT

VERSION = "1.31.0-meshlab"

XDS_PORT = 15012
MONITORING_PORT = 15014
WEBHOOK_PORT = 15017
HTTP_PORT = 8080


@dataclass(frozen=True, slots=True)
class Options:
    """What istiod was told. Ports are nominal; the lab's port map says what is really bound."""

    namespace: str
    revision: str = DEFAULT_REVISION
    cluster_id: str = "Kubernetes"
    http_port: int = HTTP_PORT
    monitoring_port: int = MONITORING_PORT
    webhook_port: int = WEBHOOK_PORT
    xds_port: int = XDS_PORT
    certificate_ttl: dt.timedelta | None = None
    """How long workload certificates live; None: a day."""
    sampling_percent: float = DEFAULT_SAMPLING_PERCENT
    """How many requests are traced where nothing else says."""
    allocates_addresses: bool = True
    """Whether ServiceEntries without addresses are given some."""

    @property
    def suffix(self) -> str:
        """What a revision adds to the names of istiod's own objects."""
        return "" if self.revision == DEFAULT_REVISION else f"-{self.revision}"


def parse(arguments: Sequence[str], environment: Mapping[str, str], *, namespace: str) -> Options:
    """Read the flags of ``pilot-discovery discovery``; flags that mean nothing here are accepted, as scripts pass them.

    Args:
        arguments: what follows the word ``discovery``.
        environment: the container's environment.
        namespace: the pod's namespace.
    """
    parser = argparse.ArgumentParser(prog="pilot-discovery discovery", add_help=False, allow_abbrev=False)
    parser.add_argument("--httpAddr", default=f":{HTTP_PORT}")
    parser.add_argument("--httpsAddr", default=f":{WEBHOOK_PORT}")
    parser.add_argument("--secureGRPCAddr", default=f":{XDS_PORT}")
    parser.add_argument("--monitoringAddr", default=f":{MONITORING_PORT}")
    parser.add_argument("--namespace", "-n", default=environment.get("POD_NAMESPACE") or namespace)
    known, _ = parser.parse_known_args(list(arguments))
    return Options(
        namespace=known.namespace,
        revision=environment.get("REVISION") or DEFAULT_REVISION,
        cluster_id=environment.get("CLUSTER_ID") or "Kubernetes",
        http_port=_port(known.httpAddr, HTTP_PORT),
        monitoring_port=_port(known.monitoringAddr, MONITORING_PORT),
        webhook_port=_port(known.httpsAddr, WEBHOOK_PORT),
        xds_port=_port(known.secureGRPCAddr, XDS_PORT),
        certificate_ttl=certificate_ttl(environment),
        sampling_percent=sampling_percent(environment),
        allocates_addresses=environment.get("PILOT_ENABLE_IP_AUTOALLOCATE", "").lower() not in ("false", "0"),
    )


def certificate_ttl(environment: Mapping[str, str]) -> dt.timedelta | None:
    """How long workload certificates live, by upstream's ``DEFAULT_WORKLOAD_CERT_TTL`` and its maximum."""
    wanted = seconds(environment.get("DEFAULT_WORKLOAD_CERT_TTL"))
    longest = seconds(environment.get("MAX_WORKLOAD_CERT_TTL"))
    given = [value for value in (wanted, longest) if value]
    return dt.timedelta(seconds=min(given)) if given else None


def sampling_percent(environment: Mapping[str, str]) -> float:
    """How many requests are traced where nothing else says, by upstream's ``PILOT_TRACE_SAMPLING``."""
    try:
        wanted = float(environment.get("PILOT_TRACE_SAMPLING") or DEFAULT_SAMPLING_PERCENT)
    except ValueError:
        return DEFAULT_SAMPLING_PERCENT
    return wanted if 0 <= wanted <= 100 else DEFAULT_SAMPLING_PERCENT


def _port(address: str, default: int) -> int:
    _, _, port = address.rpartition(":")
    return int(port) if port.isdecimal() else default
