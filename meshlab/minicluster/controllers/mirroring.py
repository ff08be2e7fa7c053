"""EndpointSlices for Endpoints that somebody wrote: what stands behind a Service without a selector.

After upstream's endpointslicemirroring controller: one slice for each subset. Endpoints of Services with a selector
have a controller of their own, and some ask not to be mirrored.
"""

from __future__ import annotations

from meshlab.minicluster.controllers.backends import HEADLESS_LABEL, has_backends, is_headless
from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.controllers.endpoints import MANAGED_BY as MANAGED_ENDPOINTS
from meshlab.minicluster.controllers.endpoints import RESOURCE as ENDPOINTS
from meshlab.minicluster.controllers.endpointslice import MANAGED_BY, RESOURCE, SERVICE_NAME, service_of
from meshlab.minicluster.controllers.ownership import controller_reference, is_being_deleted
from meshlab.minicluster.controllers.podcontrol import namespace_is_terminating
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError

CONTROLLER = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"


def mirrored(endpoints: Obj, service: Obj) -> list[Obj]:
    """The slices that say what an Endpoints object says, without their names."""
    metadata = endpoints["metadata"]
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k not in (MANAGED_BY, MANAGED_ENDPOINTS)}
    labels |= {SERVICE_NAME: metadata["name"], MANAGED_BY: CONTROLLER}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": f"{metadata['name']}-",
                "namespace": metadata["namespace"],
                "labels": labels,
                "ownerReferences": [controller_reference(endpoints, "v1", "Endpoints")],
            },
            "addressType": "IPv4",
            "endpoints": [
                *(_endpoint(address, ready=True) for address in subset.get("addresses") or ()),
                *(_endpoint(address, ready=False) for address in subset.get("notReadyAddresses") or ()),
            ],
            "ports": [
                {"name": port.get("name") or "", "port": port["port"], "protocol": port.get("protocol") or "TCP"}
                for port in subset.get("ports") or ()
            ],
        }
        for subset in endpoints.get("subsets") or ()
    ]


def _endpoint(address: Obj, *, ready: bool) -> Obj:
    kept = {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}
    return {"addresses": [address["ip"]], "conditions": {"ready": ready}, **kept}


def _content(endpoint_slice: Obj) -> Obj:
    """What of a slice its subset decides."""
    labels = endpoint_slice["metadata"].get("labels") or {}
    return {"labels": labels, **{key: endpoint_slice.get(key) or [] for key in ("endpoints", "ports")}}


class EndpointsMirror(Controller):
    """Writes the EndpointSlices of Services without a selector."""

    component = "endpoint-slice-mirroring-controller"

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._services = api.cache("services")
        self._endpoints = api.cache(ENDPOINTS)
        self._by_service = api.cache(RESOURCE).index("mirrored", _mirrored_service)
        self.watch("services")
        self.watch(ENDPOINTS)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        service, endpoints = self._services.get(name, namespace), self._endpoints.get(name, namespace)
        wanted: list[Obj] = []
        if service is not None and endpoints is not None and not has_backends(service):
            labels = endpoints["metadata"].get("labels") or {}
            gone = is_being_deleted(service) or is_being_deleted(endpoints)
            if not gone and labels.get(SKIP_LABEL) != "true" and MANAGED_ENDPOINTS not in labels:
                wanted = mirrored(endpoints, service)
        for each in self._by_service.get(f"{namespace}/{name}"):
            same = next((new for new in wanted if _content(new) == _content(each)), None)
            if same is not None:
                wanted.remove(same)
            elif not is_being_deleted(each):
                await self.api.delete(RESOURCE, each)
        try:
            for new in wanted:
                await self.api.create(RESOURCE, new, namespace)
        except StatusError as error:
            if not namespace_is_terminating(error):
                raise


def _mirrored_service(endpoint_slice: Obj) -> tuple[str, ...]:
    return service_of(endpoint_slice, CONTROLLER)
