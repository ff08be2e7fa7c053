"""ServiceEntries: TCP needs an address, and a port of a host one protocol (IST0134, IST0177)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from meshlab.minicluster.mesh.istio.analysis.mesh import mesh_config
from meshlab.minicluster.mesh.istio.analysis.messages import quoted
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message

ENTRIES = "serviceentries.networking.istio.io"
EVERYWHERE = "*"


def addresses(snapshot: Snapshot) -> Iterator[Message]:
    """Without an address of its own (written, or allocated by istiod), a TCP port takes traffic to every host."""
    if _allocated_by_proxies(snapshot):
        return
    for entry in snapshot.of(ENTRIES):
        if "addresses" in entry.spec or (entry.obj.get("status") or {}).get("addresses"):
            continue
        for index, port in enumerate(entry.spec.get("ports") or []):
            if str(port.get("protocol") or "TCP").upper() == "TCP":
                path: Path = ("spec", "ports", index)
                yield message("IST0134", entry, path=path)


def _allocated_by_proxies(snapshot: Snapshot) -> bool:
    variables = (mesh_config(snapshot).get("defaultConfig") or {}).get("proxyMetadata") or {}
    return str(variables.get("ISTIO_META_DNS_CAPTURE")) == "true" and "true" in (
        str(variables.get("ISTIO_META_DNS_AUTO_ALLOCATE")),
        str(variables.get("PILOT_ENABLE_IP_AUTOALLOCATE")),
    )


def protocols(snapshot: Snapshot) -> Iterator[Message]:
    """No namespace sees one port of one host with two protocols; each entry is named in one message at most."""
    index: dict[tuple[str, str, int], list[tuple[str, Resource]]] = defaultdict(list)
    for entry in snapshot.of(ENTRIES):
        for scope in _scopes(entry):
            for host in entry.spec.get("hosts") or []:
                for port in entry.spec.get("ports") or []:
                    found = (str(port.get("protocol") or "").upper(), entry)
                    index[scope, str(host), int(port.get("number") or 0)].append(found)
    reported: set[str] = set()
    for (scope, host, number), entries in sorted(index.items(), key=lambda item: item[0]):
        seen = entries if scope == EVERYWHERE else [*entries, *index.get((EVERYWHERE, host, number), [])]
        spoken = sorted({protocol for protocol, _ in seen})
        if len(spoken) < 2:
            continue
        names = ", ".join(sorted({entry.full_name for _, entry in seen}))
        for _, entry in seen:
            if entry.full_name not in reported:
                reported.add(entry.full_name)
                arguments = (names, quoted(host), number, ", ".join(spoken))
                yield message("IST0177", entry, *arguments, path=("metadata", "name"))


def _scopes(entry: Resource) -> set[str]:
    export_to = entry.spec.get("exportTo") or [EVERYWHERE]
    if EVERYWHERE in export_to:
        return {EVERYWHERE}
    return {entry.namespace if scope == "." else str(scope) for scope in export_to}
