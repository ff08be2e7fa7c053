"""LoadBalancer Services: each gets an address of the lab, as a cloud would give it one.

The address is really bound by the forwarder, each port at its real one: where ports below 1024 may not be bound,
port 80 of the address answers at ``PortMap.real(80)``; the Service's NodePort always answers at its own number on the
node's address.
"""

from __future__ import annotations

from meshlab.minicluster.controllers.cache import CachedApi, get_path
from meshlab.minicluster.controllers.ownership import is_being_deleted
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.network.addresses import AddressPool, Exhausted


def ingress_addresses(service: Obj) -> list[str]:
    """The addresses in ``status.loadBalancer.ingress``."""
    ingress = get_path(service, "status", "loadBalancer", "ingress", default=[])
    return [entry["ip"] for entry in ingress if entry.get("ip")]


class LoadBalancerController(Controller):
    """Allocates and releases the addresses of LoadBalancer Services."""

    component = "service-controller"
    workers = 1

    def __init__(self, api: CachedApi, recorder: EventRecorder, addresses: AddressPool) -> None:
        super().__init__(api, recorder)
        self._addresses = addresses
        self._held: dict[Key, str] = {}
        self._services = api.cache("services")
        self.watch("services")

    def start(self) -> None:
        """Take the addresses that Services hold since before this start, then work."""
        for service in self._services.all():
            if _is_ours(service):
                self._take(service)
        super().start()

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        service = self._services.get(name, namespace)
        if service is None or is_being_deleted(service) or not _is_ours(service):
            self._release(key)
            if service is not None and ingress_addresses(service) and not is_being_deleted(service):
                self.recorder.event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")
                await self.api.update_status("services", service, {**service["status"], "loadBalancer": {}})
            return
        held = self._held.get(key) or self._take(service)
        if held is None:
            self.recorder.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
            try:
                held = self._addresses.allocate(service["spec"].get("loadBalancerIP") or None)
            except Exhausted as error:
                self.recorder.event(
                    service,
                    "Warning",
                    "SyncLoadBalancerFailed",
                    f"Error syncing load balancer: failed to ensure load balancer: {error}",
                )
                self.queue.add_rate_limited(key)
                return
            self._held[key] = held
        if ingress_addresses(service) != [held]:
            status = {**(service.get("status") or {}), "loadBalancer": {"ingress": [{"ip": held, "ipMode": "VIP"}]}}
            await self.api.update_status("services", service, status)
            self.recorder.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")

    def _take(self, service: Obj) -> str | None:
        """Hold the address that the Service's status names already; None if it names none that is free."""
        key = (service["metadata"]["namespace"], service["metadata"]["name"])
        for address in ingress_addresses(service):
            try:
                self._held[key] = self._addresses.allocate(address)
            except Exhausted:
                continue
            return address
        return None

    def _release(self, key: Key) -> None:
        address = self._held.pop(key, None)
        if address is not None:
            self._addresses.release(address)


def _is_ours(service: Obj) -> bool:
    return service["spec"].get("type") == "LoadBalancer" and not service["spec"].get("loadBalancerClass")
