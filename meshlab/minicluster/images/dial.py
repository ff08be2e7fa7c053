"""How the built-in clients reach the lab's network: names, addresses, ports and the sidecar, as a pod sees them.

On a real node the kernel and the cluster's DNS do this. Here every connection has the pod's address as its source,
``localhost`` is the pod itself, a nominal port may stand for another real one, and names come from the lab's table.

Behind a sidecar every connection goes to it, with a PROXY header (haproxy, proxy-protocol.txt, version 1) that tells
where the program wanted to go: what iptables and ``SO_ORIGINAL_DST`` do on a real node. As there, connecting succeeds
whatever becomes of the connection later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from pathlib import Path

from meshlab.minicluster.network.capture import CaptureRules
from meshlab.minicluster.network.names import NameTable
from meshlab.minicluster.network.queues import wait_until_read
from meshlab.minicluster.pod import SIDECAR_PORTS, PodContext

HANDOVER_S = 2.0
"""How long a sidecar may take to read where a connection is going."""
_NOWHERE = "255.255.255.255"
_OWN = frozenset({"127.0.0.1", "::1", "0.0.0.0"})
_LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


class UnknownHost(Exception):
    """No such name in the cluster."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host


class PodNetwork:
    """The network of one pod.

    Args:
        pod: the pod's context.
    """

    def __init__(self, pod: PodContext) -> None:
        self._pod = pod
        self._ports = pod.ports
        self._names = NameTable(Path(pod.names_file))
        self._rules = CaptureRules.of(pod.capture)

    def resolve(self, host: str) -> list[str]:
        """The nominal addresses of a name or an address; never empty.

        Raises:
            UnknownHost: no such name.
        """
        host = host.removeprefix("[").removesuffix("]")
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        if host.rstrip(".").lower() in _LOCAL_NAMES:
            return ["127.0.0.1"]
        if host == self._pod.name:
            return [self._pod.pod_ip]
        addresses = self._names.resolve(host, self._pod.namespace, mesh=self._pod.captures_dns)
        if not addresses:
            raise UnknownHost(host)
        return addresses

    def real_endpoint(self, address: str, port: int) -> tuple[str, int]:
        """What to connect to for a nominal address and port."""
        if address in _OWN:
            address = self._pod.pod_ip if port in SIDECAR_PORTS else self._pod.app_ip
        return address, self._ports.real(port)

    def connect(self, host: str, port: int, timeout_s: float | None = None) -> socket.socket:
        """A TCP connection from the pod to a name or an address.

        Raises:
            UnknownHost: no such name.
            OSError: no connection; for the last address tried.
        """
        failure: OSError | None = None
        for address in self.resolve(host):
            own = self._pod.local_socket(port)
            if address == "127.0.0.1" and own.exists():
                return _connect_unix(own, timeout_s)
            try:
                if self.is_captured(address, port):
                    return self._connect_captured(address, port, timeout_s)
                return self._connect(address, self.real_endpoint(address, port), timeout_s)
            except OSError as error:
                failure = error
        assert failure is not None
        raise failure

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The same for programs of an event loop.

        Raises:
            UnknownHost: no such name.
            OSError: no connection.
        """
        connection = await asyncio.to_thread(self.connect, host, port)
        connection.setblocking(False)
        return await asyncio.open_connection(sock=connection)

    def proxy_for(self, host: str, port: int, scheme: str = "http") -> tuple[str, int] | None:
        """The proxy for a request, as ``(host, port)``; None to go direct.

        The environment names the sidecar for everything; what the pod keeps from being captured does not go there.
        """
        proxy = proxy_for(host, scheme)
        return proxy if proxy is not None and self.captures(host, port) else None

    def captures(self, host: str, port: int) -> bool:
        """Whether requests to a host go through the pod's sidecar."""
        return not self._pod.capture or self.is_captured(self._some_address(host), port)

    def _some_address(self, host: str) -> str:
        """An address of a host in the lab or outside; one that is no host's if nobody knows it."""
        try:
            return self.resolve(host)[0]
        except UnknownHost:
            try:
                return str(socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0])
            except OSError:
                return _NOWHERE

    def is_captured(self, address: str, port: int) -> bool:
        """Whether a connection to a nominal address and port goes through the pod's sidecar."""
        if not self._pod.proxy_url or ":" in address or address in (*_OWN, self._pod.pod_ip, self._pod.app_ip):
            return False
        return self._rules.captures(address, port)

    def _connect_captured(self, address: str, port: int, timeout_s: float | None) -> socket.socket:
        sidecar = (self._pod.app_ip, int(self._pod.proxy_url.rpartition(":")[2]))
        connection = self._connect(self._pod.app_ip, sidecar, timeout_s)
        own = connection.getsockname()
        try:
            connection.sendall(f"PROXY TCP4 {own[0]} {address} {own[1]} {port}\r\n".encode())
            # A proxy that is told of the end of the connection while it reads where that was going closes it at once.
            wait_until_read(connection, HANDOVER_S)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, address: str, endpoint: tuple[str, int], timeout_s: float | None) -> socket.socket:
        family = socket.AF_INET6 if ":" in address and address != "::1" else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            if family == socket.AF_INET:
                # Choosing the port at connect time keeps many short connections from running out of ports.
                if hasattr(socket, "IP_BIND_ADDRESS_NO_PORT"):
                    connection.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
                connection.bind((self._pod.pod_ip, 0))
            connection.connect(endpoint)
        except BaseException:
            connection.close()
            raise
        return connection

    def listen_address(self, port: int) -> tuple[str, int]:
        """Where this pod's programs bind for a nominal port."""
        return self._pod.bind_ip, self._ports.real(port)


def _connect_unix(path: Path, timeout_s: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def proxy_for(host: str, scheme: str = "http") -> tuple[str, int] | None:
    """The proxy that the environment names for a host, as ``(host, port)``; None to go direct.

    Only the lower-case ``http_proxy`` counts for plain HTTP, as with curl: a CGI program cannot trust the other.
    """
    value = os.environ.get(f"{scheme}_proxy") or (os.environ.get(f"{scheme.upper()}_PROXY") if scheme != "http" else "")
    if not value:
        return None
    for entry in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(","):
        suffix = entry.strip().lstrip(".").lower()
        if suffix and (suffix == "*" or host.lower() == suffix or host.lower().endswith(f".{suffix}")):
            return None
    address = value.partition("://")[2] or value
    name, _, port = address.rstrip("/").rpartition(":")
    return (name, int(port)) if name else (address.rstrip("/"), 1080)
