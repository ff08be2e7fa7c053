"""What istiod writes for Kubernetes' Ingresses: at which address they are reached."""

from __future__ import annotations

from meshlab.minicluster.kubeapi import KubeApi, Obj
from meshlab.minicluster.mesh.istio.ingress import CLASSES, INGRESSES, ingress_service, is_mine
from meshlab.minicluster.mesh.istio.pilot.caretaking import Reconciler, unless_gone
from meshlab.minicluster.mesh.istio.pilot.leadership import Leadership
from meshlab.minicluster.mesh.istio.pilot.watching import ClusterWatch

LEASE = "istio-leader"


class IngressStatuses:
    """Keeps ``status.loadBalancer`` of Istio's Ingresses, as long as it leads.

    Args:
        api: the cluster.
        watch: the cluster as istiod sees it.
        identity: istiod's pod.
    """

    def __init__(self, api: KubeApi, watch: ClusterWatch, identity: str) -> None:
        self._api = api
        self._watch = watch
        self._writer = Reconciler("ingress statuses", self._write)
        self._leadership = Leadership(api, watch.namespace, LEASE, identity)

    async def run(self) -> None:
        """Lead, and write while leading, until cancelled."""
        for resource in (INGRESSES, CLASSES, "services"):
            informer = self._watch.informer(resource)
            if informer is not None:
                informer.subscribe(self._writer.poke)
        await self._leadership.run(self._writer.run)

    async def _write(self) -> None:
        config, classes = self._watch.mesh_config, self._watch.listed(CLASSES)
        wanted = {"ingress": self._addresses()}
        for ingress in self._watch.listed(INGRESSES):
            current = (ingress.get("status") or {}).get("loadBalancer") or {}
            if not is_mine(ingress, classes, config) or current.get("ingress", []) == wanted["ingress"]:
                continue
            metadata = ingress["metadata"]
            patch = {"status": {"loadBalancer": wanted}}
            await unless_gone(
                self._api.patch(INGRESSES, metadata["name"], patch, metadata["namespace"], subresource="status")
            )

    def _addresses(self) -> list[Obj]:
        """Where the mesh's ingress Service is published."""
        name = ingress_service(self._watch.mesh_config)
        for service in self._watch.listed("services"):
            if (service["metadata"]["namespace"], service["metadata"]["name"]) == (self._watch.namespace, name):
                published = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
                external = (service.get("spec") or {}).get("externalIPs") or []
                entries = [{k: entry[k] for k in ("ip", "hostname") if entry.get(k)} for entry in published]
                return [*entries, *({"ip": address} for address in external)]
        return []
