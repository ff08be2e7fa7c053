"""The messages of ``istioctl analyze`` that this analyzer can give: code, level, name and words, as upstream's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["Error", "Warning", "Info"]
LEVELS: tuple[Level, ...] = ("Error", "Warning", "Info")
"""From worst to mildest."""


@dataclass(frozen=True, slots=True)
class MessageType:
    """One row of the catalogue; an argument that upstream writes with ``%q`` is passed through `quoted`."""

    code: str
    level: Level
    name: str
    template: str


def _table(*rows: tuple[str, Level, str, str]) -> dict[str, MessageType]:
    return {row[0]: MessageType(*row) for row in rows}


MESSAGES = _table(
    ("IST0002", "Warning", "Deprecated", "Deprecated: {}"),
    ("IST0101", "Error", "ReferencedResourceNotFound", "Referenced {} not found: {}"),
    (
        "IST0102",
        "Info",
        "NamespaceNotInjected",
        "The namespace is not enabled for Istio injection. Run 'kubectl label namespace {0} istio-injection=enabled' "
        "to enable it, or 'kubectl label namespace {0} istio-injection=disabled' to explicitly mark it as not needing "
        "injection.",
    ),
    (
        "IST0103",
        "Warning",
        "PodMissingProxy",
        "The pod {} is missing the Istio proxy. This can often be resolved by restarting or redeploying the workload.",
    ),
    ("IST0106", "Error", "SchemaValidationError", "Schema validation error: {}"),
    ("IST0107", "Warning", "MisplacedAnnotation", "Misplaced annotation: {} can only be applied to {}"),
    ("IST0108", "Warning", "UnknownAnnotation", "Unknown annotation: {}"),
    (
        "IST0109",
        "Error",
        "ConflictingMeshGatewayVirtualServiceHosts",
        "The VirtualServices {} associated with mesh gateway define the same host {} which can lead to undefined "
        "behavior. This can be fixed by merging the conflicting VirtualServices into a single resource.",
    ),
    (
        "IST0110",
        "Error",
        "ConflictingSidecarWorkloadSelectors",
        "The Sidecars {} in namespace {} select the same workload pod {}, which can lead to undefined behavior.",
    ),
    (
        "IST0111",
        "Error",
        "MultipleSidecarsWithoutWorkloadSelectors",
        "The Sidecars {} in namespace {} have no workload selector, which can lead to undefined behavior.",
    ),
    (
        "IST0112",
        "Error",
        "VirtualServiceDestinationPortSelectorRequired",
        "This VirtualService routes to a service {} that exposes multiple ports {}. Specifying a port in the "
        "destination is required to disambiguate.",
    ),
    (
        "IST0116",
        "Warning",
        "DeploymentAssociatedToMultipleServices",
        "This deployment {} is associated with multiple services using port {} but different protocols: {}",
    ),
    (
        "IST0118",
        "Info",
        "PortNameIsNotUnderNamingConvention",
        "Port name {} (port: {}, targetPort: {}) doesn't follow the naming convention of Istio port.",
    ),
    (
        "IST0123",
        "Warning",
        "NamespaceMultipleInjectionLabels",
        "The namespace has more than one type of injection labels {}, which may lead to undefined behavior. Make sure "
        "only one injection label exists.",
    ),
    ("IST0125", "Warning", "InvalidAnnotation", "Invalid annotation {}: {}"),
    (
        "IST0127",
        "Warning",
        "NoMatchingWorkloadsFound",
        "No matching workloads for this resource with the following labels: {}",
    ),
    (
        "IST0128",
        "Warning",
        "NoServerCertificateVerificationDestinationLevel",
        "DestinationRule {} in namespace {} has TLS mode set to {} but no caCertificates are set to validate server "
        "identity for host: {}",
    ),
    (
        "IST0129",
        "Warning",
        "NoServerCertificateVerificationPortLevel",
        "DestinationRule {} in namespace {} has TLS mode set to {} but no caCertificates are set to validate server "
        "identity for host: {} at port {}",
    ),
    ("IST0130", "Warning", "VirtualServiceUnreachableRule", "VirtualService rule {} not used ({})."),
    (
        "IST0131",
        "Info",
        "VirtualServiceIneffectiveMatch",
        "VirtualService rule {} match {} is not used (duplicate/overlapping match in rule {}).",
    ),
    (
        "IST0132",
        "Warning",
        "VirtualServiceHostNotFoundInGateway",
        "one or more host {} defined in VirtualService {} not found in Gateway {}.",
    ),
    (
        "IST0134",
        "Warning",
        "ServiceEntryAddressesRequired",
        "ServiceEntry addresses are required for this protocol.",
    ),
    (
        "IST0135",
        "Info",
        "DeprecatedAnnotation",
        "Annotation {} has been deprecated{} and may not work in future Istio versions.",
    ),
    (
        "IST0137",
        "Warning",
        "DeploymentConflictingPorts",
        "This deployment {} is associated with multiple services {} using targetPort {} but different ports: {}.",
    ),
    (
        "IST0138",
        "Warning",
        "GatewayDuplicateCertificate",
        "Duplicate certificate in multiple gateways {} may cause 404s if clients re-use HTTP2 connections.",
    ),
    ("IST0139", "Error", "InvalidWebhook", "{}"),
    (
        "IST0140",
        "Warning",
        "IngressRouteRulesNotAffected",
        "Subset in virtual service {} has no effect on ingress gateway {} requests",
    ),
    (
        "IST0144",
        "Warning",
        "InvalidApplicationUID",
        "User ID (UID) 1337 is reserved for the sidecar proxy.",
    ),
    (
        "IST0145",
        "Error",
        "ConflictingGateways",
        "Conflict with gateways {} (workload selector {}, port {}, hosts {}).",
    ),
    (
        "IST0146",
        "Warning",
        "ImageAutoWithoutInjectionWarning",
        "{} {} contains `image: auto` but does not match any Istio injection webhook selectors.",
    ),
    (
        "IST0147",
        "Error",
        "ImageAutoWithoutInjectionError",
        "{} {} contains `image: auto` but does not match any Istio injection webhook selectors.",
    ),
    (
        "IST0148",
        "Info",
        "NamespaceInjectionEnabledByDefault",
        "is enabled for Istio injection, as Istio is installed with enableNamespacesByDefault as true.",
    ),
    (
        "IST0149",
        "Error",
        "JwtClaimBasedRoutingWithoutRequestAuthN",
        "The virtual service uses the JWT claim based routing (key: {}) but found no request authentication for the "
        "gateway ({}) pod ({}). The request authentication must first be applied for the gateway pods to validate the "
        "JWT token and make the claims available for routing.",
    ),
    (
        "IST0150",
        "Warning",
        "ExternalNameServiceTypeInvalidPortName",
        "Port name for ExternalName service is invalid. Proxy may prevent tcp named ports and unmatched traffic for "
        "ports serving TCP protocol from being forwarded correctly",
    ),
    (
        "IST0151",
        "Warning",
        "EnvoyFilterUsesRelativeOperation",
        "This EnvoyFilter does not have a priority and has a relative patch operation set which can cause the "
        "EnvoyFilter not to be applied. Using the INSERT_FIRST of ADD option or setting the priority may help in "
        "ensuring the EnvoyFilter is applied correctly.",
    ),
    (
        "IST0152",
        "Error",
        "EnvoyFilterUsesReplaceOperationIncorrectly",
        "The REPLACE operation is only valid for HTTP_FILTER and NETWORK_FILTER.",
    ),
    (
        "IST0153",
        "Error",
        "EnvoyFilterUsesAddOperationIncorrectly",
        "The ADD operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE.",
    ),
    (
        "IST0154",
        "Error",
        "EnvoyFilterUsesRemoveOperationIncorrectly",
        "The REMOVE operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE.",
    ),
    (
        "IST0155",
        "Warning",
        "EnvoyFilterUsesRelativeOperationWithProxyVersion",
        "This EnvoyFilter does not have a priority and has a relative patch operation (NSTERT_BEFORE/AFTER, REPLACE, "
        "MERGE, DELETE) and proxyVersion set which can cause the EnvoyFilter not to be applied during an upgrade. "
        "Using the INSERT_FIRST or ADD option or setting the priority may help in ensuring the EnvoyFilter is applied "
        "correctly.",
    ),
    (
        "IST0157",
        "Warning",
        "InvalidTelemetryProvider",
        "The Telemetry {} in namespace {} with empty providers will be ignored.",
    ),
    (
        "IST0158",
        "Warning",
        "PodsIstioProxyImageMismatchInNamespace",
        "The Istio proxy images of the pods running in the namespace do not match the image defined in the injection "
        "configuration (pod names: {}). This often happens after upgrading the Istio control-plane and can be fixed by "
        "redeploying the pods.",
    ),
    (
        "IST0159",
        "Error",
        "ConflictingTelemetryWorkloadSelectors",
        "The Telemetries {} in namespace {} select the same workload pod {}, which can lead to undefined behavior.",
    ),
    (
        "IST0160",
        "Error",
        "MultipleTelemetriesWithoutWorkloadSelectors",
        "The Telemetries {} in namespace {} have no workload selector, which can lead to undefined behavior.",
    ),
    (
        "IST0161",
        "Error",
        "InvalidGatewayCredential",
        "The credential referenced by the Gateway {} in namespace {} is invalid, which can cause the traffic not to "
        "work as expected.",
    ),
    (
        "IST0162",
        "Warning",
        "GatewayPortNotDefinedOnService",
        "The gateway is listening on a target port (port {}) that is not defined in the Service associated with its "
        "workload instances (Pod selector {}). If you need to access the gateway port through the gateway Service, it "
        "will not be available.",
    ),
    (
        "IST0165",
        "Warning",
        "ReferencedInternalGateway",
        "Gateway reference in VirtualService {} is to an implementation-generated internal Gateway: {}.",
    ),
    (
        "IST0166",
        "Warning",
        "IneffectiveSelector",
        "Ineffective selector on Kubernetes Gateway {}. Use the TargetRef field instead.",
    ),
    ("IST0167", "Warning", "IneffectivePolicy", "The policy has no impact: {}."),
    (
        "IST0171",
        "Warning",
        "NegativeConditionStatus",
        "A condition with a negative status is present: type={}, reason={}, message={}.",
    ),
    (
        "IST0173",
        "Error",
        "DestinationRuleSubsetNotSelectPods",
        "The Subset {} defined in the DestinationRule does not select any pods. Which may lead to 503 UH "
        "(NoHealthyUpstream).",
    ),
    (
        "IST0174",
        "Warning",
        "UnknownDestinationRuleHost",
        "The host {} defined in the DestinationRule does not match any services in the mesh.",
    ),
    (
        "IST0175",
        "Warning",
        "JwksUriFetchUnrestricted",
        "BLOCKED_CIDRS_IN_JWKS_URIS is not configured but {} RequestAuthentication resource(s) exist ({}). Consider "
        "configuring it to restrict JWKS URI fetches to trusted networks.",
    ),
    (
        "IST0177",
        "Warning",
        "ConflictingServiceEntryProtocol",
        "Multiple ServiceEntries ({}) define the same host {} and port {} with conflicting protocols ({}).",
    ),
    (
        "IST0178",
        "Warning",
        "EnvoyFilterMayClearRouteCache",
        "Using an EnvoyFilter with route-dependent filters may cause the routing cache to be cleared after the "
        "route-dependent filter has run. This can cause a request to be routed differently than it was when the "
        "route-dependent filter was evaluated. See "
        "https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/http/http_filters.html#security-considerations.",
    ),
)


def quoted(text: str) -> str:
    """A string in Go's ``%q`` form."""
    return json.dumps(text, ensure_ascii=False)


def selector_text(labels: Mapping[str, str]) -> str:
    """Equality labels as Kubernetes writes a selector: ``a=b,c=d``, sorted."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def go_list(items: list[str]) -> str:
    """A list in Go's ``%v`` form: ``[a b]``."""
    return f"[{' '.join(items)}]"
