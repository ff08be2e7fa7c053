"""Istio's annotations: known, on the kind of object that Istio reads them from, with a value that it understands.

IST0107, IST0108, IST0125, IST0135.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meshlab.minicluster.mesh.istio.analysis import annotationvalues
from meshlab.minicluster.mesh.istio.analysis.messages import quoted
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message

POD, SERVICE, NAMESPACE, ANY, INGRESS = "Pod", "Service", "Namespace", "Any", "Ingress"
WORKLOAD_ENTRY = "WorkloadEntry"

KNOWN: dict[str, tuple[str, ...]] = {
    "alpha.istio.io/canonical-serviceaccounts": (SERVICE,),
    "alpha.istio.io/identity": (POD,),
    "alpha.istio.io/kubernetes-serviceaccounts": (SERVICE,),
    "ambient.istio.io/redirection": (POD,),
    "galley.istio.io/analyze-suppress": (ANY,),
    "inject.istio.io/templates": (POD,),
    "install.operator.istio.io/chart-owner": (ANY,),
    "install.operator.istio.io/last-applied-configuration": (ANY,),
    "install.operator.istio.io/owner-generation": (ANY,),
    "install.operator.istio.io/version": (ANY,),
    "internal.istio.io/service-upstream": (SERVICE,),
    "istio.io/autoRegistrationGroup": (WORKLOAD_ENTRY,),
    "istio.io/connectedAt": (WORKLOAD_ENTRY,),
    "istio.io/disconnectedAt": (WORKLOAD_ENTRY,),
    "istio.io/dry-run": ("AuthorizationPolicy",),
    "istio.io/workloadController": (WORKLOAD_ENTRY,),
    "istio.io/rev": (POD,),
    "istio.workload.name": (POD,),
    "kubernetes.io/ingress.class": (INGRESS,),
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

INJECT = "sidecar.istio.io/inject"
DEPRECATED: dict[str, str] = {
    INJECT: ' in favor of the "sidecar.istio.io/inject" label',
    "alpha.istio.io/canonical-serviceaccounts": "",
    "alpha.istio.io/identity": "",
    "alpha.istio.io/kubernetes-serviceaccounts": "",
    "sidecar.istio.io/controlPlaneAuthPolicy": "",
    "sidecar.istio.io/discoveryAddress": "",
    "sidecar.istio.io/statsInclusionPrefixes": "",
    "sidecar.istio.io/statsInclusionRegexps": "",
    "sidecar.istio.io/statsInclusionSuffixes": "",
}
"""Deprecated ones, and in favour of what."""


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check namespaces, services, pods and deployments, and what a Deployment writes onto its pods."""
    for kind in ("namespaces", "services", "pods"):
        for resource in snapshot.of(kind):
            given = Annotated(resource, resource.kind, resource.annotations, resource.labels, ("metadata",))
            yield from _check(given)
    for deployment in snapshot.of("deployments.apps"):
        own = deployment.annotations
        yield from _check(Annotated(deployment, "Deployment", own, deployment.labels, ("metadata",)))
        template = (deployment.spec.get("template") or {}).get("metadata") or {}
        annotations, labels = template.get("annotations") or {}, template.get("labels") or {}
        yield from _check(Annotated(deployment, POD, annotations, labels, ("spec", "template", "metadata")))


@dataclass(frozen=True, slots=True)
class Annotated:
    """A place with annotations: what it is part of, what kind of object it describes, and where it stands."""

    resource: Resource
    kind: str
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    metadata: Path


def _check(given: Annotated) -> Iterator[Message]:
    for annotation, value in given.annotations.items():
        if not is_istios(annotation):
            continue
        resource, path = given.resource, (*given.metadata, "annotations", annotation)
        kinds = KNOWN.get(annotation)
        if kinds is None:
            yield message("IST0108", resource, annotation, path=path)
            continue
        # who writes the label as well knows, and keeps the annotation for older releases
        if annotation in DEPRECATED and not (annotation == INJECT and INJECT in given.labels):
            yield message("IST0135", resource, quoted(annotation), DEPRECATED[annotation], path=path)
        if ANY in kinds:
            continue
        if given.kind not in kinds:
            yield message("IST0107", resource, annotation, ", ".join(kinds), path=path)
        elif problem := annotationvalues.problem(annotation, str(value)):
            yield message("IST0125", resource, annotation, problem, path=path)


def is_istios(annotation: str) -> bool:
    """Whether the key's domain is Istio's, or it is the one of Kubernetes that Istio documents."""
    domain = annotation.split("/", maxsplit=1)[0]
    istios = "/" in annotation and (domain == "istio.io" or domain.endswith(".istio.io"))
    return istios or annotation == "kubernetes.io/ingress.class"
