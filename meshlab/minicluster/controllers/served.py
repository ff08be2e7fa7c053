"""Which resources the API serves, as the namespace controller and the garbage collector must know it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol


class ServedResource(Protocol):
    """One served version of a resource; ``apiserver.resources.Resource`` is one."""

    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def plural(self) -> str: ...
    @property
    def namespaced(self) -> bool: ...
    @property
    def verbs(self) -> Sequence[str]: ...


Discovery = Callable[[], Iterable[ServedResource]]
"""Everything that is served now, built-in resources and those of CRDs; several versions of one may be named."""

EVENTS = frozenset({"events", "events.events.k8s.io"})
"""Left alone: they go by themselves. One storage stands behind both."""

WATCHED_VERBS = frozenset({"list", "watch", "delete"})


def resource_name(resource: ServedResource) -> str:
    """The name by which `KubeApi` knows the resource: ``pods``, ``deployments.apps``."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def deletable_resources(served: Iterable[ServedResource]) -> dict[str, ServedResource]:
    """One version of each resource that can be listed, watched and deleted, by `resource_name`."""
    result: dict[str, ServedResource] = {}
    for resource in served:
        if set(resource.verbs) >= WATCHED_VERBS:
            result.setdefault(resource_name(resource), resource)
    return result
