"""Istio's standard metrics out of what Envoy counts (`mesh.envoy.telemetry`): names and labels as upstream writes them.

Envoy's tags say what differs between requests. Here the proxy's own side is added, the other side's single tag is taken
apart, and what is derived is derived as upstream's filter ``istio.stats`` does; then telemetry rules have their say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from meshlab.minicluster.mesh.telemetry import PEER_MARK, SEPARATOR, TAG_PREFIX, UNKNOWN, WITHOUT_TAG, Peer

PREFIX = "envoy_istio_"
STANDARD = "istio_"

_LINE = re.compile(r"envoy_(istio_\w+)\{(.*?)(,le=\"[^\"]*\")?\} (\S+)$")
_TAG = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_PEER_MARK = re.compile(re.escape(PEER_MARK).replace("%s", r"(\w+)"))
_SPIFFE_NAMESPACE = re.compile(r"^spiffe://[^/]+/ns/([^/]+)/")


def standard_metrics(page: str, own: Peer) -> str:
    """A page of Envoy's statistics in Prometheus' format, with the standard metrics under their own names.

    Args:
        page: what Envoy's admin interface answers.
        own: the workload whose proxy it is.
    """
    known: dict[tuple[str, bool], str] = {}

    def labels(name: str, tags: str) -> str:
        # A histogram repeats its tags in twenty lines, and all metrics of a request share theirs.
        key = (tags, name.startswith("istio_tcp_"))
        if key not in known:
            given = dict(_TAG.findall(tags))
            found = changed_labels(standard_labels(given, own, tcp=key[1]), given)
            known[key] = ",".join(f'{label}="{value}"' for label, value in found.items())
        return known[key]

    return "".join(_lines(page, labels))


def _lines(page: str, labels: Callable[[str, str], str]) -> Iterator[str]:
    series: dict[str, str] = {}
    for line in page.splitlines(keepends=True):
        if line.startswith(PREFIX) and (match := _LINE.match(line)):
            name, tags, bound, value = match.groups()
            key = f"{name}{{{labels(name, tags)}{bound or ''}}}"
            # Without some label, what it told apart is one series.
            series[key] = _sum(series[key], value) if key in series else value
            continue
        yield from _written(series)
        series.clear()
        yield line.replace(PREFIX, STANDARD, 1) if line.startswith(f"# TYPE {PREFIX}") else line
    yield from _written(series)


def _written(series: Mapping[str, str]) -> Iterator[str]:
    return (f"{key} {value}\n" for key, value in series.items())


def _sum(first: str, second: str) -> str:
    try:
        return str(int(first) + int(second))
    except ValueError:
        return str(float(first) + float(second))


def changed_labels(labels: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """The labels of a series that telemetry rules change (`mesh.envoy.metricchanges`), new ones behind the others.

    Args:
        labels: the standard ones.
        tags: Envoy's, which tell of the changes.
    """
    peer = Peer.decode(tags.get("peer", ""))

    def value(text: str) -> str:
        told = _PEER_MARK.sub(lambda match: str(getattr(peer, match[1], UNKNOWN)), text)
        # What an expression asks for in vain is unknown; Envoy writes nothing.
        return told or UNKNOWN

    given = {tag.removeprefix(TAG_PREFIX): value(text) for tag, text in tags.items() if tag.startswith(TAG_PREFIX)}
    removed = tags.get(WITHOUT_TAG, "").split(SEPARATOR)
    kept = {label: given.pop(label, standard) for label, standard in labels.items() if label not in removed}
    return kept | dict(sorted(given.items()))


def standard_labels(tags: Mapping[str, str], own: Peer, *, tcp: bool = False) -> dict[str, str]:
    """The standard labels of one series, in upstream's order."""
    source = tags.get("reporter") == "source"
    peer = Peer.decode(tags.get("peer", ""))
    peer_principal = tags.get("peer_principal") or UNKNOWN
    own_principal = tags.get("own_principal") or UNKNOWN
    named = _SPIFFE_NAMESPACE.match(peer_principal)
    peer_namespace = named[1] if named else peer.namespace
    grpc_status = tags.get("grpc_response_status", "")
    secured = UNKNOWN not in (peer_principal, own_principal)
    protocol = "tcp" if tcp else "grpc" if grpc_status else "http"
    found = {"reporter": "source" if source else "destination"}
    here, there = (own, own.namespace, own_principal), (peer, peer_namespace, peer_principal)
    sides = {"source": here, "destination": there} if source else {"source": there, "destination": here}
    for side, (who, namespace, principal) in sides.items():
        found |= {
            f"{side}_workload": who.workload,
            f"{side}_canonical_service": who.canonical_service,
            f"{side}_canonical_revision": who.canonical_revision,
            f"{side}_workload_namespace": namespace,
            f"{side}_principal": principal,
            f"{side}_app": who.app,
            f"{side}_version": who.version,
            f"{side}_cluster": who.cluster,
        }
    host, name, namespace = _service(tags, own, source=source)
    found |= {
        "destination_service": host,
        "destination_service_name": name,
        "destination_service_namespace": namespace or peer_namespace,
        "request_protocol": protocol,
    }
    if not tcp:
        found |= {"response_code": tags.get("response_code", "0"), "grpc_response_status": grpc_status}
    # The source does not look at the connection it makes; upstream's says unknown, too.
    security = UNKNOWN if source else "mutual_tls" if secured else "none"
    return found | {"response_flags": tags.get("response_flags") or "-", "connection_security_policy": security}


def _service(tags: Mapping[str, str], own: Peer, *, source: bool) -> tuple[str, str, str]:
    """Host, name and namespace of the service; the namespace is empty where only the peer's is known."""
    text = tags.get("service", "")
    if SEPARATOR in text:
        host, name, namespace = text.split(SEPARATOR, 2)
        return host, name, namespace
    if not source:
        return own.canonical_service, own.canonical_service, own.namespace
    host = text or UNKNOWN
    return host, tags.get("via") or host, ""
