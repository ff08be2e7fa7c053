"""Whether Istio would take a resource: the validation webhook's judgement, also offline for ``analyze``.

The words are upstream's, so that what a learner reads here is what a search engine knows. Only errors are told; what
upstream gives as warnings is the business of ``analyze``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.validation_common import Messages
from meshlab.minicluster.mesh.istio.validation_destinationrule import validate_destination_rule
from meshlab.minicluster.mesh.istio.validation_edge import validate_gateway, validate_service_entry, validate_sidecar
from meshlab.minicluster.mesh.istio.validation_security import (
    validate_authorization_policy,
    validate_peer_authentication,
    validate_request_authentication,
    validate_telemetry,
)
from meshlab.minicluster.mesh.istio.validation_virtualservice import validate_virtual_service

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"

VALIDATORS: Mapping[tuple[str, str], Callable[[Obj], Messages]] = {
    (NETWORKING, "VirtualService"): validate_virtual_service,
    (NETWORKING, "DestinationRule"): validate_destination_rule,
    (NETWORKING, "Gateway"): validate_gateway,
    (NETWORKING, "ServiceEntry"): validate_service_entry,
    (NETWORKING, "Sidecar"): validate_sidecar,
    (SECURITY, "AuthorizationPolicy"): validate_authorization_policy,
    (SECURITY, "PeerAuthentication"): validate_peer_authentication,
    (SECURITY, "RequestAuthentication"): validate_request_authentication,
    ("telemetry.istio.io", "Telemetry"): validate_telemetry,
}
"""(group, kind) -> its checks; a kind that is not here is always valid."""


def validate(obj: Obj) -> list[str]:
    """What is wrong with one of Istio's resources; empty if it is valid or of another kind."""
    group = str(obj.get("apiVersion") or "").rpartition("/")[0]
    validator = VALIDATORS.get((group, str(obj.get("kind") or "")))
    if validator is None:
        return []
    try:
        return list(validator(obj))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # A field has a type that its schema does not allow; the API server says so in its own words first.
        return [f"cannot parse the specification: {error}"]


def format_errors(messages: Sequence[str]) -> str:
    """Several messages as one text, in the form of Go's multierror; a single one is left as it is."""
    if len(messages) == 1:
        return messages[0]
    return f"{len(messages)} errors occurred:\n" + "".join(f"\t* {message}\n" for message in messages) + "\n"
