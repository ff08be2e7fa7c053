"""Endpoints: the older, single-object form of what EndpointSlices say; some tools still read it."""

from __future__ import annotations

from collections.abc import Sequence

from meshlab.minicluster.controllers.backends import (
    HEADLESS_LABEL,
    LAST_CHANGE,
    Ports,
    belongs,
    endpoint_ports,
    has_backends,
    is_headless,
    names_host,
    target_reference,
)
from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.controllers.endpointslice import BackendController
from meshlab.minicluster.controllers.ownership import is_being_deleted
from meshlab.minicluster.controllers.podcontrol import namespace_is_terminating
from meshlab.minicluster.controllers.pods import is_ready
from meshlab.minicluster.controllers.timestamps import format_time
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError

RESOURCE = "endpoints"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CONTROLLER = "endpoint-controller"


def subsets(service: Obj, pods: Sequence[Obj]) -> list[Obj]:
    """The ``subsets`` of an Endpoints object: addresses grouped by the ports they serve, in canonical order."""
    anyway = bool(service["spec"].get("publishNotReadyAddresses"))
    groups: dict[Ports, dict[str, list[Obj]]] = {}
    for pod in pods:
        if not belongs(pod, include_terminating=anyway):
            continue
        ports = endpoint_ports(service, pod)
        if not ports and service["spec"].get("ports"):
            continue
        address: Obj = {"ip": pod["status"]["podIP"], "targetRef": target_reference(pod)}
        if pod["spec"].get("nodeName"):
            address["nodeName"] = pod["spec"]["nodeName"]
        if names_host(service, pod):
            address["hostname"] = pod["spec"]["hostname"]
        key = "addresses" if anyway or is_ready(pod) else "notReadyAddresses"
        groups.setdefault(ports, {}).setdefault(key, []).append(address)
    result = []
    for ports in sorted(groups, key=str):
        subset: Obj = {}
        for key in ("addresses", "notReadyAddresses"):
            if key in groups[ports]:
                subset[key] = sorted(groups[ports][key], key=lambda a: tuple(map(int, a["ip"].split("."))))
        if ports:
            subset["ports"] = [_port(dict(port)) for port in ports]
        result.append(subset)
    return result


def _port(port: Obj) -> Obj:
    """An EndpointPort: the name of an unnamed port is left out."""
    return {key: value for key, value in port.items() if value != ""}


class EndpointsController(BackendController):
    """Writes the Endpoints of Services with a selector."""

    component = "endpoint-controller"

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._endpoints = api.cache(RESOURCE)
        self.watch(RESOURCE)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        service, current = self.services.get(name, namespace), self._endpoints.get(name, namespace)
        if service is None:
            managed = current is not None and MANAGED_BY in (current["metadata"].get("labels") or {})
            if current is not None and managed and not is_being_deleted(current):
                await self.api.delete(RESOURCE, current)
            return
        if not has_backends(service) or is_being_deleted(service):
            return
        labels = {**(service["metadata"].get("labels") or {}), MANAGED_BY: CONTROLLER}
        if is_headless(service):
            labels[HEADLESS_LABEL] = ""
        wanted = subsets(service, self.pods_behind(service))
        stamp = {LAST_CHANGE: format_time(self.api.now())}
        if current is None:
            fresh: Obj = {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": stamp},
            }
            if wanted:
                fresh["subsets"] = wanted
            try:
                await self.api.create(RESOURCE, fresh, namespace)
            except StatusError as error:
                if not namespace_is_terminating(error):
                    raise
        elif (current.get("subsets") or []) != wanted or (current["metadata"].get("labels") or {}) != labels:
            annotations = {**(current["metadata"].get("annotations") or {}), **stamp}
            metadata = {**current["metadata"], "labels": labels, "annotations": annotations}
            changed = {**current, "metadata": metadata, "subsets": wanted}
            if not wanted:
                del changed["subsets"]
            await self.api.update(RESOURCE, changed)
