"""The controller that gives addresses to ServiceEntries: what `ipallocate` decides is written into their statuses.

Only the leader writes. It starts from what all entries have, so that an address never means two hosts.
"""

from __future__ import annotations

from meshlab.minicluster.kubeapi import KubeApi, Obj
from meshlab.minicluster.mesh.istio.ipallocate import RESOURCE, Allocator
from meshlab.minicluster.mesh.istio.pilot.caretaking import Reconciler, unless_gone
from meshlab.minicluster.mesh.istio.pilot.leadership import Leadership
from meshlab.minicluster.mesh.istio.pilot.watching import ClusterWatch

LEASE = "istio-ip-autoallocate"


class IpAllocationController:
    """Writes the addresses.

    Args:
        api: the cluster.
        watch: the cluster as istiod sees it.
        identity: istiod's pod.
    """

    def __init__(self, api: KubeApi, watch: ClusterWatch, identity: str) -> None:
        self._api = api
        self._watch = watch
        self._allocator = Allocator()
        self._reconciler = Reconciler("ip allocation", self._write)
        self._leadership = Leadership(api, watch.namespace, LEASE, identity)

    def changed(self) -> None:
        """Take note that something changed."""
        self._reconciler.poke()

    async def run(self) -> None:
        """Lead, and write while leading, until cancelled."""
        await self._leadership.run(self._reconciler.run)

    async def _write(self) -> None:
        entries = list(self._watch.listed(RESOURCE))
        self._allocator.take_note(entries)
        for entry in sorted(entries, key=_age):
            addresses = self._allocator.status(entry)
            if addresses is None:
                continue
            metadata = entry["metadata"]
            body = {
                "metadata": {"resourceVersion": metadata["resourceVersion"]},
                "status": {"addresses": addresses},
            }
            await unless_gone(
                self._api.patch(RESOURCE, metadata["name"], body, metadata["namespace"], subresource="status")
            )


def _age(entry: Obj) -> tuple[str, str, str]:
    metadata = entry["metadata"]
    return metadata.get("creationTimestamp") or "", metadata["name"], metadata["namespace"]
