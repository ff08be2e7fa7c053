"""Who gets which address of the lab's /16, and which real port stands behind a nominal one.

Layout of ``127.N.0.0/16`` by third octet::

    0          the lab itself: 127.N.0.1 is the API server, and NodePorts are bound there
    1  - 63    pod IPs
    64 - 95    ClusterIPs
    96 - 127   LoadBalancer addresses
    129 - 191  the hidden address of an injected pod's programs: its pod IP with 128 added to the third octet

macOS has only 127.0.0.1 on its loopback device; there a lab needs another `LabNetwork`, which does not exist yet.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

POD_OCTETS = range(1, 64)
CLUSTER_OCTETS = range(64, 96)
LOADBALANCER_OCTETS = range(96, 128)
HIDDEN_OFFSET = 128
LOW_PORT_OFFSET = 20000
ALTERNATIVE_PORTS = range(21100, 29900)


def _hosts(prefix: str, octets: range) -> Iterable[str]:
    return (f"{prefix}.{third}.{fourth}" for third in octets for fourth in range(1, 255))


class Exhausted(Exception):
    """The lab has no address of that kind left."""


@dataclass(slots=True)
class AddressPool:
    """Addresses handed out in order; one that is given back is used again last, so that stale peers never meet it."""

    free: deque[str]
    taken: set[str] = field(default_factory=set)

    def allocate(self, wanted: str | None = None) -> str:
        """The next free address, or ``wanted`` if it is free.

        Raises:
            Exhausted: no address is left, or the wanted one is taken or outside the pool.
        """
        if wanted is not None:
            if wanted not in self.free:
                raise Exhausted(f"address {wanted} is not available")
            self.free.remove(wanted)
            address = wanted
        elif self.free:
            address = self.free.popleft()
        else:
            raise Exhausted("no address is left in this lab")
        self.taken.add(address)
        return address

    def release(self, address: str) -> None:
        """Give an address back; one that was never handed out is ignored."""
        if address in self.taken:
            self.taken.remove(address)
            self.free.append(address)


class LabNetwork:
    """The addresses of one lab.

    Args:
        prefix: the first two octets, such as ``127.77``.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.cidr = f"{prefix}.0.0/16"
        self.node_address = f"{prefix}.0.1"
        self.pods = AddressPool(deque(_hosts(prefix, POD_OCTETS)))
        self.cluster_ips = AddressPool(deque(_hosts(prefix, CLUSTER_OCTETS)))
        self.load_balancers = AddressPool(deque(_hosts(prefix, LOADBALANCER_OCTETS)))

    @property
    def service_cidr(self) -> str:
        """The range of ClusterIPs, as upstream's ``--service-cluster-ip-range`` would name it."""
        return f"{self.prefix}.64.0/19"

    @property
    def kubernetes_service_ip(self) -> str:
        """The ClusterIP of ``default/kubernetes``: the first one of the range, as upstream."""
        return f"{self.prefix}.64.1"


def hidden_address(pod_ip: str) -> str:
    """Where the programs of an injected pod really listen, behind the sidecar that owns ``pod_ip``."""
    first, second, third, fourth = pod_ip.split(".")
    return f"{first}.{second}.{int(third) + HIDDEN_OFFSET}.{fourth}"


def is_loopback(address: str) -> bool:
    """Whether the address is inside 127/8 (or ::1)."""
    return ipaddress.ip_address(address).is_loopback


class PortMap:
    """The lab's nominal ports that are really bound elsewhere, shared by all its processes through one small file.

    The daemon (the only writer) calls `settle` before anything binds a port; everybody else calls `real`, which
    re-reads the file when it changed. A port keeps its real one for the life of the lab.

    Args:
        path: the JSON file, ``{"80": 20080}``.
        probe_address: an address of the lab on which binding is tried.
    """

    def __init__(self, path: Path, probe_address: str) -> None:
        self.path = path
        self._probe_address = probe_address
        self._map: dict[int, int] = {}
        self._settled: set[int] = set()
        self._stamp: tuple[int, int] = (0, 0)

    def real(self, port: int) -> int:
        """The port to bind or to connect to for a nominal port.

        A port that nobody settled yet is the nominal one, or its low-port alternative where those cannot be bound.
        """
        self._reload()
        real = self._map.get(port)
        if real is not None:
            return real
        return port + LOW_PORT_OFFSET if port < _first_unprivileged_port() else port

    def settle(self, port: int) -> int:
        """Decide once what stands behind a nominal port, by trying to bind it; writes the file if it differs."""
        self._reload()
        if port in self._settled or port in self._map:
            return self.real(port)
        self._settled.add(port)
        wanted = self.real(port)
        taken = set(self._map.values())
        candidates: Iterable[int] = (wanted, *ALTERNATIVE_PORTS)
        chosen = next((candidate for candidate in candidates if candidate not in taken and self._free(candidate)), None)
        if chosen is None:
            raise Exhausted(f"no free port stands behind {port}")
        if chosen != port:
            self._map[port] = chosen
            self._write()
        return chosen

    def nominal(self, port: int) -> int:
        """The inverse of `real`: what a learner would call a port that is really bound."""
        self._reload()
        for nominal, real in self._map.items():
            if real == port:
                return nominal
        return port

    def remapped(self) -> dict[int, int]:
        """Every nominal port with another real one behind it."""
        self._reload()
        return dict(self._map)

    def _free(self, port: int) -> bool:
        with socket.socket() as probe:
            try:
                probe.bind((self._probe_address, port))
            except OSError as error:
                return error.errno not in (errno.EACCES, errno.EADDRINUSE)
        return True

    def _reload(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._stamp = stamp
            self._map = {int(nominal): real for nominal, real in json.loads(self.path.read_text()).items()}

    def _write(self) -> None:
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps({str(nominal): real for nominal, real in sorted(self._map.items())}))
        temporary.replace(self.path)


def _first_unprivileged_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024
