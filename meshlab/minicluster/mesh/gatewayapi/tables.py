"""Route tables: what all routes of one listener, or of one service, say about one host, merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.gatewayapi.backends import InvalidRule, RouteContext
from meshlab.minicluster.mesh.gatewayapi.httproutes import by_precedence, no_headers
from meshlab.minicluster.mesh.gatewayapi.listeners import Listener
from meshlab.minicluster.mesh.gatewayapi.parents import Attachment
from meshlab.minicluster.mesh.gatewayapi.status import ConfigError
from meshlab.minicluster.mesh.istio.reading import created, mapping, objects, text, texts
from meshlab.minicluster.mesh.model import ANY_NAMESPACE, ConfigRef
from meshlab.minicluster.mesh.routing import (
    MESH_GATEWAY,
    HttpMatch,
    HttpRoute,
    L4Match,
    L4Route,
    Redirect,
    RouteTable,
)

DEFAULT_PORTS = {"HTTP": 80, "HTTPS": 443}


@dataclass(slots=True)
class _Merged:
    """The table of one key while routes are added."""

    host: str
    gateway: str
    namespace: str
    created: str
    consumer: bool
    http: list[HttpRoute] = field(default_factory=list)
    tcp: list[L4Route] = field(default_factory=list)
    tls: list[L4Route] = field(default_factory=list)


class Tables:
    """Collects routes, oldest first, and gives the tables."""

    def __init__(self) -> None:
        self._merged: dict[tuple[str, str], _Merged] = {}

    def add_http(
        self, route: Obj, attached: Iterable[Attachment], gateway: Sequence[HttpRoute], mesh: Sequence[HttpRoute]
    ) -> None:
        """Add the rules of a route to the tables of every parent that took it."""
        for item in attached:
            routes: Sequence[HttpRoute] = gateway if item.listener is not None else mesh
            if item.denied is not None or not routes:
                continue
            if item.listener is not None:
                routes = [_with_port(one, item.listener) for one in routes]
            elif item.port is not None:
                routes = [_on_port(one, item.port) for one in routes]
            for host in _hosts(route, item):
                self._table(route, item, host).http += routes

    def add_l4(
        self,
        route: Obj,
        attached: Iterable[Attachment],
        gateway: Sequence[L4Route],
        mesh: Sequence[L4Route],
        *,
        tls: bool,
    ) -> None:
        """Add the rules of a TCPRoute or TLSRoute."""
        for item in attached:
            routes = gateway if item.listener is not None else mesh
            if item.denied is not None or not routes:
                continue
            for host in _hosts(route, item) if tls else (item.hosts or ("*",)):
                table = self._table(route, item, host)
                for one in routes:
                    matches = tuple(replace(match, port=item.port or match.port) for match in one.matches)
                    if item.listener is None and tls and not mapping(route.get("spec")).get("hostnames"):
                        matches = tuple(replace(match, sni_hosts=item.hosts) for match in matches)
                    (table.tls if tls else table.tcp).append(replace(one, matches=matches))

    def _table(self, route: Obj, item: Attachment, host: str) -> _Merged:
        namespace = text(mapping(route.get("metadata")).get("namespace"))
        gateway = item.listener.key if item.listener is not None else MESH_GATEWAY
        key = (gateway if item.listener is not None else f"mesh/{namespace}", host)
        if key not in self._merged:
            self._merged[key] = _Merged(
                host=host,
                gateway=gateway,
                namespace=namespace,
                created=created(route),
                consumer=item.listener is None and item.service[0] != namespace,
            )
        return self._merged[key]

    def tables(self) -> list[RouteTable]:
        """All tables."""
        return [
            RouteTable(
                hosts=(item.host,),
                gateways=(item.gateway,),
                namespace=item.namespace,
                export_to=frozenset({item.namespace if item.consumer else ANY_NAMESPACE}),
                ref=ConfigRef(
                    "networking.istio.io",
                    "v1",
                    "VirtualService",
                    item.namespace,
                    f"{key[0]}/{key[1]}".replace("/", "~").removeprefix("mesh~"),
                ),
                http=tuple(by_precedence(item.http)),
                tcp=tuple(item.tcp),
                tls=tuple(item.tls),
                created=item.created,
                consumer=item.consumer,
                falls_back=item.gateway == MESH_GATEWAY,
            )
            for key, item in self._merged.items()
        ]


def _hosts(route: Obj, item: Attachment) -> list[str]:
    if item.listener is None:
        return list(item.hosts)
    hostnames = [host.lower() for host in texts(mapping(route.get("spec")).get("hostnames"))] or ["*"]
    return [host for host in hostnames if item.serves(host)]


def _on_port(route: HttpRoute, port: int) -> HttpRoute:
    """A route that holds on one port of its service only."""
    return replace(route, matches=tuple(replace(match, port=port) for match in route.matches or (HttpMatch(),)))


def _with_port(route: HttpRoute, listener: Listener) -> HttpRoute:
    """Redirects keep the listener's port where they name neither port nor scheme, and leave well-known ones out."""
    redirect = route.redirect
    if redirect is None:
        return route
    port = redirect.port
    if port is None and not redirect.scheme:
        port = listener.port
    if port is not None and port == DEFAULT_PORTS.get((redirect.scheme or listener.protocol).upper()):
        port = None
    return replace(route, redirect=_redirect_to(redirect, port))


def _redirect_to(redirect: Redirect, port: int | None) -> Redirect:
    return replace(redirect, port=port)


def l4_routes(route: Obj, context: RouteContext) -> tuple[list[L4Route], ConfigError | None]:
    """The rules of a TCPRoute or TLSRoute."""
    spec = mapping(route.get("spec"))
    sni = tuple(host.lower() for host in texts(spec.get("hostnames"))) or ("*",)
    matches = (L4Match(sni_hosts=sni if context.kind == "TLSRoute" else ()),)
    found: list[L4Route] = []
    error: ConfigError | None = None
    try:
        for rule in objects(spec.get("rules")):
            splits, problem = context.splits(rule.get("backendRefs"), no_headers)
            error = problem or error
            if splits:
                found.append(L4Route(matches, splits))
    except InvalidRule as invalid:
        return [], invalid.error
    return found, error
