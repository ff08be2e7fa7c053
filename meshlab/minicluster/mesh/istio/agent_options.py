"""The command line and environment of ``pilot-agent proxy``, and the node they describe."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshlab.minicluster.mesh.envoy.bootstrap import MoreStats

META_PREFIX = "ISTIO_META_"
DISCOVERY_ADDRESS = "istiod.istio-system.svc:15012"


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """What the agent was told."""

    role: str
    """``sidecar`` or ``router``."""
    domain: str
    log_level: str = "warning"
    component_log_level: str = ""
    concurrency: int = 1
    discovery_address: str = DISCOVERY_ADDRESS
    drain_s: float = 5.0
    """How long connections may last once the pod is told to stop (terminationDrainDuration)."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    trust_domain: str = "cluster.local"
    more_stats: MoreStats = field(default_factory=MoreStats)
    proxy_config: Mapping[str, Any] = field(default_factory=dict)
    """Istio's ProxyConfig as the injector wrote it; istiod gets it with the node."""
    application_metrics: Mapping[str, str] = field(default_factory=dict)
    """``scrape``, ``port`` and ``path`` of the application's own metrics, to be served beside Envoy's."""

    @property
    def discovery_host(self) -> str:
        """The name of istiod's Service."""
        return self.discovery_address.rpartition(":")[0]

    @property
    def discovery_port(self) -> int:
        """Its nominal port."""
        return int(self.discovery_address.rpartition(":")[2])


class InvalidOptions(Exception):
    """The command line or environment cannot be understood."""


def parse(arguments: Sequence[str], environment: Mapping[str, str], *, namespace: str) -> ProxyOptions:
    """Read the flags of ``pilot-agent proxy``; flags that mean nothing here are accepted.

    Raises:
        InvalidOptions: a value is malformed.
    """
    parser = argparse.ArgumentParser(prog="pilot-agent proxy", add_help=False, allow_abbrev=False)
    parser.add_argument("role", nargs="?", default="sidecar")
    parser.add_argument("--domain", default="")
    parser.add_argument("--proxyLogLevel", default="warning")
    parser.add_argument("--proxyComponentLogLevel", default="misc:error")
    parser.add_argument("--concurrency", type=int, default=0)
    known, _ = parser.parse_known_args(list(arguments))
    if known.role not in ("sidecar", "router"):
        raise InvalidOptions(f"Invalid proxy Type: {known.role}")
    try:
        config = json.loads(environment.get("PROXY_CONFIG") or "{}") or {}
        metrics = json.loads(environment.get("ISTIO_PROMETHEUS_ANNOTATIONS") or "{}")
        drain_s = _seconds(
            environment.get("TERMINATION_DRAIN_DURATION_SECONDS") or config.get("terminationDrainDuration")
        )
        metadata = {
            key.removeprefix(META_PREFIX): value for key, value in environment.items() if key.startswith(META_PREFIX)
        }
    except (ValueError, TypeError) as error:
        raise InvalidOptions(f"the proxy's configuration is malformed: {error}") from error
    address = config.get("discoveryAddress") or environment.get("CA_ADDR") or DISCOVERY_ADDRESS
    if not address.rpartition(":")[2].isdecimal():
        raise InvalidOptions(f"discoveryAddress {address!r} has no port")
    return ProxyOptions(
        role=known.role,
        domain=known.domain or f"{namespace}.svc.cluster.local",
        log_level=known.proxyLogLevel,
        component_log_level=known.proxyComponentLogLevel,
        concurrency=known.concurrency or int(config.get("concurrency") or 0) or 1,
        discovery_address=address,
        drain_s=5.0 if drain_s is None else drain_s,
        metadata=metadata,
        trust_domain=environment.get("TRUST_DOMAIN") or "cluster.local",
        more_stats=_more_stats(config.get("proxyStatsMatcher") or {}),
        proxy_config=config,
        application_metrics=metrics,
    )


def _more_stats(matcher: Mapping[str, Sequence[str]]) -> MoreStats:
    return MoreStats(
        tuple(matcher.get("inclusionPrefixes") or ()),
        tuple(matcher.get("inclusionSuffixes") or ()),
        tuple(matcher.get("inclusionRegexps") or ()),
    )


def annotated_stats(wanted: MoreStats, annotations: Mapping[str, str], pod_ip: str) -> MoreStats:
    """With what the older annotations ``sidecar.istio.io/statsInclusion...`` (comma-separated) name.

    Where there is an annotation, the configuration's list of that kind does not count, as upstream.
    """

    def listed(kind: str, otherwise: Sequence[str]) -> tuple[str, ...]:
        text = annotations.get(f"sidecar.istio.io/statsInclusion{kind}", "")
        given = [part.strip() for part in text.split(",")] if text else otherwise
        return tuple(part.replace("{pod_ip}", pod_ip) for part in given if part)

    return MoreStats(
        listed("Prefixes", wanted.prefixes),
        listed("Suffixes", wanted.suffixes),
        listed("Regexps", wanted.expressions),
    )


def _seconds(value: object) -> float | None:
    if value in (None, ""):
        return None
    return float(str(value).removesuffix("s"))


def parse_downward_labels(text: str) -> dict[str, str]:
    """The file that the downward API writes for labels or annotations: ``key="escaped value"`` lines."""
    result = {}
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        if separator:
            try:
                result[key] = str(json.loads(value))
            except ValueError:
                result[key] = value.strip('"')
    return result


def workload_cluster(labels: Mapping[str, str], workload: str, namespace: str) -> str:
    """Envoy's service cluster, ``app.namespace``, as upstream names it."""
    return f"{labels.get('app') or workload or 'istio-proxy'}.{namespace}"
