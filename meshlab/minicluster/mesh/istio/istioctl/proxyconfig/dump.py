"""The resources inside Envoy's ``/config_dump`` (admin v3), whatever section and state they are in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError


def field(obj: Obj | None, name: str) -> Any:
    """A proto field by its snake_case name, from either of the JSON forms that Envoy's tools write."""
    if not obj:
        return None
    if name in obj:
        return obj[name]
    head, *rest = name.split("_")
    return obj.get(head + "".join(part[:1].upper() + part[1:] for part in rest))


@dataclass(frozen=True, slots=True)
class ConfigDump:
    """A parsed dump: its sections by the last word of their type (``ClustersConfigDump`` ...)."""

    sections: dict[str, Obj]

    @classmethod
    def parse(cls, document: object) -> ConfigDump:
        """Accept what ``GET /config_dump`` returned.

        Raises:
            CommandError: the document is something else.
        """
        configs = document.get("configs") if isinstance(document, dict) else None
        if not isinstance(configs, list):
            raise CommandError('this is not an Envoy config_dump: it has no list "configs"')
        return cls({str(config.get("@type", "")).rsplit(".", 1)[-1]: config for config in configs})

    def section(self, name: str) -> Obj:
        """A section, empty if the dump has none."""
        return self.sections.get(name, {})

    def clusters(self) -> list[Obj]:
        """Clusters, ordered by host, subset, port and direction."""
        section = self.section("ClustersConfigDump")
        found = [
            *_wrapped(section, "dynamic_active_clusters", "cluster"),
            *_wrapped(section, "static_clusters", "cluster"),
        ]
        return sorted(found, key=lambda cluster: _cluster_key(cluster["name"]))

    def listeners(self) -> list[Obj]:
        """Listeners in force, ordered by port and address."""
        section = self.section("ListenersConfigDump")
        found = [
            state["listener"]
            for entry in field(section, "dynamic_listeners") or []
            if (state := field(entry, "active_state")) and "listener" in state
        ]
        found += _wrapped(section, "static_listeners", "listener")
        return sorted(found, key=lambda listener: (address_port(listener)[1], address_port(listener)[0]))

    def routes(self) -> list[Obj]:
        """Route configurations: RDS ones by name (numbers first), then the inline ones."""
        section = self.section("RoutesConfigDump")
        dynamic = list(_wrapped(section, "dynamic_route_configs", "route_config"))
        static = list(_wrapped(section, "static_route_configs", "route_config"))
        return [*sorted(dynamic, key=_route_key), *sorted(static, key=_route_key)]

    def secrets(self) -> list[tuple[str, Obj]]:
        """(state, entry) of the secrets that came by SDS; state is ACTIVE, WARMING or UNINITIALIZED."""
        section = self.section("SecretsConfigDump")
        found = [("WARMING", entry) for entry in field(section, "dynamic_warming_secrets") or []]
        for entry in field(section, "dynamic_active_secrets") or []:
            uninitialized = field(entry, "version_info") == "uninitialized"
            found.append(("UNINITIALIZED" if uninitialized else "ACTIVE", entry))
        return found

    def bootstrap(self) -> Obj:
        """The bootstrap section."""
        return self.section("BootstrapConfigDump")


def _wrapped(section: Obj, name: str, inner: str) -> Iterator[Obj]:
    for entry in field(section, name) or []:
        resource = field(entry, inner)
        if resource:
            yield resource


@dataclass(frozen=True, slots=True)
class ClusterName:
    """Istio's cluster name taken apart: ``outbound|80|v1|reviews.default.svc.cluster.local``."""

    direction: str
    port: str
    subset: str
    fqdn: str

    @classmethod
    def parse(cls, name: str) -> ClusterName | None:
        """None for a name that is not of this form, as ``BlackHoleCluster``."""
        parts = name.split("|")
        return cls(parts[0], parts[1], parts[2], parts[3]) if len(parts) == 4 else None


def _cluster_key(name: str) -> tuple[str, str, int, str]:
    parsed = ClusterName.parse(name)
    if parsed is None:
        return name, "", 0, ""
    return parsed.fqdn, parsed.subset, int(parsed.port) if parsed.port.isdigit() else 0, parsed.direction


def _route_key(route: Obj) -> tuple[int, int, str]:
    name = str(route.get("name", ""))
    return (0, int(name), "") if name.isdigit() else (1, 0, name)


def address_port(listener: Obj) -> tuple[str, int]:
    """The listener's address and port; a pipe's path or an internal listener's name counts as address."""
    address = field(listener, "address") or {}
    socket = field(address, "socket_address")
    if socket:
        return str(field(socket, "address") or ""), int(field(socket, "port_value") or 0)
    if pipe := field(address, "pipe"):
        return str(pipe.get("path", "")), 0
    return str(listener.get("name", "")), 0
