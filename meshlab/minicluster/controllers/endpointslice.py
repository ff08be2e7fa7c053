"""EndpointSlices: the ready, serving and terminating pods behind each Service that has a selector.

After upstream's endpointslice controller: one group of slices per distinct set of ports, at most 100 endpoints each;
endpoints stay in the slice they are in, so that a change of one pod changes one slice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshlab.minicluster.controllers.backends import (
    HEADLESS_LABEL,
    LAST_CHANGE,
    ZONE_LABEL,
    Ports,
    backend_facts,
    belongs,
    endpoint,
    endpoint_ports,
    has_backends,
    is_headless,
    is_selected,
)
from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.controllers.ownership import controller_reference, is_being_deleted
from meshlab.minicluster.controllers.podcontrol import namespace_is_terminating
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.controllers.timestamps import format_time
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError

RESOURCE = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100
OWN_LABELS = frozenset({SERVICE_NAME, MANAGED_BY, HEADLESS_LABEL})


@dataclass(slots=True)
class SlicePlan:
    """What has to be written so that a Service's slices say what its pods are."""

    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


def slice_labels(service: Obj) -> dict[str, str]:
    """The labels of a Service's slices: the Service's own, and what marks them."""
    metadata = service["metadata"]
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k not in OWN_LABELS}
    labels |= {SERVICE_NAME: metadata["name"], MANAGED_BY: CONTROLLER}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return labels


def plan(
    service: Obj, pods: Sequence[Obj], existing: Sequence[Obj], *, zone_of: Callable[[Obj], str], now: float
) -> SlicePlan:
    """The difference between the slices that exist and the pods that are selected."""
    wanted: dict[Ports, dict[str, Obj]] = {}
    for pod in pods:
        if belongs(pod, include_terminating=True):
            group = wanted.setdefault(endpoint_ports(service, pod), {})
            group[pod["metadata"]["uid"]] = endpoint(service, pod, zone_of(pod))
    if not wanted:
        wanted[()] = {}  # a placeholder, which says "no endpoints" rather than nothing
    result = SlicePlan()
    labels = slice_labels(service)
    by_ports: dict[Ports, list[Obj]] = {}
    for each in sorted(existing, key=lambda s: str(s["metadata"]["name"])):
        by_ports.setdefault(_ports_of(each), []).append(each)
    for ports, slices in by_ports.items():
        if ports not in wanted:
            result.delete += slices
    for ports, endpoints in wanted.items():
        _plan_group(service, labels, ports, endpoints, by_ports.get(ports, []), result, now)
    return result


def _plan_group(
    service: Obj,
    labels: dict[str, str],
    ports: Ports,
    endpoints: dict[str, Obj],
    slices: list[Obj],
    result: SlicePlan,
    now: float,
) -> None:
    left = dict(endpoints)
    contents: list[tuple[Obj | None, list[Obj]]] = []
    for each in slices:
        kept = []
        for old in each.get("endpoints") or ():
            fresh = left.pop((old.get("targetRef") or {}).get("uid", ""), None)
            if fresh is not None:
                kept.append(fresh)
        contents.append((each, kept))
    added = list(left.values())
    for _, content in contents:
        room = MAX_ENDPOINTS - len(content)
        content.extend(added[:room])
        added = added[room:]
    while added or not contents:
        contents.append((None, added[:MAX_ENDPOINTS]))
        added = added[MAX_ENDPOINTS:]
    some = any(content for _, content in contents)
    for position, (current, content) in enumerate(contents):
        if not content and (some or position > 0):  # one stays, empty, if there are no endpoints at all
            if current is not None:
                result.delete.append(current)
        elif current is None:
            result.create.append(_new_slice(service, labels, ports, content, now))
        elif (current.get("endpoints") or []) != content or (current["metadata"].get("labels") or {}) != labels:
            annotations = {**(current["metadata"].get("annotations") or {}), LAST_CHANGE: format_time(now)}
            metadata = {**current["metadata"], "labels": labels, "annotations": annotations}
            result.update.append({**current, "metadata": metadata, "endpoints": content})


def _new_slice(service: Obj, labels: dict[str, str], ports: Ports, endpoints: list[Obj], now: float) -> Obj:
    metadata = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {LAST_CHANGE: format_time(now)},
            "ownerReferences": [controller_reference(service, "v1", "Service")],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [dict(port) for port in ports],
    }


def _ports_of(endpoint_slice: Obj) -> Ports:
    ports = []
    for port in endpoint_slice.get("ports") or ():
        known: Obj = {
            "name": port.get("name") or "",
            "port": port.get("port") or 0,
            "protocol": port.get("protocol") or "TCP",
        }
        if port.get("appProtocol"):
            known["appProtocol"] = port["appProtocol"]
        ports.append(tuple(known.items()))
    return tuple(sorted(ports, key=str))


class BackendController(Controller):
    """Reconciles Services whose pods changed; base of the EndpointSlice and the Endpoints controller."""

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self.services = api.cache("services")
        self.services.in_namespace("")
        self.pods = api.cache("pods")
        self.pods.in_namespace("")
        self.watch("services")
        self.pods.subscribe(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and backend_facts(old) == backend_facts(new):
            return
        some = new if new is not None else old or {}
        for service in self.services.in_namespace(some["metadata"]["namespace"]):
            if any(pod is not None and is_selected(service, pod) for pod in (old, new)):
                self.enqueue(service)

    def pods_behind(self, service: Obj) -> list[Obj]:
        """The pods that the Service selects."""
        return [pod for pod in self.pods.in_namespace(service["metadata"]["namespace"]) if is_selected(service, pod)]


class EndpointSliceController(BackendController):
    """Writes the EndpointSlices of Services with a selector."""

    component = "endpoint-slice-controller"

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._nodes = api.cache("nodes")
        self._slices = api.cache(RESOURCE)
        self._by_service = self._slices.index("service", _managed_service)
        self._slices.subscribe(self._slice_changed)
        self._nodes.subscribe(self._node_changed)

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        for each in (old, new):
            for text in _managed_service(each) if each is not None else ():
                namespace, _, name = text.partition("/")
                self.queue.add((namespace, name))

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if _zone(old) != _zone(new):
            for service in self.services.all():
                self.enqueue(service)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        service = self.services.get(name, namespace)
        if service is None or is_being_deleted(service) or not has_backends(service):
            return
        zones = {node["metadata"]["name"]: _zone(node) for node in self._nodes.all()}
        existing = [each for each in self._by_service.get(f"{namespace}/{name}") if not is_being_deleted(each)]
        wanted = plan(
            service,
            self.pods_behind(service),
            existing,
            zone_of=lambda pod: zones.get(pod["spec"].get("nodeName", ""), ""),
            now=self.api.now(),
        )
        try:
            for each in wanted.create:
                await self.api.create(RESOURCE, each, namespace)
        except StatusError as error:
            if namespace_is_terminating(error):
                return
            raise
        for each in wanted.update:
            await self.api.update(RESOURCE, each)
        for each in wanted.delete:
            await self.api.delete(RESOURCE, each)


def service_of(endpoint_slice: Obj, controller: str) -> tuple[str, ...]:
    """``namespace/service`` of a slice that a controller owns."""
    labels = endpoint_slice["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != controller or not labels.get(SERVICE_NAME):
        return ()
    return (f"{endpoint_slice['metadata']['namespace']}/{labels[SERVICE_NAME]}",)


def _managed_service(endpoint_slice: Obj) -> tuple[str, ...]:
    return service_of(endpoint_slice, CONTROLLER)


def _zone(node: Obj | None) -> str:
    return str(((node or {}).get("metadata") or {}).get("labels", {}).get(ZONE_LABEL, ""))
