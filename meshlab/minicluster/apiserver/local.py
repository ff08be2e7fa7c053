"""The API for parts that live in the server's own process: the same registry and admission, no HTTP between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

from meshlab.minicluster.apiserver import statuses, subresources
from meshlab.minicluster.apiserver.patching import apply_patch
from meshlab.minicluster.apiserver.registry import Registry, thaw
from meshlab.minicluster.apiserver.requests import DeleteOptions, Request
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.selection import Selection
from meshlab.minicluster.apiserver.users import User
from meshlab.minicluster.kubeapi import Obj, ObjectList, PatchType, WatchEvent

WATCH_WAIT_S = 3600.0


class LocalApi:
    """A `KubeApi` of one identity; it is trusted, so nothing is authorized. Objects come from the store itself.

    Args:
        registry: the server's registry.
        user: who admission sees.
    """

    def __init__(self, registry: Registry, user: User) -> None:
        self._registry = registry
        self._user = user

    def _request(self, resource: Resource, namespace: str | None, name: str = "", subresource: str = "") -> Request:
        return Request(self._user, resource, namespace or "", name, subresource)

    async def get(self, resource: str, name: str, namespace: str | None = None) -> Obj:
        row = self._registry.catalog.resolve(resource)
        return self._registry.get(self._request(row, namespace, name)).at(row.api_version)

    async def list(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        row = self._registry.catalog.resolve(resource)
        selection = Selection.parse(row, namespace or "", label_selector=label_selector, field_selector=field_selector)
        page = self._registry.list(selection)
        items = [record.at(row.api_version) for record in page.records]
        return ObjectList(items, str(page.revision), {"resourceVersion": str(page.revision)})

    async def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        row = self._registry.catalog.resolve(resource)
        selection = Selection.parse(row, namespace or "", label_selector=label_selector, field_selector=field_selector)
        subscription = self._registry.store.subscribe(row.storage, int(resource_version))
        try:
            while not subscription.closed:
                await subscription.wait(WATCH_WAIT_S)
                for change in subscription.take():
                    seen = selection.seen(change)
                    if seen is not None:
                        yield WatchEvent(seen[0], seen[1].at(row.api_version))
        finally:
            subscription.close()

    async def create(
        self, resource: str, obj: Obj, namespace: str | None = None, *, subresource: str = "", dry_run: bool = False
    ) -> Obj:
        row = self._registry.catalog.resolve(resource)
        namespace = namespace or obj.get("metadata", {}).get("namespace")
        request = self._request(row, namespace)
        request.dry_run = dry_run
        if not subresource:
            return (await self._registry.create(request, obj)).at(row.api_version)
        request.name = obj["metadata"]["name"]
        if (row.storage, subresource) == ("pods", "binding"):
            await subresources.bind(self._registry, request, obj)
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        if (row.storage, subresource) == ("pods", "eviction"):
            await subresources.evict(self._registry, request, obj)
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        raise statuses.method_not_allowed()

    async def update(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        row = self._registry.catalog.resolve(resource)
        metadata = obj["metadata"]
        request = self._request(row, metadata.get("namespace"), metadata["name"], subresource)
        if subresource == "scale":
            return await self._scale(request, lambda _: obj)
        return (await self._registry.update(request, obj)).at(row.api_version)

    async def patch(
        self,
        resource: str,
        name: str,
        patch: Obj | Sequence[Obj],
        namespace: str | None = None,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Obj:
        row = self._registry.catalog.resolve(resource)
        request = self._request(row, namespace, name, subresource)
        schema = self._registry.decoder.schema(row)
        if subresource == "scale":
            return await self._scale(request, lambda scale: apply_patch(patch_type, scale, patch, None))
        record = await self._registry.modify(
            request, lambda current: thaw(apply_patch(patch_type, current, patch, schema))
        )
        return record.at(row.api_version)

    async def _scale(self, request: Request, change: Callable[[Obj], Obj]) -> Obj:
        request.subresource = ""
        paths = subresources.scale_paths(self._registry.catalog, request.resource)
        record = await self._registry.modify(
            request,
            lambda current: subresources.scaled(
                current, change(subresources.scale_of(current, paths)), paths, request.resource
            ),
        )
        return subresources.scale_of(record.obj, paths)

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
        grace_period_s: int | None = None,
        uid: str | None = None,
    ) -> Obj:
        row = self._registry.catalog.resolve(resource)
        options = DeleteOptions(grace_period_s, propagation, uid)
        deletion = await self._registry.delete(self._request(row, namespace, name), options)
        return deletion.record.at(row.api_version)
