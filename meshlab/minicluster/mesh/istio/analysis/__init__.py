"""``istioctl analyze`` without the command: resources in, messages out, all of it pure.

`ANALYZERS` is the list; each is a function of a `model.Snapshot`. `analyze` runs them, drops what is suppressed or in
other namespaces, and puts the rest in upstream's order. Codes, levels and words are upstream's (`messages`).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from meshlab.minicluster.mesh.istio.analysis import (
    annotation,
    authorization,
    destinationrule,
    gateway,
    injection,
    matches,
    services,
    validity,
    virtualservice,
)
from meshlab.minicluster.mesh.istio.analysis.messages import LEVELS
from meshlab.minicluster.mesh.istio.analysis.model import (
    KINDS,
    SUPPRESS_ANNOTATION,
    Analyzer,
    Message,
    Resource,
    Snapshot,
)

__all__ = ["ANALYZERS", "KINDS", "Analyzer", "Message", "Resource", "Snapshot", "analyze"]

ANALYZERS: tuple[Analyzer, ...] = (
    Analyzer(
        "annotations.K8sAnalyzer",
        "Checks for misplaced and invalid Istio annotations in Kubernetes resources",
        annotation.analyze,
    ),
    Analyzer(
        "auth.AuthorizationPoliciesAnalyzer", "Checks the validity of authorization policies", authorization.analyze
    ),
    Analyzer(
        "destinationrule.SubsetSelectPodAnalyzer",
        "Checks if pods are selected by subsets in destination rules.",
        destinationrule.analyze,
    ),
    Analyzer(
        "gateway.IngressGatewayPortAnalyzer",
        "Checks a gateway's ports against the gateway's Kubernetes Service ports",
        gateway.analyze,
    ),
    Analyzer("injection.Analyzer", "Checks conditions related to Istio sidecar injection", injection.analyze),
    Analyzer(
        "schema.ValidationAnalyzer", "Runs schema validation as an analyzer on all Istio resources", validity.analyze
    ),
    Analyzer("service.PortNameAnalyzer", "Checks the port names associated with each service", services.analyze),
    Analyzer(
        "virtualservice.ConflictingMeshGatewayHostsAnalyzer",
        "Checks if multiple virtual services associated with the mesh gateway have conflicting hosts",
        virtualservice.conflicts,
    ),
    Analyzer(
        "virtualservice.DestinationHostAnalyzer",
        "Checks the destination hosts associated with each virtual service",
        virtualservice.hosts,
    ),
    Analyzer(
        "virtualservice.DestinationRuleAnalyzer",
        "Checks the destination rules associated with each virtual service",
        virtualservice.subsets,
    ),
    Analyzer(
        "virtualservice.GatewayAnalyzer",
        "Checks the gateways associated with each virtual service",
        virtualservice.gateways,
    ),
    Analyzer(
        "virtualservice.MatchesAnalyzer",
        "Checks HTTP, TLS and TCP matches for duplicates and unreachable rules",
        matches.analyze,
    ),
)


def analyze(
    resources: Iterable[Resource], *, namespace: str = "", suppressions: Sequence[tuple[str, str]] = ()
) -> list[Message]:
    """Run all analyzers.

    Args:
        resources: everything that is there; of two of the same kind and name the later one counts.
        namespace: report only what concerns this namespace; empty for all.
        suppressions: (code, ``Kind name.namespace`` or ``Kind namespace/name``, with ``*``).

    Returns:
        Messages, the worst first, then by code and origin, without duplicates.
    """
    unique = {(item.group, item.kind, item.full_name): item for item in resources}
    snapshot = Snapshot(unique.values())
    found: dict[tuple[str, str, str, str], Message] = {}
    for analyzer in ANALYZERS:
        for item in analyzer.analyze(snapshot):
            if namespace and item.resource.namespace not in ("", namespace):
                continue
            if _suppressed(item, suppressions):
                continue
            found[item.code, item.origin, item.reference, item.text] = item
    return sorted(
        found.values(), key=lambda item: (LEVELS.index(item.level), item.code, item.origin, item.reference, item.text)
    )


def _suppressed(item: Message, suppressions: Sequence[tuple[str, str]]) -> bool:
    own = item.resource.annotations.get(SUPPRESS_ANNOTATION, "")
    if own == "*" or item.code in (code.strip() for code in own.split(",")):
        return True
    resource = item.resource
    dotted = f"{resource.kind} {resource.name}"
    if resource.full_name != resource.name:
        dotted += f".{resource.namespace}"
    return any(
        code == item.code and (fnmatch.fnmatchcase(item.origin, pattern) or fnmatch.fnmatchcase(dotted, pattern))
        for code, pattern in suppressions
    )
