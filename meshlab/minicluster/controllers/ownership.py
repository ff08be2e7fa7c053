"""Who owns whom: owner references, and the adoption and release of objects by a controller's selector.

The rules are those of upstream's ``ControllerRefManager``: an object with a controlling owner belongs to it as long as
the owner's selector matches; an object without one is adopted by the selector that matches it.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshlab.minicluster.controllers.cache import Cache, CachedApi
from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.labels import selects


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference of the controlling owner, if there is one."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            result: Obj = reference
            return result
    return None


def is_controlled_by(obj: Obj, owner: Obj) -> bool:
    """Whether exactly this owner controls the object."""
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def controller_reference(owner: Obj, api_version: str, kind: str) -> Obj:
    """The owner reference that a controller writes into what it creates."""
    metadata = owner["metadata"]
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_being_deleted(obj: Obj) -> bool:
    """Whether the object has a deletionTimestamp."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def owner_in_cache(owners: Cache, kind: str, obj: Obj) -> Obj | None:
    """The controlling owner of that kind as the cache has it; None if another object took its name."""
    reference = controller_of(obj)
    if reference is None or reference["kind"] != kind:
        return None
    owner = owners.get(reference["name"], obj["metadata"].get("namespace", ""))
    return owner if owner is not None and owner["metadata"]["uid"] == reference["uid"] else None


class Claims:
    """Finds the objects of one resource that belong to an owner, adopting and releasing on the way.

    Args:
        api: the caches and the API.
        owners: resource of the owners, such as ``replicasets.apps``.
        owned: resource of what they own, such as ``pods``.
        api_version: apiVersion of the owners.
        kind: kind of the owners.
    """

    def __init__(self, api: CachedApi, *, owners: str, owned: str, api_version: str, kind: str) -> None:
        self._api = api
        self._owners = owners
        self._owned = owned
        self._api_version = api_version
        self._kind = kind
        self._cache = api.cache(owned)
        # Asking once makes the indexes, before the cache fills.
        self._cache.controlled_by("")
        self._cache.uncontrolled_in("")

    async def of(self, owner: Obj, selector: Obj | None) -> list[Obj]:
        """Everything that belongs to the owner now."""
        metadata = owner["metadata"]
        deleting = is_being_deleted(owner)
        claimed: list[Obj] = []
        for obj in self._cache.controlled_by(metadata["uid"]):
            if obj["metadata"].get("namespace") != metadata.get("namespace"):
                continue
            if selects(selector, obj["metadata"].get("labels")):
                claimed.append(obj)
            elif not deleting:
                await self._release(owner, obj)
        if not deleting:
            adoptable = [
                obj
                for obj in self._cache.uncontrolled_in(metadata.get("namespace", ""))
                if not is_being_deleted(obj)
                and selects(selector, obj["metadata"].get("labels"))
                and (obj.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            ]
            claimed += await self._adopt(owner, adoptable)
        return claimed

    async def _adopt(self, owner: Obj, candidates: Iterable[Obj]) -> list[Obj]:
        adopted: list[Obj] = []
        confirmed = False
        for obj in candidates:
            if not confirmed:  # the owner itself must still be there, live, as upstream checks
                metadata = owner["metadata"]
                live = await self._api.live.get(self._owners, metadata["name"], metadata.get("namespace"))
                if live["metadata"]["uid"] != metadata["uid"] or is_being_deleted(live):
                    return adopted
                confirmed = True
            references = [
                *(obj["metadata"].get("ownerReferences") or ()),
                controller_reference(owner, self._api_version, self._kind),
            ]
            patched = await self._patch(obj, references)
            if patched is not None:
                adopted.append(patched)
        return adopted

    async def _release(self, owner: Obj, obj: Obj) -> None:
        references = [
            reference
            for reference in obj["metadata"].get("ownerReferences") or ()
            if reference["uid"] != owner["metadata"]["uid"]
        ]
        await self._patch(obj, references)

    async def _patch(self, obj: Obj, references: list[Obj]) -> Obj | None:
        metadata = obj["metadata"]
        patch = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "ownerReferences": references or None,
            }
        }
        try:
            return await self._api.patch(self._owned, obj, patch)
        except StatusError as error:
            if error.code in (404, 422):  # it is gone, or its name belongs to another object now
                return None
            raise
