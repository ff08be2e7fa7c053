"""DestinationRules: the host exists, subsets select pods, TLS verifies the server.

IST0128, IST0129, IST0173, IST0174.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import Obj, matches_labels
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message
from meshlab.minicluster.mesh.istio.analysis.registry import Registry

DESTINATION_RULES = "destinationrules.networking.istio.io"
ORIGINATING = frozenset({"SIMPLE", "MUTUAL"})


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Subset labels are those of the service and of the subset together, compared with all pods, as upstream does."""
    registry = Registry(snapshot)
    pods = [dict(pod.labels) for pod in snapshot.of("pods")]
    for rule in snapshot.of(DESTINATION_RULES):
        host = str(rule.spec.get("host") or "")
        found = registry.find(host, rule.namespace)
        if found is None:
            yield message("IST0174", rule, host, path=("spec", "host"))
            continue
        for index, subset in enumerate(rule.spec.get("subsets") or []):
            if not isinstance(subset, dict):
                continue
            labels = {**found.selector, **(subset.get("labels") or {})}
            if labels and not any(matches_labels(labels, pod) for pod in pods):
                yield message("IST0173", rule, subset.get("name", ""), path=("spec", "subsets", index, "name"))


def ca_certificates(snapshot: Snapshot) -> Iterator[Message]:
    """A rule that originates TLS says by which authorities the server is verified.

    A credentialName may stand for them, but only where the rule selects workloads: others do not fetch it.
    """
    for rule in snapshot.of(DESTINATION_RULES):
        policy = rule.spec.get("trafficPolicy") or {}
        arguments = [rule.full_name, rule.namespace]
        host = rule.spec.get("host", "")
        tls = policy.get("tls") or {}
        path: Path = ("spec", "trafficPolicy", "tls")
        if _unverified(rule, tls):
            yield message("IST0128", rule, *arguments, tls["mode"], host, path=path)
        for index, setting in enumerate(policy.get("portLevelSettings") or []):
            tls = setting.get("tls") or {}
            path = ("spec", "trafficPolicy", "portLevelSettings", index, "tls")
            if _unverified(rule, tls):
                port = f"number:{(setting.get('port') or {}).get('number')}"
                yield message("IST0129", rule, *arguments, tls["mode"], host, port, path=path)


def _unverified(rule: Resource, tls: Obj) -> bool:
    fetched = bool(tls.get("credentialName")) and "workloadSelector" in rule.spec
    return tls.get("mode") in ORIGINATING and not tls.get("caCertificates") and not fetched
