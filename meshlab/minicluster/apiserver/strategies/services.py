"""Services: the defaults of their ports, and the addresses and node ports they hold.

Addresses are taken from the lab's network at the moment of the commit and given back when the Service goes, as upstream
does. LoadBalancer addresses are not: a controller gives those, as a cloud would.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.apiserver import names, statuses
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.statuses import (
    Problem,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from meshlab.minicluster.apiserver.store import Change, Record
from meshlab.minicluster.apiserver.strategies.base import Environment, Strategy, Undo, copy_field, fill
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.network.addresses import Exhausted

NODE_PORTS = range(30000, 32768)
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_HEADLESS = "None"
_CLIENT_IP_TIMEOUT_S = 10800


class ServiceStrategy(Strategy):
    """Services."""

    returns_deleted_object = True
    counts_generations = False
    check_name = staticmethod(names.dns_1035_label)

    def __init__(self, environment: Environment, resource: Resource) -> None:
        super().__init__(environment, resource)
        self._node_ports: set[int] = set()
        for record in environment.store.collection(resource.storage).records.values():
            self._reclaim(record)

    def _reclaim(self, record: Record) -> None:
        """Take again what a Service held before the server was restarted."""
        spec = record.obj["spec"]
        try:
            for address in _addresses(spec):
                self.environment.network.cluster_ips.allocate(address)
        except Exhausted:
            # The lab got another prefix; the Service keeps an address nobody serves until it is made again.
            pass
        self._node_ports.update(_node_ports(spec))

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        spec = obj["spec"]
        fill(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
        if spec["sessionAffinity"] == "ClientIP":
            fill(spec, {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": _CLIENT_IP_TIMEOUT_S}}})
        else:
            spec.pop("sessionAffinityConfig", None)
        for port in spec.get("ports") or ():
            fill(port, {"protocol": "TCP"})
            if spec.get("clusterIP") != _HEADLESS or spec.get("selector") or port.get("targetPort") is None:
                fill(port, {"targetPort": port.get("port")})
        if spec["type"] == "ExternalName":
            return
        fill(spec, {"internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"})
        if spec["type"] in ("NodePort", "LoadBalancer"):
            fill(spec, {"externalTrafficPolicy": "Cluster"})
        if spec["type"] == "LoadBalancer":
            fill(spec, {"allocateLoadBalancerNodePorts": True})

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = {"loadBalancer": {}}

    def prepare_update(self, new: Obj, old: Obj) -> None:
        super().prepare_update(new, old)
        spec, before = new["spec"], old["spec"]
        if before["type"] != "ExternalName" and spec["type"] != "ExternalName":
            # A PUT of the original manifest keeps the addresses it does not name.
            for field in ("clusterIP", "clusterIPs"):
                if not spec.get(field):
                    copy_field(before, spec, field)
        if spec["type"] in ("NodePort", "LoadBalancer"):
            known = {(port.get("protocol"), port["port"]): port.get("nodePort") for port in before.get("ports") or ()}
            for port in spec.get("ports") or ():
                number = known.get((port.get("protocol"), port["port"]))
                if not port.get("nodePort") and number:
                    port["nodePort"] = number
        elif before["type"] in ("NodePort", "LoadBalancer"):
            given = {port.get("nodePort") for port in before.get("ports") or ()}
            for port in spec.get("ports") or ():
                if port.get("nodePort") in given:
                    port.pop("nodePort", None)
            for field in ("externalTrafficPolicy", "allocateLoadBalancerNodePorts", "healthCheckNodePort"):
                spec.pop(field, None)
        if spec["type"] == "ExternalName" and before["type"] != "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
                spec.pop(field, None)

    def validate(self, obj: Obj) -> Iterator[Problem]:
        spec = obj["spec"]
        if spec["type"] not in _TYPES:
            yield not_supported("spec.type", spec["type"], _TYPES)
        if spec["type"] == "ExternalName":
            if not spec.get("externalName"):
                yield required("spec.externalName")
            return
        ports = spec.get("ports") or []
        if not ports and spec.get("clusterIP") != _HEADLESS:
            yield required("spec.ports")
        seen_names: set[str] = set()
        seen: set[tuple[str, int]] = set()
        for index, port in enumerate(ports):
            path = f"spec.ports[{index}]"
            name = port.get("name") or ""
            if not name and len(ports) > 1:
                yield required(f"{path}.name")
            elif name and (wrong := names.dns_label(name)):
                yield invalid_value(f"{path}.name", name, wrong)
            elif name and name in seen_names:
                yield duplicate(f"{path}.name", name)
            seen_names.add(name)
            number = port.get("port") or 0
            if not 0 < number < 65536:
                yield invalid_value(f"{path}.port", number, "must be between 1 and 65535, inclusive")
            if port.get("protocol") not in _PROTOCOLS:
                yield not_supported(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
            key = (port.get("protocol") or "", number)
            if key in seen:
                yield duplicate(path, {"port": number, "protocol": key[0]})
            seen.add(key)
            node_port = port.get("nodePort")
            if node_port and spec["type"] == "ClusterIP":
                yield forbidden_field(f"{path}.nodePort", "may not be used when `type` is 'ClusterIP'")

    def validate_update(self, new: Obj, old: Obj) -> Iterator[Problem]:
        after, before = new["spec"].get("clusterIP"), old["spec"].get("clusterIP")
        if before and after != before and "ExternalName" not in (new["spec"]["type"], old["spec"]["type"]):
            yield invalid_value("spec.clusterIPs[0]", [after] if after else None, "may not change once set")

    def allocate(self, new: Obj, old: Obj | None, *, dry_run: bool) -> Undo | None:
        taken: list[Undo] = []

        def undo() -> None:
            for give_back in reversed(taken):
                give_back()

        try:
            self._allocate_address(new, old, taken)
            self._allocate_node_ports(new, old, taken)
        except Exception:
            undo()
            raise
        return undo

    def _allocate_address(self, new: Obj, old: Obj | None, taken: list[Undo]) -> None:
        spec = new["spec"]
        if spec["type"] == "ExternalName":
            return
        held = set(_addresses(old["spec"])) if old is not None else set()
        wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), None)
        if wanted != _HEADLESS and wanted not in held:
            pool = self.environment.network.cluster_ips
            try:
                address = pool.allocate(wanted)
            except Exhausted as error:
                taken_already = "provided IP is already allocated" if wanted in pool.taken else str(error)
                why = f"failed to allocate IP {wanted}: {taken_already}"
                problem = invalid_value("spec.clusterIPs", [wanted] if wanted else None, why)
                raise statuses.invalid(self.resource, new["metadata"]["name"], [problem]) from None
            taken.append(lambda: pool.release(address))
            wanted = address
        spec["clusterIP"] = wanted
        spec["clusterIPs"] = [wanted]

    def _allocate_node_ports(self, new: Obj, old: Obj | None, taken: list[Undo]) -> None:
        spec = new["spec"]
        wants = spec["type"] == "NodePort" or (
            spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
        )
        held = set(_node_ports(old["spec"])) if old is not None else set()
        used: set[int] = set()
        for index, port in enumerate(spec.get("ports") or ()):
            wanted = port.get("nodePort") or 0
            if not wanted and not wants:
                continue
            if wanted:
                path = f"spec.ports[{index}].nodePort"
                if wanted not in NODE_PORTS:
                    problem = invalid_value(
                        path, wanted, "provided port is not in the valid range. The range of valid ports is 30000-32767"
                    )
                    raise statuses.invalid(self.resource, new["metadata"]["name"], [problem])
                if wanted not in held and wanted in self._node_ports and wanted not in used:
                    problem = invalid_value(path, wanted, "provided port is already allocated")
                    raise statuses.invalid(self.resource, new["metadata"]["name"], [problem])
            else:
                wanted = next((number for number in NODE_PORTS if number not in self._node_ports), 0)
                if not wanted:
                    raise statuses.internal("failed to allocate a nodePort: range is full")
                port["nodePort"] = wanted
            used.add(wanted)
            if wanted not in self._node_ports:
                self._node_ports.add(wanted)
                taken.append(lambda number=wanted: self._node_ports.discard(number))  # type: ignore[misc]

    def committed(self, change: Change) -> None:
        if change.previous is None:
            return
        network = self.environment.network
        before = change.previous.obj
        after: Obj = change.record.obj if change.type != "DELETED" else {"spec": {}}
        for address in set(_addresses(before["spec"])) - set(_addresses(after["spec"])):
            network.cluster_ips.release(address)
        self._node_ports -= set(_node_ports(before["spec"])) - set(_node_ports(after["spec"]))


def _addresses(spec: Obj) -> Iterator[str]:
    address = spec.get("clusterIP")
    if address and address != _HEADLESS:
        yield address


def _node_ports(spec: Obj) -> Iterator[int]:
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield port["nodePort"]
