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
    conditions,
    credentials,
    deployment,
    deprecation,
    destinationrule,
    envoyfilter,
    gateway,
    gatewayconflicts,
    injection,
    jwks,
    jwtclaims,
    kubernetesgateway,
    matches,
    proxyimage,
    serviceentry,
    services,
    sidecar,
    telemetry,
    validity,
    virtualservice,
    webhook,
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

ANALYZERS: tuple[Analyzer, ...] = tuple(
    Analyzer(*row)
    for row in (
        (
            "annotations.K8sAnalyzer",
            "Checks for misplaced and invalid Istio annotations in Kubernetes resources",
            annotation.analyze,
        ),
        ("applicationUID.Analyzer", "Checks invalid application UID", deployment.user_ids),
        (
            "authn.BlockedCIDRsAnalyzer",
            "Checks that BLOCKED_CIDRS_IN_JWKS_URIS is configured on istiod when RequestAuthentication resources exist",
            jwks.analyze,
        ),
        ("auth.AuthorizationPoliciesAnalyzer", "Checks the validity of authorization policies", authorization.analyze),
        ("conditions.ConditionAnalyzer", "Checks for negative status conditions on resources", conditions.analyze),
        ("deployment.MultiServiceAnalyzer", "Checks association between services and pods", deployment.services),
        ("deprecation.DeprecationAnalyzer", "Checks for deprecated Istio types and fields", deprecation.analyze),
        (
            "destinationrule.CaCertificateAnalyzer",
            "Checks if caCertificates is set when TLS mode is SIMPLE/MUTUAL",
            destinationrule.ca_certificates,
        ),
        (
            "destinationrule.SubsetSelectPodAnalyzer",
            "Checks if pods are selected by subsets in destination rules.",
            destinationrule.analyze,
        ),
        ("envoyfilter.EnvoyPatchAnalyzer", "Checks an envoyFilters ", envoyfilter.analyze),
        (
            "envoyfilter.RouteCacheAnalyzer",
            "Checks for EnvoyFilters used with route-dependent authorization",
            envoyfilter.route_cache,
        ),
        ("gateway.CertificateAnalyzer", "Checks a gateway certificate", gatewayconflicts.certificates),
        (
            "gateway.ConflictingGatewayAnalyzer",
            "Checks a gateway's selector, port number and hosts",
            gatewayconflicts.hosts,
        ),
        (
            "gateway.IngressGatewayPortAnalyzer",
            "Checks a gateway's ports against the gateway's Kubernetes Service ports",
            gateway.analyze,
        ),
        ("gateway.SecretAnalyzer", "Checks a gateway's referenced secrets for correctness", credentials.analyze),
        ("injection.Analyzer", "Checks conditions related to Istio sidecar injection", injection.analyze),
        (
            "injection.ImageAnalyzer",
            "Checks the image of auto-injection configured with the running proxies on pods",
            proxyimage.mismatches,
        ),
        (
            "injection.ImageAutoAnalyzer",
            "Makes sure that Pods and Deployments with `image: auto` are going to be injected",
            proxyimage.automatic,
        ),
        (
            "k8sgateway.SelectorAnalyzer",
            "Check that selectors are effective for Kubernetes gateway",
            kubernetesgateway.analyze,
        ),
        (
            "schema.ValidationAnalyzer",
            "Runs schema validation as an analyzer on all Istio resources",
            validity.analyze,
        ),
        ("service.PortNameAnalyzer", "Checks the port names associated with each service", services.analyze),
        ("serviceentry.Analyzer", "Checks the validity of ServiceEntry", serviceentry.addresses),
        (
            "serviceentry.ConflictingServiceEntryProtocolAnalyzer",
            "Checks if multiple ServiceEntries define the same host and port with different protocols",
            serviceentry.protocols,
        ),
        (
            "sidecar.SelectorAnalyzer",
            "Validates that sidecars that define a workload selector match at least one pod, and that there aren't "
            "multiple sidecar resources that select overlapping pods",
            sidecar.analyze,
        ),
        (
            "telemetry.DefaultSelectorAnalyzer",
            "Validates that there aren't multiple telemetry resources that have no selector",
            telemetry.defaults,
        ),
        ("telemetry.LightstepAnalyzer", "Validates that lightstep provider is still used", telemetry.lightstep),
        ("telemetry.ProviderAnalyzer", "Validates that providers in telemery resource is valid", telemetry.providers),
        (
            "telemetry.SelectorAnalyzer",
            "Validates that telemetries that define a selector match at least one pod, and that there aren't multiple "
            "telemetry resources that select overlapping pods",
            telemetry.selectors,
        ),
        (
            "virtualservice.ConflictingMeshGatewayHostsAnalyzer",
            "Checks if multiple virtual services associated with the mesh gateway have conflicting hosts",
            virtualservice.conflicts,
        ),
        (
            "virtualservice.DestinationHostAnalyzer",
            "Checks the destination hosts associated with each virtual service",
            virtualservice.destination_hosts,
        ),
        (
            "virtualservice.DestinationRuleAnalyzer",
            "Checks the destination rules associated with each virtual service",
            virtualservice.subsets,
        ),
        (
            "virtualservice.GatewayAnalyzer",
            "Checks the gateways associated with each virtual service",
            virtualservice.gateways,
        ),
        (
            "virtualservice.JWTClaimRouteAnalyzer",
            "Checks the VirtualService using JWT claim based routing has corresponding RequestAuthentication",
            jwtclaims.analyze,
        ),
        (
            "virtualservice.MatchesAnalyzer",
            "Checks HTTP, TLS and TCP matches for duplicates and unreachable rules",
            matches.analyze,
        ),
        ("webhook.Analyzer", "Checks the validity of Istio webhooks", webhook.analyze),
    )
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
