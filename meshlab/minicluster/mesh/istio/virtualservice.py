"""VirtualService: hosts, matches and actions as a route table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.hostnames import is_network
from meshlab.minicluster.mesh.istio.delegates import Delegation, Draft, resolve_delegates
from meshlab.minicluster.mesh.istio.hosts import resolve_gateway, resolve_host
from meshlab.minicluster.mesh.istio.httpactions import (
    cors,
    destination,
    direct_response,
    fault,
    headers,
    mirrors,
    redirect,
    retry,
    rewrite,
)
from meshlab.minicluster.mesh.istio.reading import (
    Problems,
    boolean,
    created,
    exported_to,
    integer,
    mapping,
    objects,
    seconds,
    string_map,
    text,
    texts,
    usable_regex,
)
from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.routing import (
    MESH_GATEWAY,
    HttpMatch,
    HttpRoute,
    L4Match,
    L4Route,
    RouteTable,
    Split,
    StringMatch,
)


class Unusable(Exception):
    """A match that can never be handed to a proxy."""


def translate_virtual_services(
    objs: Iterable[Obj], problems: Problems, domain: str, default_export: frozenset[str]
) -> tuple[RouteTable, ...]:
    """The route tables of all VirtualServices, delegates merged into those that name them."""

    def draft(obj: Obj, ref: ConfigRef) -> list[Draft]:
        return [_draft(obj, ref, problems, domain, default_export)]

    def note(table: RouteTable, code: str, message: str) -> None:
        problems.add(f"virtualservice.{code}", table.ref, f"{table.ref}: {message}")

    return resolve_delegates([found for obj in objs for found in problems.guard(obj, draft)], note)


def _draft(obj: Obj, ref: ConfigRef, problems: Problems, domain: str, default_export: frozenset[str]) -> Draft:
    spec = mapping(obj.get("spec"))
    hosts = tuple(dict.fromkeys(resolve_host(host, ref.namespace, domain) for host in texts(spec.get("hosts"))))
    gateways = tuple(resolve_gateway(name, ref.namespace) for name in texts(spec.get("gateways"))) or (MESH_GATEWAY,)
    reader = _Reader(ref, problems, domain)
    table = RouteTable(
        hosts=hosts,
        gateways=gateways,
        namespace=ref.namespace,
        export_to=exported_to(spec.get("exportTo"), ref.namespace, default_export),
        ref=ref,
        tcp=tuple(route for item in objects(spec.get("tcp")) for route in reader.l4_route(item)),
        tls=tuple(route for item in objects(spec.get("tls")) for route in reader.l4_route(item)),
        created=created(obj),
    )
    return Draft(table, tuple(route for item in objects(spec.get("http")) for route in reader.http_route(item)))


class _Reader:
    """Reads the parts of one VirtualService."""

    def __init__(self, ref: ConfigRef, problems: Problems, domain: str) -> None:
        self.ref = ref
        self.problems = problems
        self.domain = domain

    def note(self, code: str, message: str) -> None:
        self.problems.add(f"virtualservice.{code}", self.ref, f"{self.ref}: {message}")

    def http_route(self, item: Mapping[str, Any]) -> list[HttpRoute | Delegation]:
        """One route, or none if it cannot work."""
        wanted = objects(item.get("match"))
        usable = [match for match in map(self.http_match, wanted) if match is not None]
        if wanted and not usable:
            return []
        name = text(item.get("name"))
        route = HttpRoute(
            name=name,
            matches=tuple(usable),
            splits=self.splits(item.get("route")),
            redirect=redirect(item.get("redirect")),
            direct_response=direct_response(item.get("directResponse")),
            rewrite=rewrite(item.get("rewrite"), self.note),
            timeout_s=seconds(item.get("timeout")),
            retry=retry(item.get("retries")),
            fault=fault(item.get("fault")),
            mirrors=mirrors(item, self.ref.namespace, self.domain),
            cors=cors(item.get("corsPolicy"), self.note),
            headers=headers(item.get("headers")),
        )
        if isinstance(item.get("delegate"), dict):
            named = mapping(item["delegate"])
            return [Delegation(route, text(named.get("namespace")) or self.ref.namespace, text(named.get("name")))]
        if not (route.splits or route.redirect or route.direct_response):
            self.note("action", f"route {name or '(unnamed)'} has no destination, redirect or direct response")
            return []
        return [route]

    def splits(self, value: Any) -> tuple[Split, ...]:
        """Weighted destinations; with several of them those of weight 0 get nothing and are left out."""
        found = [
            Split(
                destination(item.get("destination"), self.ref.namespace, self.domain),
                max(integer(item.get("weight")) or 0, 0),
                headers(item.get("headers")),
            )
            for item in objects(value)
        ]
        found = [split for split in found if split.destination.host]
        if len(found) > 1:
            found = [split for split in found if split.weight]
            if not found:
                self.note("weights", "the weights of a route add up to 0")
        return tuple(found)

    def http_match(self, item: Mapping[str, Any]) -> HttpMatch | None:
        """One alternative of a match; None (with a problem) if its regular expression is not usable."""
        try:
            return HttpMatch(
                name=text(item.get("name")),
                uri=self.string_match(item.get("uri")),
                ignore_uri_case=boolean(item.get("ignoreUriCase")) or False,
                scheme=self.string_match(item.get("scheme")),
                method=self.string_match(item.get("method")),
                authority=self.string_match(item.get("authority")),
                headers=self.string_matches(item.get("headers")),
                without_headers=self.string_matches(item.get("withoutHeaders")),
                query_params=self.string_matches(item.get("queryParams"), lower=False),
                port=integer(item.get("port")),
                source_labels=string_map(item.get("sourceLabels")),
                source_namespace=text(item.get("sourceNamespace")),
                gateways=tuple(resolve_gateway(name, self.ref.namespace) for name in texts(item.get("gateways"))),
                stat_prefix=text(item.get("statPrefix")),
            )
        except Unusable as error:
            self.note("regex", f"a match was left out: {error}")
            return None

    def string_matches(self, value: Any, *, lower: bool = True) -> tuple[tuple[str, StringMatch], ...]:
        """Conditions by name; those of headers do not depend on case, those of query parameters do."""
        return tuple(
            (name.lower() if lower else name, self.string_match(condition) or StringMatch("present"))
            for name, condition in sorted(mapping(value).items())
        )

    def string_match(self, value: Any) -> StringMatch | None:
        condition = mapping(value)
        if isinstance(condition.get("exact"), str):
            return StringMatch("exact", condition["exact"])
        if isinstance(condition.get("prefix"), str):
            return StringMatch("prefix", condition["prefix"])
        if condition.get("regex") == "*":
            # Not RE2, but upstream reads it as: anything.
            return StringMatch("present")
        if isinstance(condition.get("regex"), str):
            if not usable_regex(condition["regex"]):
                raise Unusable(f"{condition['regex']!r} is not a valid RE2 expression")
            return StringMatch("regex", condition["regex"])
        return None

    def l4_route(self, item: Mapping[str, Any]) -> list[L4Route]:
        """A tcp or tls route."""
        found = tuple(
            L4Match(
                sni_hosts=tuple(host.lower() for host in texts(match.get("sniHosts"))),
                destination_subnets=tuple(s for s in texts(match.get("destinationSubnets")) if is_network(s)),
                port=integer(match.get("port")),
                source_labels=string_map(match.get("sourceLabels")),
                source_namespace=text(match.get("sourceNamespace")),
                gateways=tuple(resolve_gateway(name, self.ref.namespace) for name in texts(match.get("gateways"))),
            )
            for match in objects(item.get("match"))
        )
        splits = self.splits(item.get("route"))
        return [L4Route(found, splits)] if splits else []
