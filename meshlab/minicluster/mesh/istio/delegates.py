"""Delegation between VirtualServices: a root's route that names a delegate becomes that delegate's routes.

The rules are upstream's: a delegate's match must be no wider than one of the root's, or its route is left out; what a
delegate leaves open comes from the root; delegates do not delegate further.
Source: https://istio.io/latest/docs/reference/config/networking/virtual-service/#Delegate
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from meshlab.minicluster.mesh.model import visible
from meshlab.minicluster.mesh.routing import Headers, HttpMatch, HttpRoute, RouteTable, StringMatch

Conditions = tuple[tuple[str, StringMatch], ...]


class Note(Protocol):
    """Notes a problem of a VirtualService."""

    def __call__(self, table: RouteTable, code: str, message: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Delegation:
    """A route of a root VirtualService whose actions another VirtualService decides."""

    route: HttpRoute
    """Its matches, and what delegates inherit; it has no action of its own."""
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A VirtualService before delegation: the table without HTTP routes, and those routes in their order."""

    table: RouteTable
    http: tuple[HttpRoute | Delegation, ...]

    @property
    def is_delegate(self) -> bool:
        """Whether it only lends its routes to others."""
        return not self.table.hosts


def resolve_delegates(drafts: Sequence[Draft], note: Note) -> tuple[RouteTable, ...]:
    """The route tables of all VirtualServices that have hosts, delegates merged into them."""
    delegates = {(d.table.namespace, d.table.ref.name): d for d in drafts if d.is_delegate}
    return tuple(
        replace(draft.table, http=tuple(_routes(draft, delegates, note))) for draft in drafts if not draft.is_delegate
    )


def _routes(draft: Draft, delegates: Mapping[tuple[str, str], Draft], note: Note) -> Iterable[HttpRoute]:
    for entry in draft.http:
        if isinstance(entry, HttpRoute):
            yield entry
            continue
        named = f"{entry.namespace}/{entry.name}"
        delegate = delegates.get((entry.namespace, entry.name))
        if delegate is None:
            note(draft.table, "delegate", f"there is no delegate VirtualService {named}; the route was left out")
        elif not visible(delegate.table.export_to, draft.table.namespace):
            note(draft.table, "delegate", f"delegate {named} is not exported to {draft.table.namespace}")
        else:
            for route in delegate.http:
                merged = _merge(entry.route, route) if isinstance(route, HttpRoute) else None
                if merged is None:
                    label = route.name or "(unnamed)" if isinstance(route, HttpRoute) else "(delegating further)"
                    note(
                        draft.table,
                        "delegate",
                        f"route {label or '(unnamed)'} of {named} does not fit and was left out",
                    )
                else:
                    yield merged


def _merge(root: HttpRoute, delegate: HttpRoute) -> HttpRoute | None:
    """A delegate's route with what it leaves open taken from the root's; None if their matches exclude each other."""
    found = _merged_matches(root.matches, delegate.matches)
    if found is None:
        return None
    return replace(
        delegate,
        name="-".join(name for name in (root.name, delegate.name) if name),
        matches=found,
        rewrite=delegate.rewrite or root.rewrite,
        timeout_s=root.timeout_s if delegate.timeout_s is None else delegate.timeout_s,
        retry=delegate.retry or root.retry,
        fault=delegate.fault or root.fault,
        mirrors=delegate.mirrors or root.mirrors,
        cors=delegate.cors or root.cors,
        headers=root.headers if delegate.headers == Headers() else delegate.headers,
    )


def _merged_matches(root: Sequence[HttpMatch], delegate: Sequence[HttpMatch]) -> tuple[HttpMatch, ...] | None:
    if not root or not delegate:
        return (*root, *delegate)
    found: list[HttpMatch] = []
    for narrower in delegate:
        fitting = [_merged_match(wider, narrower) for wider in root if not _conflict(wider, narrower)]
        if not fitting:
            return None
        found += fitting
    return tuple(found)


def _merged_match(root: HttpMatch, delegate: HttpMatch) -> HttpMatch:
    return replace(
        delegate,
        name="-".join(name for name in (root.name, delegate.name) if name),
        uri=delegate.uri or root.uri,
        scheme=delegate.scheme or root.scheme,
        method=delegate.method or root.method,
        authority=delegate.authority or root.authority,
        headers=_joined(root.headers, delegate.headers),
        without_headers=_joined(root.without_headers, delegate.without_headers),
        query_params=_joined(root.query_params, delegate.query_params),
        port=root.port if delegate.port is None else delegate.port,
        source_labels={**root.source_labels, **delegate.source_labels},
        source_namespace=delegate.source_namespace or root.source_namespace,
        gateways=delegate.gateways or root.gateways,
        stat_prefix=delegate.stat_prefix or root.stat_prefix,
    )


def _joined(root: Conditions, delegate: Conditions) -> Conditions:
    return tuple(sorted({**dict(root), **dict(delegate)}.items()))


def _conflict(root: HttpMatch, delegate: HttpMatch) -> bool:
    pairs = [
        (root.uri, delegate.uri),
        (root.scheme, delegate.scheme),
        (root.method, delegate.method),
        (root.authority, delegate.authority),
    ]
    for wider, narrower in (
        (root.headers, delegate.headers),
        (root.without_headers, delegate.without_headers),
        (root.query_params, delegate.query_params),
    ):
        known = dict(wider)
        pairs += [(known.get(name), condition) for name, condition in narrower]
    if any(_excludes(wider, narrower) for wider, narrower in pairs):
        return True
    if root.ignore_uri_case != delegate.ignore_uri_case:
        return True
    if None not in (root.port, delegate.port) and root.port != delegate.port:
        return True
    shared = root.source_labels.keys() & delegate.source_labels.keys()
    return any(root.source_labels[key] != delegate.source_labels[key] for key in shared)


def _excludes(root: StringMatch | None, delegate: StringMatch | None) -> bool:
    """Whether a delegate's condition is not within the root's; regular expressions never are, for upstream."""
    if root is None or delegate is None:
        return False
    if "regex" in (root.kind, delegate.kind):
        return True
    if root.kind == "exact":
        return (delegate.kind, delegate.value) != ("exact", root.value)
    if root.kind == "prefix":
        return delegate.kind not in ("exact", "prefix") or not delegate.value.startswith(root.value)
    return True
