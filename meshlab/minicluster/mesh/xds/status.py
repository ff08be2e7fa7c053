"""What every proxy has, is missing and has refused, in the words of istiod's ``/debug/syncz``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.xds.resources import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SECRET, TYPES
from meshlab.minicluster.mesh.xds.server import ProxyConnection

SyncState = Literal["SYNCED", "STALE", "NOT SENT", "NACK"]

FIELD_NAMES = {
    CLUSTER: "cluster",
    ENDPOINT: "endpoint",
    LISTENER: "listener",
    ROUTE: "route",
    SECRET: "secret",
    EXTENSION: "extensionconfig",
}
"""Type URL -> the prefix of upstream's ``*_sent`` and ``*_acked`` fields."""


def sync_state(connection: ProxyConnection, type_url: str) -> SyncState:
    """How far one type of one proxy is.

    ``NACK``: the proxy refused something that is still wanted, or it could not be packed. ``STALE``: on its way.
    """
    state = connection.stream.types.get(type_url)
    refused = any(kind == type_url for kind, _ in connection.invalid)
    if state is None or not connection.stream.subscribed(type_url):
        return "NACK" if refused else "NOT SENT"
    available = (connection.pusher.current or {}).get(type_url, {})
    if refused or any(name in available for name in state.rejected):
        return "NACK"
    wanted = {name: resource.version for name, resource in available.items() if state.wants(name)}
    if connection.pusher.current is None:
        return "STALE" if state.acked else "NOT SENT"
    if any(delivery.type_url == type_url for delivery in connection.stream.pending.values()):
        return "STALE"
    if any(state.acked.get(name) != version for name, version in wanted.items()):
        return "STALE"
    return "SYNCED"


def sync_status(connections: Iterable[ProxyConnection], *, istiod: str, version: str, cluster_id: str) -> list[Obj]:
    """One entry per proxy, ordered by name, as JSON."""
    entries = [_entry(connection, istiod, version, cluster_id) for connection in connections]
    return sorted(entries, key=lambda entry: (entry["proxy"], entry["connected_at"]))


def _entry(connection: ProxyConnection, istiod: str, version: str, cluster_id: str) -> Obj:
    kind, ip, proxy, _ = connection.node_id.split("~")
    entry: Obj = {
        "cluster_id": cluster_id,
        "proxy": proxy,
        "proxy_type": kind,
        "proxy_version": connection.metadata.get("ISTIO_VERSION") or version,
        "istio_version": connection.metadata.get("ISTIO_VERSION") or version,
        "node_id": connection.node_id,
        "ip": ip,
        "namespace": connection.identity.namespace,
        "service_account": connection.identity.service_account,
        "istiod": istiod,
        "connected_at": connection.connected_at.isoformat(),
    }
    configs = []
    problems = []
    for type_url in TYPES:
        state = connection.stream.types.get(type_url)
        prefix = FIELD_NAMES[type_url]
        entry[f"{prefix}_sent"] = state.sent_nonce if state else ""
        entry[f"{prefix}_acked"] = state.acked_nonce if state else ""
        config: Obj = {"type_url": type_url, "config_status": sync_state(connection, type_url)}
        if state is not None:
            config["last_updated"] = state.updated.isoformat() if state.updated else None
            config["resources"] = len(state.acked)
            problems += [
                {"type_url": type_url, "name": name, "version": rejection.version, "detail": rejection.detail}
                for name, rejection in state.rejected.items()
            ]
        configs.append(config)
    problems += [
        {"type_url": type_url, "name": name, "version": "", "detail": reason}
        for (type_url, name), reason in connection.invalid.items()
    ]
    entry["generic_xds_configs"] = configs
    entry["problems"] = problems
    return entry
