"""Whether Istio would take a resource: the validation webhook's judgement, also offline for ``analyze``.

The words are upstream's, so that what a learner reads here is what a search engine knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, text
from meshlab.minicluster.mesh.istio.validation_authentication import (
    validate_peer_authentication,
    validate_request_authentication,
)
from meshlab.minicluster.mesh.istio.validation_authorizationpolicy import validate_authorization_policy
from meshlab.minicluster.mesh.istio.validation_common import Caution, Listed, Messages, quote
from meshlab.minicluster.mesh.istio.validation_destinationrule import validate_destination_rule
from meshlab.minicluster.mesh.istio.validation_envoyfilter import validate_envoy_filter
from meshlab.minicluster.mesh.istio.validation_extension import (
    validate_proxy_config,
    validate_telemetry,
    validate_traffic_extension,
    validate_wasm_plugin,
)
from meshlab.minicluster.mesh.istio.validation_gateway import validate_gateway
from meshlab.minicluster.mesh.istio.validation_serviceentry import (
    validate_service_entry,
    validate_workload_entry,
    validate_workload_group,
)
from meshlab.minicluster.mesh.istio.validation_sidecar import validate_sidecar
from meshlab.minicluster.mesh.istio.validation_virtualservice import validate_virtual_service

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
EXTENSIONS = "extensions.istio.io"

VALIDATORS: Mapping[tuple[str, str], Callable[[Obj], Messages]] = {
    (NETWORKING, "VirtualService"): validate_virtual_service,
    (NETWORKING, "DestinationRule"): validate_destination_rule,
    (NETWORKING, "Gateway"): validate_gateway,
    (NETWORKING, "ServiceEntry"): validate_service_entry,
    (NETWORKING, "WorkloadEntry"): validate_workload_entry,
    (NETWORKING, "WorkloadGroup"): validate_workload_group,
    (NETWORKING, "Sidecar"): validate_sidecar,
    (NETWORKING, "EnvoyFilter"): validate_envoy_filter,
    (NETWORKING, "ProxyConfig"): validate_proxy_config,
    (SECURITY, "AuthorizationPolicy"): validate_authorization_policy,
    (SECURITY, "PeerAuthentication"): validate_peer_authentication,
    (SECURITY, "RequestAuthentication"): validate_request_authentication,
    ("telemetry.istio.io", "Telemetry"): validate_telemetry,
    (EXTENSIONS, "WasmPlugin"): validate_wasm_plugin,
    (EXTENSIONS, "TrafficExtension"): validate_traffic_extension,
}
"""(group, kind) -> its checks; a kind that is not here is always valid."""

DRY_RUN = "istio.io/dry-run"
ALWAYS_REJECT = "internal.istio.io/webhook-always-reject"
INTERNAL_ANNOTATIONS = ("internal.istio.io/parent-namespace", "internal.istio.io/parents")
GO_BOOLEANS = frozenset(["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"])


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the webhook has to say about a resource."""

    errors: tuple[str, ...]
    """Why it is refused; empty if it is not."""
    warnings: tuple[str, ...]
    """What the one who applies it should know all the same."""


def judge(obj: Obj) -> Judgement:
    """The judgement on one of Istio's resources; other kinds are fine."""
    group = str(obj.get("apiVersion") or "").rpartition("/")[0]
    validator = VALIDATORS.get((group, str(obj.get("kind") or "")))
    if validator is None:
        return Judgement((), ())
    try:
        messages = _annotations(obj) or list(validator(obj))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # A field has a type that its schema does not allow; the API server says so in its own words first.
        messages = [f"cannot parse the specification: {error}"]
    return Judgement(
        errors=tuple(message for message in messages if not isinstance(message, Caution)),
        warnings=tuple(str(message) for message in messages if isinstance(message, Caution)),
    )


def validate(obj: Obj) -> list[str]:
    """What is wrong with one of Istio's resources; empty if it is valid or of another kind."""
    return list(judge(obj).errors)


def _annotations(obj: Obj) -> list[str]:
    """What is told before anything else: an annotation that the resource may not have."""
    metadata = mapping(obj.get("metadata"))
    annotations = mapping(metadata.get("annotations"))
    if DRY_RUN in annotations and (problem := _dry_run(obj, metadata, text(annotations[DRY_RUN]))):
        return [problem]
    if ALWAYS_REJECT in annotations:
        return [f"{quote(ALWAYS_REJECT)} annotation found, rejecting"]
    internal = [name for name in INTERNAL_ANNOTATIONS if name in annotations]
    return [f"{quote(name)} annotation found, this may not be set by users" for name in internal[:1]]


def _dry_run(obj: Obj, metadata: Mapping[str, Any], value: str) -> str:
    where = f"{text(metadata.get('namespace'))}/{text(metadata.get('name'))}"
    action = text(mapping(obj.get("spec")).get("action")) or "ALLOW"
    if obj.get("kind") != "AuthorizationPolicy":
        return f"{where} has unsupported annotation {DRY_RUN}, please remove the annotation"
    if action not in ("ALLOW", "DENY"):
        return f"the annotation {DRY_RUN} currently only supports action ALLOW/DENY, found action {action} in {where}"
    if value not in GO_BOOLEANS:
        reason = f"strconv.ParseBool: parsing {quote(value)}: invalid syntax"
        return f"{where} has annotation {DRY_RUN} with invalid value ({value}): {reason}"
    return ""


def format_errors(messages: Sequence[str]) -> str:
    """Messages as one text, in the form of Go's multierror; a single one is left as it is, unless it is `Listed`."""
    if len(messages) == 1 and not isinstance(messages[0], Listed):
        return messages[0]
    count = "1 error" if len(messages) == 1 else f"{len(messages)} errors"
    return f"{count} occurred:\n" + "".join(f"\t* {message}\n" for message in messages) + "\n"
