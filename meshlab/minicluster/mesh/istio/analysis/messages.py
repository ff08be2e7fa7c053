"""The messages of ``istioctl analyze`` that this analyzer can give: code, level, name and words, as upstream's."""

from __future__ import annotations

import json
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
        "IST0112",
        "Error",
        "VirtualServiceDestinationPortSelectorRequired",
        "This VirtualService routes to a service {} that exposes multiple ports {}. Specifying a port in the "
        "destination is required to disambiguate.",
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
    (
        "IST0127",
        "Warning",
        "NoMatchingWorkloadsFound",
        "No matching workloads for this resource with the following labels: {}",
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
        "IST0148",
        "Info",
        "NamespaceInjectionEnabledByDefault",
        "is enabled for Istio injection, as Istio is installed with enableNamespacesByDefault as true.",
    ),
    (
        "IST0150",
        "Warning",
        "ExternalNameServiceTypeInvalidPortName",
        "Port name for ExternalName service is invalid. Proxy may prevent tcp named ports and unmatched traffic for "
        "ports serving TCP protocol from being forwarded correctly",
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
        "IST0173",
        "Error",
        "DestinationRuleSubsetNotSelectPods",
        "The Subset {} defined in the DestinationRule does not select any pods.",
    ),
    (
        "IST0174",
        "Warning",
        "UnknownDestinationRuleHost",
        "The host {} defined in the DestinationRule does not match any services in the mesh.",
    ),
)


def quoted(text: str) -> str:
    """A string in Go's ``%q`` form."""
    return json.dumps(text, ensure_ascii=False)


def go_list(items: list[str]) -> str:
    """A list in Go's ``%v`` form: ``[a b]``."""
    return f"[{' '.join(items)}]"
