"""The garbage collector: deletes what lost its owners, and carries out foreground and orphaning deletion.

It watches every resource that can be listed and deleted, those of CRDs as they come and go, keeps an `OwnerGraph`, and
works on single objects when one of three things happened: an object vanished (its dependents are looked at), an object
came with owners (they must exist), an object is being deleted with one of the collector's finalizers. The decisions are
those of ``pkg/controller/garbagecollector`` upstream.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from meshlab.minicluster.controllers.cache import CachedApi, Propagation
from meshlab.minicluster.controllers.ownergraph import FOREGROUND, ORPHAN, Node, OwnerGraph
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.controllers.served import EVENTS, Discovery, deletable_resources
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Handler
from meshlab.minicluster.kubeapi import Obj, StatusError

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
REFRESH_DELAY_S = 0.05
"""CRDs come in dozens; the watched resources are revised once per burst."""
ABSENT_REMEMBERED = 500


class UnknownOwner(Exception):
    """The kind of an owner is not served (yet), so nothing can be said about it."""


class GarbageCollector(Controller):
    """Cascades deletion along owner references. Keys are ``("", uid)``."""

    component = "garbage-collector-controller"
    workers = 8

    def __init__(self, api: CachedApi, recorder: EventRecorder, served: Discovery) -> None:
        super().__init__(api, recorder)
        self._served = served
        self._graph = OwnerGraph()
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._watched: set[str] = set()
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}
        self._refresh_timer: asyncio.TimerHandle | None = None
        self._refresh_task: asyncio.Task[None] | None = None
        self._revise()
        if CRDS in self._watched:
            api.cache(CRDS).subscribe(self._crd_changed)

    def start(self) -> None:
        super().start()
        if CRDS in self._watched:
            self._crd_changed(None, None)  # some may have come since the constructor looked

    async def stop(self) -> None:
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
        if self._refresh_task is not None:
            self._refresh_task.cancel()
            await asyncio.gather(self._refresh_task, return_exceptions=True)
        await super().stop()

    # --- what is watched ---

    def _crd_changed(self, old: Obj | None, new: Obj | None) -> None:
        if self._refresh_timer is None and self._tasks:
            self._refresh_timer = asyncio.get_running_loop().call_later(REFRESH_DELAY_S, self._refresh_soon)

    def _refresh_soon(self) -> None:
        self._refresh_timer = None
        if self._refresh_task is None or self._refresh_task.done():
            self._refresh_task = asyncio.create_task(self._refresh(), name="garbage collector discovery")
        else:
            self._crd_changed(None, None)

    async def _refresh(self) -> None:
        for resource in self._revise():
            await self.api.forget(resource)
            for node in self._graph.of_resource(resource):
                self._vanished(node.uid)

    def _revise(self) -> set[str]:
        """Watch what is new; returns the resources that are no longer served."""
        served = list(self._served())
        resources = deletable_resources(served)
        self._kinds = {}
        for each in served:
            name = f"{each.plural}.{each.group}" if each.group else each.plural
            api_version = f"{each.group}/{each.version}" if each.group else each.version
            if name in resources:
                self._kinds.setdefault((api_version, each.kind), (name, each.namespaced))
        wanted = resources.keys() - EVENTS
        for resource in wanted - self._watched:
            self.api.cache(resource).subscribe(self._handler(resource))
        gone = self._watched - wanted
        self._watched = set(wanted)
        return gone

    def _handler(self, resource: str) -> Handler:
        def changed(old: Obj | None, new: Obj | None) -> None:
            if old is not None and (new is None or new["metadata"]["uid"] != old["metadata"]["uid"]):
                self._vanished(old["metadata"]["uid"])
            if new is not None:
                self._seen(resource, new)

        return changed

    # --- the graph ---

    def _vanished(self, uid: str) -> None:
        node = self._graph.remove(uid)
        if node is None:
            return
        self._remember_absent(node.key[0], uid)
        for dependent in self._graph.dependents(uid):
            self._look_at(dependent.uid)
        for owner in node.owners:
            self._look_at_awaiting(owner)

    def _seen(self, resource: str, obj: Obj) -> None:
        node, old = self._graph.put(resource, obj)
        if node.owners and (old is None or old.owners != node.owners):
            self._look_at(node.uid)
        if old is not None:
            for owner, reference in old.owners.items():
                if node.owners.get(owner) != reference:
                    self._look_at_awaiting(owner)
        if node.orphans_dependents or node.awaits_dependents:
            if old is None or not old.deleting or old.finalizers != node.finalizers:
                self._look_at(node.uid)
            if node.awaits_dependents and (old is None or not old.awaits_dependents):
                for dependent in self._graph.dependents(node.uid):
                    self._look_at(dependent.uid)
        if node.awaits_dependents or not node.owners:
            return
        for owner in node.owners:  # a new dependent of something that is being deleted in the foreground
            self._look_at_awaiting(owner)

    def _look_at(self, uid: str) -> None:
        self.queue.add(("", uid))

    def _look_at_awaiting(self, owner: str) -> None:
        node = self._graph.get(owner)
        if node is not None and node.awaits_dependents:
            self._look_at(owner)

    def _remember_absent(self, namespace: str, uid: str) -> None:
        self._absent[(namespace, uid)] = None
        if len(self._absent) > ABSENT_REMEMBERED:
            self._absent.popitem(last=False)

    # --- the work ---

    async def reconcile(self, key: tuple[str, str]) -> None:
        node = self._graph.get(key[1])
        if node is None:
            return
        try:
            if node.orphans_dependents:
                await self._orphan(node)
            elif node.awaits_dependents:
                await self._finish_foreground(node)
            elif node.owners and not node.deleting:
                await self._judge(node)
        except UnknownOwner as error:
            # Tried again with back-off: its kind may be served later.
            raise StatusError(404, "NotFound", str(error)) from None

    async def _judge(self, node: Node) -> None:
        """Delete the object if no owner of it is left (upstream's ``attemptToDeleteItem``)."""
        solid, dangling, waiting = [], [], []
        for reference in node.owners.values():
            owner = await self._owner(node, reference)
            if owner is None:
                dangling.append(reference)
            elif owner.awaits_dependents and reference.get("blockOwnerDeletion"):
                waiting.append(reference)
            else:
                solid.append(reference)
        if solid:
            if dangling or waiting:
                await self._drop_owners(node, {reference["uid"] for reference in (*dangling, *waiting)})
            return
        dependents = self._graph.dependents(node.uid)
        if waiting and dependents:
            if any(dependent.awaits_dependents for dependent in dependents):
                # A cycle of foreground deletions would wait for itself.
                await self._unblock(node)
            await self._delete(node, "Foreground")
            return
        policy: Propagation = "Background"
        if ORPHAN in node.finalizers:
            policy = "Orphan"
        elif FOREGROUND in node.finalizers:
            policy = "Foreground"
        await self._delete(node, policy)

    async def _owner(self, node: Node, reference: Obj) -> Node | None:
        """The owner as a node; None if it surely does not exist."""
        uid, namespace = reference["uid"], node.key[0]
        owner = self._graph.get(uid)
        if owner is not None:
            # An owner in another namespace is no owner.
            return owner if owner.key[0] in ("", namespace) else None
        if (namespace, uid) in self._absent or ("", uid) in self._absent:
            return None
        found = self._kinds.get((reference["apiVersion"], reference["kind"]))
        if found is None:
            raise UnknownOwner(f"{reference['apiVersion']} {reference['kind']} is not served")
        resource, namespaced = found
        if namespaced and not namespace:
            raise UnknownOwner(
                f"{reference['kind']} {reference['name']} is namespaced but owns a cluster-scoped object"
            )
        try:
            live = await self.api.live.get(resource, reference["name"], namespace if namespaced else None)
        except StatusError as error:
            if error.code != 404:
                raise
            live = None
        if live is None or live["metadata"]["uid"] != uid:
            self._remember_absent(namespace, uid)
            return None
        return self._graph.put(resource, live)[0]

    async def _finish_foreground(self, node: Node) -> None:
        blocking = [
            dependent
            for dependent in self._graph.dependents(node.uid)
            if dependent.owners[node.uid].get("blockOwnerDeletion")
        ]
        if not blocking:
            await self._drop_finalizer(node, FOREGROUND)
            return
        for dependent in blocking:
            if not dependent.deleting:
                self._look_at(dependent.uid)

    async def _orphan(self, node: Node) -> None:
        dependents = self._graph.dependents(node.uid)
        await asyncio.gather(*(self._drop_owners(dependent, {node.uid}) for dependent in dependents))
        await self._drop_finalizer(node, ORPHAN)

    # --- the writes ---

    async def _live(self, node: Node) -> Obj | None:
        namespace, name = node.key
        try:
            obj = await self.api.live.get(node.resource, name, namespace or None)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        return obj if obj["metadata"]["uid"] == node.uid else None

    async def _patch_metadata(self, node: Node, metadata: Obj) -> None:
        namespace, name = node.key
        patch = {"metadata": {"uid": node.uid, **metadata}}
        try:
            await self.api.live.patch(node.resource, name, patch, namespace or None)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _drop_owners(self, node: Node, uids: set[str]) -> None:
        live = await self._live(node)
        if live is None:
            return
        metadata = live["metadata"]
        kept = [ref for ref in metadata.get("ownerReferences") or () if ref["uid"] not in uids]
        if len(kept) != len(metadata.get("ownerReferences") or ()):
            version = metadata["resourceVersion"]
            await self._patch_metadata(node, {"resourceVersion": version, "ownerReferences": kept or None})

    async def _unblock(self, node: Node) -> None:
        live = await self._live(node)
        if live is not None:
            references = [{**ref, "blockOwnerDeletion": False} for ref in live["metadata"].get("ownerReferences") or ()]
            version = live["metadata"]["resourceVersion"]
            await self._patch_metadata(node, {"resourceVersion": version, "ownerReferences": references})

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        live = await self._live(node)
        if live is None:
            return
        kept = [each for each in live["metadata"].get("finalizers") or () if each != finalizer]
        version = live["metadata"]["resourceVersion"]
        await self._patch_metadata(node, {"resourceVersion": version, "finalizers": kept or None})

    async def _delete(self, node: Node, propagation: Propagation) -> None:
        live = await self._live(node)
        if live is None:
            return
        owners = {reference["uid"] for reference in live["metadata"].get("ownerReferences") or ()}
        if owners != node.owners.keys():  # the graph is behind; its next change brings the object back here
            return
        namespace, name = node.key
        try:
            await self.api.live.delete(node.resource, name, namespace or None, propagation=propagation, uid=node.uid)
        except StatusError as error:
            if error.code not in (404, 409):
                raise
