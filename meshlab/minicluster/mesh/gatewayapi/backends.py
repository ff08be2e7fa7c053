"""Where a rule's traffic goes: backendRefs as destinations, with what is wrong with each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.mesh.gatewayapi.classes import GROUP
from meshlab.minicluster.mesh.gatewayapi.cluster import Cluster
from meshlab.minicluster.mesh.gatewayapi.status import ConfigError
from meshlab.minicluster.mesh.istio.reading import integer, objects, text
from meshlab.minicluster.mesh.routing import Destination, Headers, Split

NOWHERE = Destination("")
"""A destination that may not be used; what is sent there fails."""


class InvalidRule(Exception):
    """A rule that makes the whole route unusable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.error = ConfigError(reason, message)


@dataclass(frozen=True, slots=True)
class RouteContext:
    """What the rules of one route need to know."""

    kind: str
    namespace: str
    cluster: Cluster
    mesh: bool
    """Whether they are for a service of the mesh: references to other namespaces need no grant then."""

    def destination(self, reference: Mapping[str, Any]) -> tuple[Destination, ConfigError | None]:
        """The destination of a backendRef, and why it gets nothing.

        Raises:
            InvalidRule: it is so wrong that the route is not used.
        """
        name, given = text(reference.get("name")), text(reference.get("namespace"))
        namespace = given or self.namespace
        if not self.mesh and not self.cluster.grants.allows(
            GROUP, self.kind, self.namespace, "Service", namespace, name
        ):
            return NOWHERE, ConfigError(
                "RefNotPermitted",
                f'backendRef {name}/{namespace} not accessible to a {self.kind} in namespace "{self.namespace}" '
                "(missing a ReferenceGrant?)",
            )
        group, kind = text(reference.get("group")), text(reference.get("kind")) or "Service"
        if (group, kind) == ("", "Service"):
            if "." in name:
                raise InvalidRule(
                    "InvalidDestination",
                    "service name invalid; the name of the Service must be used, not the hostname.",
                )
            host, exists = self.cluster.service_host(namespace, name), (namespace, name) in self.cluster.services
        elif (group, kind) == ("networking.istio.io", "Hostname"):
            if given:
                raise InvalidRule("InvalidDestination", "namespace may not be set with Hostname type")
            host, exists = name, name in self.cluster.hosts
        else:
            return NOWHERE, ConfigError(
                "InvalidKind", f'referencing unsupported backendRef: group "{group}" kind "{kind}"'
            )
        port = integer(reference.get("port"))
        if port is None:
            raise InvalidRule("InvalidDestination", "port is required in backendRef")
        missing = None if exists else ConfigError("BackendNotFound", f"backend({host}) not found")
        return Destination(host, "", port), missing

    def splits(
        self, references: Any, headers: Callable[[Mapping[str, Any]], Headers]
    ) -> tuple[tuple[Split, ...], ConfigError | None]:
        """Weighted destinations of a rule; none if there is no weight at all.

        Args:
            references: the backendRefs.
            headers: reads the filters of one of them.

        Raises:
            InvalidRule: the route cannot be used.
        """
        found: list[Split] = []
        error: ConfigError | None = None
        for reference in weighted(references):
            destination, problem = self.destination(reference)
            error = problem or error
            found.append(Split(destination, weight_of(reference), headers(reference)))
        return tuple(found), error


def weighted(references: Any) -> Iterable[Mapping[str, Any]]:
    """The backendRefs that get a share."""
    return (reference for reference in objects(references) if weight_of(reference) > 0)


def weight_of(reference: Mapping[str, Any]) -> int:
    """A backendRef's weight; 1 if none is given."""
    weight = integer(reference.get("weight"))
    return 1 if weight is None else weight
