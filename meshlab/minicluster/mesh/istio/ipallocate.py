"""Addresses for ServiceEntries that name none, so that connections to them can be told apart.

As upstream: istiod takes the next free address of two ranges for each host and writes both into the entry's status;
what is there already stays. Sidecars know services by them if they also answer their programs' questions for names
(``ISTIO_META_DNS_CAPTURE``), since the addresses mean nothing to anybody else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.hostnames import is_address
from meshlab.minicluster.mesh.istio.reading import mapping, objects, string_map, text, texts

RESOURCE = "serviceentries.networking.istio.io"
LABEL = "networking.istio.io/enable-autoallocate-ip"
RANGES = ("240.240.0.0/16", "2001:2::/48")


def wants_addresses(entry: Obj) -> bool:
    """Whether addresses are to be allocated to an entry.

    Not without a resolution, since then a client's own address decides where its connection goes.
    """
    spec = mapping(entry.get("spec"))
    if text(spec.get("resolution")) in ("", "NONE") or texts(spec.get("addresses")):
        return False
    return string_map(mapping(entry.get("metadata")).get("labels")).get(LABEL, "").lower() != "false"


def allocated_addresses(entry: Obj, host: str) -> tuple[str, ...]:
    """The addresses that the entry's status gives one of its hosts, if they count."""
    if "*" in host or not wants_addresses(entry):
        return ()
    listed = objects(mapping(entry.get("status")).get("addresses"))
    # What an earlier version wrote has no host and is for all of them.
    values = (text(item.get("value")) for item in listed if text(item.get("host")) in ("", host))
    return tuple(value for value in values if is_address(value))


@dataclass(slots=True)
class Allocator:
    """Hands out addresses in order; none of them twice, not even of an entry that is gone."""

    used: set[str] = field(default_factory=set)
    _free: tuple[Iterator[str], ...] = ()

    def take_note(self, entries: Iterable[Obj]) -> None:
        """Keep what entries have already."""
        for entry in entries:
            listed = objects(mapping(entry.get("status")).get("addresses"))
            self.used |= {text(item.get("value")) for item in listed}

    def status(self, entry: Obj) -> list[Obj] | None:
        """What ``status.addresses`` of an entry should say; None if it is right as it is."""
        if not wants_addresses(entry):
            return None
        listed = objects(mapping(entry.get("status")).get("addresses"))
        by_host: dict[str, list[str]] = {}
        for item in listed:
            by_host.setdefault(text(item.get("host")), []).append(text(item.get("value")))
        hosts = [host for host in dict.fromkeys(texts(mapping(entry.get("spec")).get("hosts"))) if "*" not in host]
        wanted = {host: by_host.get(host) or by_host.get("") or self._next() for host in hosts}
        if by_host == wanted:
            return None
        return [{"host": host, "value": value} for host, values in wanted.items() for value in values]

    def _next(self) -> list[str]:
        if not self._free:
            self._free = tuple(map(_addresses, RANGES))
        found = [next(address for address in addresses if address not in self.used) for addresses in self._free]
        self.used |= set(found)
        return found


def _addresses(network: str) -> Iterator[str]:
    parsed = ipaddress.ip_network(network)
    return (str(parsed[index]) for index in range(1, parsed.num_addresses))
