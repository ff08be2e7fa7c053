"""What a resource may do its own way, and what all of them do unless they say otherwise.

The registry works the same for every resource; where a kind is particular - its defaults, what may not change, how it
is deleted - its strategy says so. Objects handed to ``default`` and ``prepare_*`` are private copies and are changed in
place.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.apiserver import names
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.statuses import Problem
from meshlab.minicluster.apiserver.store import Change, Store
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.network.addresses import LabNetwork


def timestamp(moment: datetime.datetime | None = None) -> str:
    """A ``metav1.Time``: UTC, whole seconds."""
    moment = moment or datetime.datetime.now(datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def fill(obj: Obj, defaults: Mapping[str, Any]) -> None:
    """Set the keys that are missing or null."""
    for key, value in defaults.items():
        if obj.get(key) is None:
            obj[key] = value


@dataclass(frozen=True, slots=True)
class Environment:
    """What strategies may look at and allocate from."""

    store: Store
    catalog: Catalog
    network: LabNetwork


Undo = Callable[[], None]


class Strategy:
    """How one resource is defaulted, validated, changed and deleted."""

    counts_generations = True
    """Whether ``metadata.generation`` counts changes of the spec."""
    unconditional_update = True
    """Whether an update may leave out the resourceVersion."""
    returns_deleted_object = False
    """Whether DELETE answers with the object rather than with a Status."""
    keeps_status_on_create = False
    check_name: names.NameCheck = staticmethod(names.dns_subdomain)

    def __init__(self, environment: Environment, resource: Resource) -> None:
        self.environment = environment
        self.resource = resource

    @property
    def has_status(self) -> bool:
        """Whether the status can be written only through its subresource."""
        return "status" in self.resource.subresources

    def default(self, obj: Obj) -> None:
        """Fill in what the author left out; idempotent."""

    def prepare_create(self, obj: Obj) -> None:
        """Clear what a client may not set at creation, after admission."""
        if self.has_status and not self.keeps_status_on_create:
            self.reset_status(obj)

    def reset_status(self, obj: Obj) -> None:
        """The status of a new object."""
        obj["status"] = {}

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """Put back what an update of the main resource cannot change."""
        if self.has_status:
            copy_field(old, new, "status")

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        """Put back what an update of the status cannot change: everything else."""
        for key in [key for key in {**new, **old} if key not in ("metadata", "status", "kind", "apiVersion")]:
            copy_field(old, new, key)
        copy_field(old["metadata"], new["metadata"], "labels")
        copy_field(old["metadata"], new["metadata"], "ownerReferences")

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        """Put back everything that an update of this subresource does not govern."""
        if subresource != "status":
            raise ValueError(f"{self.resource.plural} has no {subresource} to update")
        self.prepare_status_update(new, old)

    def validate(self, obj: Obj) -> Iterable[Problem]:
        """What is wrong with the object beyond its schema."""
        return ()

    def validate_update(self, new: Obj, old: Obj) -> Iterable[Problem]:
        """What the change from old to new may not do."""
        return ()

    def allocate(self, new: Obj, old: Obj | None, *, dry_run: bool) -> Undo | None:
        """Take what the object needs of the lab (addresses), just before the commit; returns how to give it back."""
        return None

    def committed(self, change: Change) -> None:
        """React to a commit, for instance by giving back what a deleted object held."""

    def warnings(self, obj: Obj) -> Iterable[str]:
        """What a client should be warned of."""
        return ()

    def grace_period_s(self, obj: Obj, requested: int | None) -> int:
        """Seconds a deletion is announced before the object goes; 0 lets it go at once."""
        return 0

    def announce_deletion(self, obj: Obj) -> Obj:
        """The object once its deletion is announced; given and returned as an unstored copy of the top level."""
        return obj

    def is_held(self, obj: Obj) -> bool:
        """Whether an object whose deletion was announced still has to stay."""
        metadata = obj["metadata"]
        return bool(metadata.get("finalizers")) or bool(metadata.get("deletionGracePeriodSeconds"))

    def generation_changed(self, new: Obj, old: Obj) -> bool:
        """Whether an update is a new generation."""
        return without(new, "metadata", "status") != without(old, "metadata", "status")


def copy_field(source: Obj, target: Obj, key: str) -> None:
    """Make the target's field what the source's is, also when it is absent there."""
    if key in source:
        target[key] = source[key]
    else:
        target.pop(key, None)


def without(obj: Obj, *keys: str) -> Obj:
    """The object without some of its top-level fields."""
    return {key: value for key, value in obj.items() if key not in keys}
