"""The plain network path: ClusterIPs, NodePorts and LoadBalancer addresses as listening sockets.

Where kube-proxy rewrites packets, this forwarder accepts a connection at ``(ClusterIP, real port)`` and opens one to a
ready endpoint, picked at random, from the client's own address if that is inside the lab: so a server sees which pod
calls it. A Service without endpoints has no listening socket, so that a client is refused as it would be upstream.

`Frontends` (pure) says which sockets there have to be and what is behind each; `Forwarder` keeps them open. TCP only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import socket
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from meshlab.minicluster.informer import Informer, Key
from meshlab.minicluster.kubeapi import KubeApi, Obj, object_key
from meshlab.minicluster.network.addresses import LabNetwork, PortMap
from meshlab.minicluster.network.splice import Half, dial, join, reset, tune

logger = logging.getLogger(__name__)

Address = tuple[str, int]
SERVICE_NAME = "kubernetes.io/service-name"
API_SERVICE: Key = ("default", "kubernetes")
"""Its endpoint is the API server, whose port is never remapped."""
BACKLOG = 1024
RETRY_BIND_S = 1.0
CONNECT_TIMEOUT_S = 10.0
DEFAULT_AFFINITY_S = 10800


@dataclass(slots=True)
class Frontend:
    """One address that clients connect to, and the endpoints behind it."""

    service: Key
    listen: Address
    """Nominal IP and nominal port."""
    backends: list[Address] = field(default_factory=list)
    """Nominal addresses of ready endpoints."""
    affinity_s: int = 0
    """How long a client stays with its endpoint (``sessionAffinity: ClientIP``); 0 means not at all."""


def frontends(service: Obj, slices: Iterable[Obj], node_address: str) -> list[Frontend]:
    """The addresses of a Service that can be connected to; those without endpoints are left out.

    Args:
        service: as read.
        slices: the EndpointSlices that carry its name, whoever manages them.
        node_address: where NodePorts are.
    """
    spec = service["spec"]
    cluster_ip = spec.get("clusterIP")
    if spec.get("type") == "ExternalName" or not cluster_ip or cluster_ip == "None":
        return []
    slices = list(slices)
    affinity_s = 0
    if spec.get("sessionAffinity") == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity_s = config.get("timeoutSeconds") or DEFAULT_AFFINITY_S
    balancers = [
        entry["ip"]
        for entry in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        if entry.get("ip")
    ]
    result = []
    for port in spec.get("ports") or ():
        if (port.get("protocol") or "TCP") != "TCP":
            continue
        backends = ready_backends(slices, port.get("name") or "")
        if not backends:
            continue
        addresses = [(ip, port["port"]) for ip in (cluster_ip, *balancers)]
        if port.get("nodePort"):
            addresses.append((node_address, port["nodePort"]))
        result += [Frontend(object_key(service), address, backends, affinity_s) for address in addresses]
    return result


def ready_backends(slices: Iterable[Obj], port_name: str) -> list[Address]:
    """The endpoints of one Service port: the ready ones, or else those that serve while they terminate (KEP-1669)."""
    ready: dict[Address, None] = {}
    ending: dict[Address, None] = {}
    for each in slices:
        if each.get("addressType", "IPv4") != "IPv4":
            continue
        number = next(
            (
                port["port"]
                for port in each.get("ports") or ()
                if (port.get("name") or "") == port_name
                and (port.get("protocol") or "TCP") == "TCP"
                and port.get("port")
            ),
            None,
        )
        if number is None:
            continue
        for endpoint in each.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            chosen = None
            if conditions.get("ready", True) is not False:
                chosen = ready
            elif conditions.get("serving") and conditions.get("terminating"):
                chosen = ending
            if chosen is not None and endpoint.get("addresses"):
                chosen[(endpoint["addresses"][0], number)] = None
    return list(ready or ending)


class Forwarder:
    """Keeps the listening sockets of all Services, and carries their connections.

    Args:
        api: where Services and EndpointSlices are watched.
        network: the lab's addresses.
        ports: the lab's port map.
    """

    def __init__(self, api: KubeApi, network: LabNetwork, ports: PortMap) -> None:
        self._network = network
        self._ports = ports
        self._lab = ipaddress.ip_network(network.cidr)
        self._services = Informer(api, "services")
        self._slices = Informer(api, "endpointslices.discovery.k8s.io")
        self._slices_of: dict[Key, dict[Key, Obj]] = {}
        self._frontends: dict[Key, dict[Address, Listener]] = {}
        self._taken: dict[Address, Key] = {}
        self._dirty: dict[Key, None] = {}
        self._flush: asyncio.Handle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._stopped = False
        self.connections: set[Half] = set()
        """The client side of every connection that is open."""
        self._searching: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the sockets of every Service that exists, then follow changes."""
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._services.start()
        self._slices.start()
        await self._services.synced.wait()
        await self._slices.synced.wait()
        self._apply_changes()

    async def stop(self) -> None:
        """Close every socket and connection."""
        self._stopped = True
        await self._services.stop()
        await self._slices.stop()
        for handle in (self._flush, self._retry):
            if handle is not None:
                handle.cancel()
        for listeners in self._frontends.values():
            for listener in listeners.values():
                listener.close()
        self._frontends.clear()
        for task in self._searching:
            task.cancel()
        await asyncio.gather(*self._searching, return_exceptions=True)
        for half in list(self.connections):
            if half.transport is not None:
                half.transport.abort()
        # Two turns of the loop, so that the transports have really gone.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def listening(self) -> dict[Address, list[Address]]:
        """Nominal address -> nominal endpoints, of every socket that is open."""
        return {
            listener.frontend.listen: list(listener.frontend.backends)
            for listeners in self._frontends.values()
            for listener in listeners.values()
            if listener.is_open
        }

    # --- what changed ---

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._touch(object_key(new if new is not None else old or {}))

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        for each, present in ((old, False), (new, True)):
            if each is None:
                continue
            key = object_key(each)
            name = (each["metadata"].get("labels") or {}).get(SERVICE_NAME)
            if not name:
                continue
            service = (key[0], name)
            if present:
                self._slices_of.setdefault(service, {})[key] = each
            else:
                group = self._slices_of.get(service, {})
                group.pop(key, None)
                if not group:
                    self._slices_of.pop(service, None)
            self._touch(service)

    def _touch(self, service: Key) -> None:
        self._dirty[service] = None
        if self._flush is None and self._services.synced.is_set() and self._slices.synced.is_set():
            self._flush = asyncio.get_running_loop().call_soon(self._apply_changes)

    def _apply_changes(self) -> None:
        self._flush = None
        if self._stopped:
            return
        dirty, self._dirty = self._dirty, {}
        # Sockets are given up before others are opened: an address may move from one Service to another.
        wanted = {key: self._wanted(key) for key in dirty}
        for key, addresses in wanted.items():
            for address in self._frontends.get(key, {}).keys() - addresses.keys():
                self._frontends[key].pop(address).close()
                self._taken.pop(address, None)
        for key, addresses in wanted.items():
            self._open(key, addresses)
            if not self._frontends.get(key):
                self._frontends.pop(key, None)

    def _wanted(self, key: Key) -> dict[Address, Frontend]:
        service = self._services.objects.get(key)
        if service is None:
            return {}
        found = frontends(service, self._slices_of.get(key, {}).values(), self._network.node_address)
        return {frontend.listen: frontend for frontend in found}

    def _open(self, key: Key, addresses: dict[Address, Frontend]) -> None:
        listeners = self._frontends.setdefault(key, {})
        for address, frontend in addresses.items():
            known = listeners.get(address)
            if known is not None:
                known.frontend = frontend
                if known.is_open:
                    continue
                listener = known
            elif self._taken.get(address, key) != key:
                logger.warning("%s:%d of service %s/%s belongs to another service", *address, *key)
                continue
            else:
                listener = listeners[address] = Listener(self, frontend)
                self._taken[address] = key
            try:
                listener.open((address[0], self._ports.settle(address[1])))
            except OSError as error:
                logger.warning("%s:%d of service %s/%s cannot be bound: %s", *address, *key, error)
                self._try_again(key)

    def _try_again(self, key: Key) -> None:
        self._dirty[key] = None
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(RETRY_BIND_S, self._retry_bind)

    def _retry_bind(self) -> None:
        self._retry = None
        self._apply_changes()

    # --- what a listener asks ---

    def run(self, search: Coroutine[Any, Any, None]) -> None:
        """Have an endpoint found for a new connection."""
        task = asyncio.get_running_loop().create_task(search)
        self._searching.add(task)
        task.add_done_callback(self._searching.discard)

    def source_for(self, client_ip: str) -> str | None:
        """The address to connect from on behalf of a client: its own, if it belongs to the lab."""
        return client_ip if ipaddress.ip_address(client_ip) in self._lab else None

    def real_address(self, service: Key, backend: Address) -> Address:
        """Where an endpoint really listens."""
        ip, port = backend
        if service == API_SERVICE or ipaddress.ip_address(ip) not in self._lab:
            return backend
        return ip, self._ports.real(port)


class Listener:
    """One listening socket; its endpoints may change while it is open."""

    def __init__(self, forwarder: Forwarder, frontend: Frontend) -> None:
        self.frontend = frontend
        self._forwarder = forwarder
        self._sock: socket.socket | None = None
        self._sticky: dict[str, tuple[Address, float]] = {}

    @property
    def is_open(self) -> bool:
        """Whether clients can connect."""
        return self._sock is not None

    def open(self, address: Address) -> None:
        """Bind and listen.

        Raises:
            OSError: the address is in use or not ours.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        self._sock = sock
        asyncio.get_running_loop().add_reader(sock, self._accept)

    def close(self) -> None:
        """Refuse new connections; those that are open go on."""
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None

    def candidates(self, client_ip: str) -> list[Address]:
        """The endpoint to try, and another one in case it refuses."""
        backends = self.frontend.backends
        if not self.frontend.affinity_s:
            return random.sample(backends, min(2, len(backends)))
        now = time.monotonic()
        known, seen = self._sticky.get(client_ip, (None, 0.0))
        if known is None or known not in backends or now - seen > self.frontend.affinity_s:
            known = random.choice(backends)
        self._sticky[client_ip] = (known, now)
        others = [backend for backend in backends if backend != known]
        return [known, random.choice(others)] if others else [known]

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(BACKLOG):
            if self._sock is None:
                return
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # too many open files: leave it in the backlog for a moment
                logger.warning("cannot accept on %s:%d: %s", *self.frontend.listen, error)
                loop.remove_reader(self._sock)
                loop.call_later(RETRY_BIND_S, self._resume)
                return
            sock.setblocking(False)
            tune(sock)
            self._forwarder.run(self._carry(sock, peer[0]))

    def _resume(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().add_reader(self._sock, self._accept)

    async def _carry(self, sock: socket.socket, client_ip: str) -> None:
        """Find an endpoint for a new connection, then join the two."""
        loop = asyncio.get_running_loop()
        forwarder = self._forwarder
        _, client = await loop.create_connection(lambda: _Client(forwarder.connections), sock=sock)
        service, source = self.frontend.service, forwarder.source_for(client_ip)
        for backend in self.candidates(client_ip):
            address = forwarder.real_address(service, backend)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    server = await dial(address, source)
            except (OSError, TimeoutError) as error:
                logger.debug("%s:%d does not take a connection: %s", *address, error)
                continue
            if client.lost:
                reset(server.transport)
            else:
                join(client, server)
            return
        reset(client.transport)


class _Client(Half):
    """The client's side; known to the forwarder while it is open."""

    def __init__(self, connections: set[Half]) -> None:
        super().__init__()
        self._connections = connections
        connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(exc)
