"""Patches on listeners: on themselves, their filter chains, their network filters and their HTTP filters.

Where upstream has one virtual listener with a chain per port, each inbound port is a listener of its own here. So an
inbound port number or ``virtualInbound`` means those listeners. Captured connections have a listener per outbound port,
as upstream; beside them one listener takes all requests of programs that use the proxy. An HTTP filter for one outbound
port is there for all of those, but switched off; `routes` switches it on for the virtual hosts of that port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import CONNECTION_MANAGER
from meshlab.minicluster.mesh.envoy.patching.selection import OUTBOUND, Patches
from meshlab.minicluster.mesh.envoy.patching.sequences import changed
from meshlab.minicluster.mesh.envoy.patchvalues import MESSAGES, merged, merged_extension
from meshlab.minicluster.mesh.envoy.vocabulary import HTTP_PROXY, TUNNEL
from meshlab.minicluster.mesh.patches import ConfigPatch, ListenerMatch
from meshlab.minicluster.mesh.scope import Scope

VIRTUAL = {"virtualInbound": 15006, "virtualOutbound": 15001}


@dataclass(frozen=True, slots=True)
class Where:
    """A listener as patches see it."""

    name: str
    context: str
    port: int
    """Nominal; 0 for the listeners that take all outbound requests."""
    outbound_ports: frozenset[int]

    @property
    def is_virtual(self) -> bool:
        """Whether it stands for part of a virtual listener of upstream's."""
        return self.context != "GATEWAY"


def patch_listeners(listeners: dict[str, Obj], patches: Patches, scope: Scope) -> dict[str, Obj]:
    """The listeners, patched; new ones at the end."""
    ports = frozenset(port.number for service in scope.services.values() for port in service.ports)
    found: dict[str, Obj] = {}
    for name, listener in listeners.items():
        where = Where(
            name,
            patches.context(listener.get("traffic_direction", "")),
            int(digits) if (digits := name.rpartition("_")[2]).isdecimal() else 0,
            ports,
        )
        after = _listener(listener, patches, where)
        if after is not None:
            found[name] = after
    for patch in patches.additions("LISTENER"):
        found[str(patch.value.get("name", ""))] = dict(patch.value)
    return found


def _listener(listener: Obj, patches: Patches, where: Where) -> Obj | None:
    def chosen(apply_to: str) -> list[ConfigPatch]:
        return [patch for patch in patches.of_kind(apply_to, where.context) if listener_matches(patch, where)]

    found = listener
    for patch in chosen("LISTENER") if where.name != TUNNEL else ():
        if patch.operation == "REMOVE":
            return None
        if patch.operation == "MERGE":
            found = merged(MESSAGES["LISTENER"], found, patch.value)
    for patch in chosen("LISTENER_FILTER") if where.name != TUNNEL else ():
        named = patch.listener.listener_filter if patch.listener is not None else ""
        found = {**found, "listener_filters": changed(found.get("listener_filters", ()), patch, _named(named))}
    chains: list[Obj] = []
    for chain in found.get("filter_chains", ()):
        after = _chain(chain, chosen, where)
        if after is not None:
            chains.append(after)
    chains += [dict(patch.value) for patch in chosen("FILTER_CHAIN") if patch.operation == "ADD"]
    found = {**found, "filter_chains": chains}
    default = found.pop("default_filter_chain", None)
    if default is not None and (after := _chain(default, chosen, where)) is not None:
        found["default_filter_chain"] = after
    return found


def _chain(chain: Obj, chosen: Callable[[str], list[ConfigPatch]], where: Where) -> Obj | None:
    def chosen_here(apply_to: str) -> Iterable[ConfigPatch]:
        return [patch for patch in chosen(apply_to) if _chain_matches(chain, patch.listener, where)]

    found = chain
    for patch in chosen_here("FILTER_CHAIN"):
        if patch.operation == "REMOVE":
            return None
        if patch.operation == "MERGE":
            found = _merged_chain(found, patch.value)
    filters: Sequence[Obj] = found["filters"]
    network = list(chosen_here("NETWORK_FILTER"))
    for patch in network:
        filters = changed(filters, patch, _named(patch.listener.filter_name if patch.listener is not None else ""))
    merging = [patch for patch in network if patch.operation == "MERGE"]
    http = list(chosen_here("HTTP_FILTER"))
    return {
        **found,
        "filters": [_with_http(_merged_filter(item, merging, _network_name), http, where) for item in filters],
    }


def _merged_chain(chain: Obj, value: object) -> Obj:
    assert isinstance(value, dict)
    theirs, mine = value.get("transport_socket"), chain.get("transport_socket")
    if theirs and mine and theirs.get("name") == mine.get("name"):
        return {**chain, "transport_socket": merged_extension(mine, theirs)}
    return merged(MESSAGES["FILTER_CHAIN"], chain, value)


def _merged_filter(item: Obj, patches: Iterable[ConfigPatch], name_of: Callable[[ConfigPatch], str]) -> Obj:
    found = item
    for patch in patches:
        if name_of(patch) in ("", found["name"]) and found.get("typed_config"):
            found = merged_extension(found, patch.value)
    return found


def _with_http(network_filter: Obj, patches: Sequence[ConfigPatch], where: Where) -> Obj:
    """A network filter with its HTTP filters patched, if it has any."""
    applying = [patch for patch in patches if _network_name(patch) in ("", network_filter["name"])]
    manager = network_filter.get("typed_config", {})
    if network_filter["name"] != CONNECTION_MANAGER or not applying:
        return network_filter
    filters: Sequence[Obj] = manager.get("http_filters", ())
    for patch in applying:
        named = _http_name(patch) if _network_name(patch) else ""
        # Without a name there is nothing to replace or to remove.
        filters = changed(filters, _switched(patch, where), _named(named))
    merging = [patch for patch in applying if patch.operation == "MERGE" and _http_name(patch)]
    filters = [_merged_filter(item, merging, _http_name) for item in filters]
    return {**network_filter, "typed_config": {**manager, "http_filters": filters}}


def _switched(patch: ConfigPatch, where: Where) -> ConfigPatch:
    """A new filter for one outbound port starts switched off in a listener that takes all of them."""
    if not where.port and outbound_port(patch, where.context) and patch.value:
        return replace(patch, value={**patch.value, "disabled": True})
    return patch


def outbound_port(patch: ConfigPatch, context: str) -> int:
    """The outbound port that a patch of listeners is limited to; 0 for all."""
    match = patch.listener
    if context != OUTBOUND or match is None:
        return 0
    port = match.port or _port_of_name(match.name)
    return 0 if port == VIRTUAL["virtualOutbound"] else port


def _port_of_name(name: str) -> int:
    digits = name.rpartition("_")[2]
    return int(digits) if name.startswith("0.0.0.0_") and digits.isdecimal() else 0


def _network_name(patch: ConfigPatch) -> str:
    return patch.listener.filter_name if patch.listener is not None else ""


def _http_name(patch: ConfigPatch) -> str:
    return patch.listener.subfilter_name if patch.listener is not None else ""


def _named(name: str) -> Callable[[Obj], bool] | None:
    return (lambda item: bool(item.get("name") == name)) if name else None


def listener_matches(patch: ConfigPatch, where: Where) -> bool:
    """Whether a patch is for a listener."""
    match = patch.listener
    if match is None:
        return True
    if where.context == OUTBOUND:
        port = outbound_port(patch, where.context)
        if where.port:
            return match.name in ("", where.name) and port in (0, where.port)
        known = ("", where.name, HTTP_PROXY, "virtualOutbound")
        return (match.name in known or _port_of_name(match.name) > 0) and (not port or port in where.outbound_ports)
    virtual = "virtualInbound" if where.is_virtual else ""
    if match.name not in ("", where.name, virtual):
        return False
    if where.is_virtual and patch.apply_to == "LISTENER" and match.port == VIRTUAL["virtualInbound"]:
        return True
    return match.port in (0, where.port)


def _chain_matches(chain: Obj, match: ListenerMatch | None, where: Where) -> bool:
    if match is None:
        return True
    conditions = chain.get("filter_chain_match", {})
    port = where.port if where.is_virtual else 0
    return (
        match.chain_name in ("", chain.get("name", ""))
        and (not match.sni or match.sni in conditions.get("server_names", ()))
        and match.transport_protocol in ("", conditions.get("transport_protocol", ""))
        and all(protocol in conditions.get("application_protocols", ()) for protocol in match.application_protocols)
        and match.destination_port in (0, port)
    )
