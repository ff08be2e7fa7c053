"""Names that only a mesh knows: the hosts of ServiceEntries, with the addresses that they have or were given.

On a real cluster istiod sends them to each sidecar's DNS proxy. They are watched as soon as their definition is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from meshlab.minicluster.informer import Informer
from meshlab.minicluster.kubeapi import KubeApi, Obj

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
SERVICE_ENTRIES = "serviceentries.networking.istio.io"


def host_records(entry: Obj) -> dict[str, Obj]:
    """What the table says of the hosts of a ServiceEntry, by host; those without addresses are left out."""
    spec, status, metadata = entry.get("spec") or {}, entry.get("status") or {}, entry["metadata"]
    own = [address for address in spec.get("addresses") or () if "/" not in address]
    allocated = status.get("addresses") or () if not spec.get("addresses") else ()
    namespace = metadata["namespace"]
    exported = [namespace if each == "." else each for each in spec.get("exportTo") or ()]
    found = {}
    for host in spec.get("hosts") or ():
        given = [each["value"] for each in allocated if each.get("host") in (None, "", host) and "*" not in host]
        if own or given:
            found[host.lower()] = {"addresses": own or given, "namespace": namespace, "exportTo": exported}
    return found


class MeshNames:
    """Follows ServiceEntries while their definition exists.

    Args:
        api: the cluster.
        changed: called after each change; it must only take note.
    """

    def __init__(self, api: KubeApi, changed: Callable[[], None]) -> None:
        self._api = api
        self._changed = changed
        self._definitions = Informer(api, DEFINITIONS)
        self._entries: Informer | None = None
        self._stopping: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to watch."""
        self._definitions.subscribe(self._definition_changed)
        self._definitions.start()

    async def stop(self) -> None:
        """Stop watching."""
        await self._definitions.stop()
        self._forget()
        await asyncio.gather(*self._stopping)

    def hosts(self) -> dict[str, list[Obj]]:
        """The records of every host, the oldest entry first."""
        entries = list(self._entries.objects.values()) if self._entries is not None else []
        found: dict[str, list[Obj]] = {}
        for entry in sorted(entries, key=lambda each: each["metadata"].get("creationTimestamp") or ""):
            for host, record in host_records(entry).items():
                found.setdefault(host, []).append(record)
        return found

    def _definition_changed(self, old: Obj | None, new: Obj | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        if name != SERVICE_ENTRIES:
            return
        if new is None:
            self._forget()
            self._changed()
        elif self._entries is None:
            # While the definition is not established yet, the informer asks again.
            self._entries = Informer(self._api, SERVICE_ENTRIES)
            self._entries.subscribe(lambda old, new: self._changed())
            self._entries.start()

    def _forget(self) -> None:
        if self._entries is not None:
            task = asyncio.get_running_loop().create_task(self._entries.stop())
            self._entries = None
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)
