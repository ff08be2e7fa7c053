"""Cluster DNS as a file: every Service and pod by name, for programs that would ask CoreDNS on a real cluster.

`NameTableWriter` (in the daemon) follows Services, EndpointSlices and pods and replaces the file whole; `NameTable` (in
any process of the lab) reads it again whenever it changed, and also tells curl what it needs (`connect_to_lines`). The
records are those of the Kubernetes DNS specification (kubernetes/dns, docs/specification.md).

The file::

    {"services": {"ns/name": {"ip": "127.77.64.9", "headless": false, "ports": [{"name": "http", "port": 80}],
                              "endpoints": ["127.77.1.4"], "hosts": {"web-0": ["127.77.1.4"]}, "externalName": ""}},
     "pods": {"ns/name": "127.77.1.4"},
     "hosts": {"db.example.com": [{"addresses": ["240.240.0.1"], "namespace": "ns", "exportTo": ["*"]}]}}

``hosts`` are names that only a mesh knows (`meshnames`), for programs whose sidecar answers their questions.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from meshlab.minicluster.informer import Informer, Key
from meshlab.minicluster.kubeapi import KubeApi, Obj, object_key
from meshlab.minicluster.network.addresses import PortMap
from meshlab.minicluster.network.meshnames import MeshNames

logger = logging.getLogger(__name__)

CLUSTER_DOMAIN = "cluster.local"
SERVICE_NAME = "kubernetes.io/service-name"
DEBOUNCE_S = 0.02
NDOTS = 5
MAX_ALIASES = 8


def service_record(service: Obj, slices: Iterable[Obj]) -> Obj:
    """What the table says of a Service."""
    spec = service["spec"]
    ip = spec.get("clusterIP") or ""
    headless = ip == "None"
    anyway = bool(spec.get("publishNotReadyAddresses"))
    endpoints: dict[str, None] = {}
    hosts: dict[str, list[str]] = {}
    for each in slices:
        for endpoint in each.get("endpoints") or ():
            ready = (endpoint.get("conditions") or {}).get("ready", True)
            if ready is False and not anyway:
                continue
            for address in endpoint.get("addresses") or ():
                endpoints[address] = None
                if endpoint.get("hostname"):
                    hosts.setdefault(endpoint["hostname"], []).append(address)
    external = spec.get("externalName") or "" if spec.get("type") == "ExternalName" else ""
    return {
        "ip": "" if headless or external else ip,
        "headless": headless,
        "ports": [{"name": port.get("name") or "", "port": port["port"]} for port in spec.get("ports") or ()],
        "endpoints": list(endpoints),
        "hosts": hosts,
        "externalName": external,
    }


class NameTableWriter:
    """Keeps the file true, a few hundredths of a second behind the API.

    Args:
        api: where Services, EndpointSlices and pods are watched.
        path: the file to write.
        debounce_s: how long changes are collected before the file is written.
    """

    def __init__(self, api: KubeApi, path: Path, *, debounce_s: float = DEBOUNCE_S) -> None:
        self.path = path
        self._debounce_s = debounce_s
        self._services = Informer(api, "services")
        self._slices = Informer(api, "endpointslices.discovery.k8s.io")
        self._pods = Informer(api, "pods")
        self._mesh = MeshNames(api, self._schedule)
        self._slices_of: dict[Key, dict[Key, Obj]] = {}
        self._records: dict[str, Obj] = {}
        self._addresses: dict[str, str] = {}
        self._stale: set[Key] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._written = b""
        self._ready = False

    async def start(self) -> None:
        """Write the file once, then follow changes."""
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._pods.subscribe(self._pod_changed)
        informers = (self._services, self._slices, self._pods)
        for informer in informers:
            informer.start()
        await self._mesh.start()
        await asyncio.gather(*(informer.synced.wait() for informer in informers))
        self._ready = True
        self._write()

    async def stop(self) -> None:
        """Stop following; the file stays."""
        self._ready = False
        if self._timer is not None:
            self._timer.cancel()
        await self._mesh.stop()
        for informer in (self._services, self._slices, self._pods):
            await informer.stop()

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._touch(object_key(new if new is not None else old or {}))

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        for each, present in ((old, False), (new, True)):
            name = (each["metadata"].get("labels") or {}).get(SERVICE_NAME) if each is not None else None
            if each is None or not name:
                continue
            key = object_key(each)
            group = self._slices_of.setdefault((key[0], name), {})
            if present:
                group[key] = each
            else:
                group.pop(key, None)
            self._touch((key[0], name))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new if new is not None else old or {}
        name = "/".join(object_key(pod))
        address = (pod.get("status") or {}).get("podIP") if new is not None else None
        if self._addresses.get(name) == address:
            return
        if address:
            self._addresses[name] = address
        else:
            self._addresses.pop(name, None)
        self._schedule()

    def _touch(self, service: Key) -> None:
        self._stale.add(service)
        self._schedule()

    def _schedule(self) -> None:
        if self._ready and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._debounce_s, self._write)

    def _write(self) -> None:
        self._timer = None
        for key in self._stale:
            service, name = self._services.objects.get(key), "/".join(key)
            if service is None:
                self._records.pop(name, None)
            else:
                self._records[name] = service_record(service, self._slices_of.get(key, {}).values())
        self._stale.clear()
        table = {"services": self._records, "pods": self._addresses, "hosts": self._mesh.hosts()}
        content = orjson.dumps(table)
        if content == self._written:
            return
        temporary = self.path.with_name(self.path.name + ".tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(self.path)
        except OSError as error:
            logger.warning("the name table cannot be written: %s", error)
            return
        self._written = content


class NameTable:
    """The names of the lab, as a program looks them up; the file is read again when it changed.

    Args:
        path: what a `NameTableWriter` writes; a missing file is an empty table.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._stamp: tuple[int, int, int] = (0, 0, 0)
        self._services: dict[str, Obj] = {}
        self._pods: dict[str, str] = {}
        self._hosts: dict[str, list[Obj]] = {}

    @property
    def services(self) -> dict[str, Obj]:
        """The record of every Service, by ``namespace/name``."""
        self._reload()
        return self._services

    @property
    def pods(self) -> dict[str, str]:
        """The address of every pod, by ``namespace/name``."""
        self._reload()
        return self._pods

    def resolve(self, name: str, namespace: str, *, mesh: bool = False) -> list[str]:
        """The addresses of a name as seen from a pod of a namespace; empty if the cluster has no such name.

        Names of the mesh count only where the pod's sidecar answers (``mesh``), and then before all others.

        An address stands for itself. The search list is upstream's (``ns.svc.cluster.local svc.cluster.local
        cluster.local``, ndots 5); the order of several addresses is random, as CoreDNS answers.
        """
        if name.rstrip(".").lower() == "localhost":
            return ["127.0.0.1"]
        if _is_address(name):
            return [name]
        self._reload()
        for _ in range(MAX_ALIASES):
            found = self._mesh_addresses(name, namespace) if mesh else []
            if found:
                return found
            addresses, alias = self._look_up(name, namespace)
            if not alias:
                random.shuffle(addresses)
                return addresses
            if _is_address(alias):
                return [alias]
            name = f"{alias.rstrip('.')}."
        return []

    def external_name(self, name: str, namespace: str) -> str:
        """The name outside the cluster that an ExternalName Service stands for; empty if it is none."""
        self._reload()
        return self._look_up(name, namespace)[1]

    def service_address(
        self, name: str, port: int, namespace: str, ports: PortMap | None = None
    ) -> tuple[str, int] | None:
        """Where to connect for a URL's host and port; with the port map the real port. None if the name is unknown."""
        addresses = self.resolve(name, namespace)
        if not addresses:
            return None
        return addresses[0], ports.real(port) if ports is not None else port

    def connect_to_lines(self, namespace: str, ports: PortMap, app_ip: str) -> list[str]:
        """The lab's names as ``connect-to`` values of a curl configuration, for a pod of one namespace.

        curl takes the first line that matches, so lines of a single (remapped) port come before those of any port
        (an empty port). Services without addresses get no line: curl then fails to resolve them, as upstream.

        Args:
            namespace: the pod's; its Services are known by their short names too.
            ports: the lab's port map.
            app_ip: where the pod's own programs listen, for ``localhost``.
        """
        self._reload()
        remapped = ports.remapped()
        special: list[str] = []
        general: list[str] = []

        def add(host: str, address: str, candidates: Iterable[int]) -> None:
            special.extend(f"{host}:{port}:{address}:{remapped[port]}" for port in candidates if port in remapped)
            if host != address:
                general.append(f"{host}::{address}:")

        for host in ("localhost", "127.0.0.1"):
            add(host, app_ip, remapped)
        for address in {app_ip, *self._pods.values()}:
            add(address, address, remapped)
        for key, record in self._services.items():
            service_namespace, _, name = key.partition("/")
            forms = list(_forms(name, service_namespace, namespace))
            if record["ip"]:
                numbers = [port["port"] for port in record["ports"]]
                for host in (*forms, record["ip"]):
                    add(host, record["ip"], numbers)
            elif record["externalName"]:
                target = self.resolve(f"{record['externalName'].rstrip('.')}.", namespace)
                for host in forms:
                    if target:
                        add(host, target[0], remapped)
                    else:
                        general.append(f"{host}::{record['externalName'].rstrip('.')}:")
            elif record["endpoints"]:
                address = random.choice(record["endpoints"])
                for host in forms:
                    add(host, address, remapped)
                for hostname, addresses in record["hosts"].items():
                    for host in _forms(f"{hostname}.{name}", service_namespace, namespace):
                        add(host, addresses[0], remapped)
        return special + general

    def _mesh_addresses(self, name: str, namespace: str) -> list[str]:
        """What the sidecar says of a host: the exact name, else the longest wildcard; its own namespace's first."""
        wanted = name.lower().rstrip(".")
        wildcards = [host for host in self._hosts if host.startswith("*") and wanted.endswith(host[1:])]
        for host in (wanted, *sorted(wildcards, key=len, reverse=True)):
            entries = [
                entry
                for entry in self._hosts.get(host, ())
                if not entry["exportTo"] or {"*", namespace} & set(entry["exportTo"]) or entry["namespace"] == namespace
            ]
            if entries:
                entry = min(entries, key=lambda entry: entry["namespace"] != namespace)
                return [address for address in entry["addresses"] if ":" not in address]
        return []

    def _look_up(self, name: str, namespace: str) -> tuple[list[str], str]:
        for candidate in _candidates(name.lower(), namespace):
            addresses, alias = self._absolute(candidate)
            if addresses or alias:
                return addresses, alias
        return [], ""

    def _absolute(self, name: str) -> tuple[list[str], str]:
        """Addresses, or the alias, of a fully qualified name."""
        suffix = f".{CLUSTER_DOMAIN}"
        if not name.endswith(suffix):
            return [], ""
        match name.removesuffix(suffix).split("."):
            case [service, namespace, "svc"]:
                record = self._services.get(f"{namespace}/{service}")
                if record is None:
                    return [], ""
                if record["externalName"]:
                    return [], record["externalName"]
                return ([record["ip"]] if record["ip"] else list(record["endpoints"])), ""
            case [host, service, namespace, "svc"]:
                record = self._services.get(f"{namespace}/{service}")
                return (list(record["hosts"].get(host, [])) if record is not None else []), ""
            case [dashed, _, "pod"]:
                address = dashed.replace("-", ".")
                return ([address] if _is_address(address) else []), ""
        return [], ""

    def _reload(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            table: dict[str, Any] = json.loads(self._path.read_bytes())
            self._services, self._pods = table["services"], table["pods"]
            self._hosts = table.get("hosts", {})
            self._stamp = stamp


def _candidates(name: str, namespace: str) -> Iterator[str]:
    """The fully qualified names that a resolver tries, in its order (resolv.conf(5), search and ndots)."""
    if name.endswith("."):
        yield name.rstrip(".")
        return
    searched = (f"{name}.{namespace}.svc.{CLUSTER_DOMAIN}", f"{name}.svc.{CLUSTER_DOMAIN}", f"{name}.{CLUSTER_DOMAIN}")
    if name.count(".") >= NDOTS:
        yield name
        yield from searched
    else:
        yield from searched
        yield name


def _forms(name: str, service_namespace: str, namespace: str) -> Iterator[str]:
    """The ways in which a pod of a namespace may write a Service's name."""
    if service_namespace == namespace:
        yield name
    for suffix in ("", ".svc", f".svc.{CLUSTER_DOMAIN}", f".svc.{CLUSTER_DOMAIN}."):
        yield f"{name}.{service_namespace}{suffix}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
