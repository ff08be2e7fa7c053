"""IST0107, IST0108: Istio's annotations stand on the kind of object that Istio reads them from."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message

POD, SERVICE, NAMESPACE, ANY, INGRESS = "Pod", "Service", "Namespace", "Any", "Ingress"

KNOWN: dict[str, tuple[str, ...]] = {
    "ambient.istio.io/redirection": (POD,),
    "galley.istio.io/analyze-suppress": (ANY,),
    "inject.istio.io/templates": (POD,),
    "install.operator.istio.io/chart-owner": (ANY,),
    "install.operator.istio.io/last-applied-configuration": (ANY,),
    "install.operator.istio.io/owner-generation": (ANY,),
    "install.operator.istio.io/version": (ANY,),
    "internal.istio.io/service-upstream": (SERVICE,),
    "istio.io/dry-run": ("AuthorizationPolicy",),
    "istio.io/rev": (POD,),
    "istio.workload.name": (POD,),
    "kubernetes.istio.io/workload-name": (POD,),
    "networking.istio.io/address-type": (ANY,),
    "networking.istio.io/exportTo": (SERVICE,),
    "networking.istio.io/service-type": (ANY,),
    "networking.istio.io/traffic-distribution": (SERVICE, NAMESPACE),
    "networking.istio.io/tunnel": (POD,),
    "operator.istio.io/managed": (ANY,),
    "prometheus.istio.io/merge-metrics": (POD,),
    "proxy.istio.io/config": (POD,),
    "proxy.istio.io/overrides": (POD,),
    "readiness.status.sidecar.istio.io/applicationPorts": (POD,),
    "readiness.status.sidecar.istio.io/failureThreshold": (POD,),
    "readiness.status.sidecar.istio.io/initialDelaySeconds": (POD,),
    "readiness.status.sidecar.istio.io/periodSeconds": (POD,),
    "sidecar.istio.io/agentLogLevel": (POD,),
    "sidecar.istio.io/bootstrapOverride": (POD,),
    "sidecar.istio.io/componentLogLevel": (POD,),
    "sidecar.istio.io/controlPlaneAuthPolicy": (POD,),
    "sidecar.istio.io/discoveryAddress": (POD,),
    "sidecar.istio.io/enableCoreDump": (POD,),
    "sidecar.istio.io/extraStatTags": (POD,),
    "sidecar.istio.io/inject": (POD,),
    "sidecar.istio.io/interceptionMode": (POD,),
    "sidecar.istio.io/logLevel": (POD,),
    "sidecar.istio.io/nativeSidecar": (POD,),
    "sidecar.istio.io/proxyCPU": (POD,),
    "sidecar.istio.io/proxyCPULimit": (POD,),
    "sidecar.istio.io/proxyImage": (POD,),
    "sidecar.istio.io/proxyImageType": (POD,),
    "sidecar.istio.io/proxyMemory": (POD,),
    "sidecar.istio.io/proxyMemoryLimit": (POD,),
    "sidecar.istio.io/rewriteAppHTTPProbers": (POD,),
    "sidecar.istio.io/statsCompression": (POD,),
    "sidecar.istio.io/statsHistogramBuckets": (POD,),
    "sidecar.istio.io/statsInclusionPrefixes": (POD,),
    "sidecar.istio.io/statsInclusionRegexps": (POD,),
    "sidecar.istio.io/statsInclusionSuffixes": (POD,),
    "sidecar.istio.io/status": (POD,),
    "sidecar.istio.io/userVolume": (POD,),
    "sidecar.istio.io/userVolumeMount": (POD,),
    "status.sidecar.istio.io/port": (POD,),
    "topology.istio.io/controlPlaneClusters": (NAMESPACE,),
    "traffic.istio.io/nodeSelector": (SERVICE,),
    "traffic.sidecar.istio.io/excludeInboundPorts": (POD,),
    "traffic.sidecar.istio.io/excludeInterfaces": (POD,),
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": (POD,),
    "traffic.sidecar.istio.io/excludeOutboundPorts": (POD,),
    "traffic.sidecar.istio.io/includeInboundPorts": (POD,),
    "traffic.sidecar.istio.io/includeOutboundIPRanges": (POD,),
    "traffic.sidecar.istio.io/includeOutboundPorts": (POD,),
    "traffic.sidecar.istio.io/kubevirtInterfaces": (POD,),
}
"""The annotations of istio.io/api and the kinds that each belongs to."""


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check namespaces, services, pods, and the two places of a Deployment."""
    for kind in ("namespaces", "services", "pods"):
        for resource in snapshot.of(kind):
            yield from _check(resource, dict(resource.annotations), resource.kind, ("metadata", "annotations"))
    for deployment in snapshot.of("deployments.apps"):
        yield from _check(deployment, dict(deployment.annotations), "Deployment", ("metadata", "annotations"))
        template = (deployment.spec.get("template") or {}).get("metadata") or {}
        at: Path = ("spec", "template", "metadata", "annotations")
        yield from _check(deployment, template.get("annotations") or {}, POD, at)


def _check(resource: Resource, annotations: dict[str, str], kind: str, at: Path) -> Iterator[Message]:
    for annotation in annotations:
        if not is_istios(annotation):
            continue
        kinds = KNOWN.get(annotation)
        if kinds is None:
            yield message("IST0108", resource, annotation, path=(*at, annotation))
        elif ANY not in kinds and kind not in kinds:
            yield message("IST0107", resource, annotation, " ".join(kinds), path=(*at, annotation))


def is_istios(annotation: str) -> bool:
    """Whether the key's domain is Istio's."""
    domain = annotation.split("/", maxsplit=1)[0]
    return "/" in annotation and (domain == "istio.io" or domain.endswith(".istio.io"))
