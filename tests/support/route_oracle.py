"""What a request from a sidecar should meet, worked out from VirtualServices as their reference describes them.

Written without the translator's code, on the plain resources. It knows `istio_strategies`' world and no more.
Source: https://istio.io/latest/docs/reference/config/networking/virtual-service/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshlab.minicluster.kubeapi import Obj

CLIENT_LABELS = {"app": "client"}
FULL = {"shop": "shop.default.svc.cluster.local"}
SHOP, CART = "shop.default.svc.cluster.local", "cart.other.svc.cluster.local"


@dataclass(frozen=True)
class Request:
    """A request to the shop's port 80."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What may come back."""

    status: int
    pods: frozenset[str] = frozenset()
    """Who may have answered; empty: the proxy itself."""
    location: str = ""
    path: str = ""
    """What the server sees; empty: it does not matter."""


def expected(request: Request, resources: Sequence[Obj]) -> Outcome:
    """The outcome of a request from the client to ``http://shop``."""
    service = _table(resources, SHOP)
    if service is None:
        return _forwarded([{"destination": {"host": SHOP}}], resources, request.path)
    for route in service["spec"]["http"]:
        for match in route.get("match") or [{}]:
            if _holds(match, request):
                return _act(route, match, request, resources)
    return Outcome(404)


def _table(resources: Sequence[Obj], host: str) -> Obj | None:
    """The oldest VirtualService for the most specific pattern."""
    best: tuple[int, Obj] | None = None
    for obj in resources:
        if obj["kind"] != "VirtualService" or "mesh" not in obj["spec"].get("gateways", ["mesh"]):
            continue
        for pattern in obj["spec"]["hosts"]:
            full = FULL.get(pattern, pattern)
            length = (
                len(full) + 1000 if full == host else len(full) if full[0] == "*" and host.endswith(full[1:]) else 0
            )
            if length and (best is None or length > best[0]) and _routable(obj):
                best = (length, obj)
    return best[1] if best else None


def _routable(table: Obj) -> bool:
    return bool(table["spec"].get("http"))


def _holds(match: Obj, request: Request) -> bool:
    if "gateways" in match:
        if "mesh" not in match["gateways"]:
            return False
    elif any(CLIENT_LABELS.get(k) != v for k, v in match.get("sourceLabels", {}).items()) or match.get(
        "sourceNamespace", "default"
    ) != ("default"):
        return False
    fold = match.get("ignoreUriCase", False)
    uri = match.get("uri")
    if uri is not None and not _string(uri, request.path, fold=fold and "regex" not in uri):
        return False
    query = dict(part.partition("=")[::2] for part in request.query.split("&") if part)
    return (
        match.get("port", 80) == 80
        and _string(match.get("method"), request.method)
        and _string(match.get("scheme"), "http")
        and _string(match.get("authority"), "shop")
        and all(_present(c, request.headers.get(n)) for n, c in match.get("headers", {}).items())
        and not any(_present(c, request.headers.get(n)) for n, c in match.get("withoutHeaders", {}).items())
        and all(_present(c, query.get(n)) for n, c in match.get("queryParams", {}).items())
    )


def _present(condition: Obj, value: str | None) -> bool:
    return value is not None and _string(condition, value)


def _string(condition: Obj | None, value: str, *, fold: bool = False) -> bool:
    if not condition:
        return True
    ((kind, wanted),) = condition.items()
    if fold:
        wanted, value = wanted.lower(), value.lower()
    if kind == "exact":
        return bool(value == wanted)
    return value.startswith(wanted) if kind == "prefix" else re.fullmatch(wanted, value) is not None


def _act(route: Obj, match: Obj, request: Request, resources: Sequence[Obj]) -> Outcome:
    if "redirect" in route:
        return _redirected(route["redirect"], request)
    if "directResponse" in route:
        return Outcome(route["directResponse"]["status"])
    abort = route.get("fault", {}).get("abort")
    if abort:
        return Outcome(abort["httpStatus"])
    return _forwarded(route["route"], resources, _rewritten(route.get("rewrite", {}), match, request.path))


def _redirected(redirect: Obj, request: Request) -> Outcome:
    scheme = redirect.get("scheme", "http")
    port = redirect.get("port")
    shown = "" if port in (None, 80 if scheme == "http" else 443) else f":{port}"
    path = redirect.get("uri") or request.path
    query = f"?{request.query}" if request.query else ""
    return Outcome(
        redirect.get("redirectCode", 301),
        location=f"{scheme}://{redirect.get('authority', 'shop')}{shown}{path}{query}",
    )


def _rewritten(rewrite: Obj, match: Obj, path: str) -> str:
    uri = match.get("uri") or {"prefix": "/"}
    if "uriRegexRewrite" in rewrite:
        return re.sub(rewrite["uriRegexRewrite"]["match"], rewrite["uriRegexRewrite"]["rewrite"], path)
    if "uri" not in rewrite:
        return path
    if "regex" in uri:
        return ""
    replaced = len(uri.get("prefix") or uri["exact"])
    return str(rewrite["uri"]) + path[replaced:]


def _forwarded(route: Sequence[Obj], resources: Sequence[Obj], path: str) -> Outcome:
    """Everybody who has a share; a subset that nobody defines cannot answer."""
    shares = [r for r in route if len(route) == 1 or r.get("weight")]
    found = [_pods(share["destination"], resources) for share in shares]
    if all(not pods for pods in found):
        return Outcome(503)
    if any(not pods for pods in found):
        return Outcome(0)  # either, by chance
    return Outcome(200, frozenset().union(*found), path=path)


def _pods(destination: Any, resources: Sequence[Obj]) -> frozenset[str]:
    host = FULL.get(destination["host"], destination["host"])
    if host == CART:
        return frozenset({"cart-v1"})
    if "subset" not in destination:
        return frozenset({"shop-v1", "shop-v2"})
    subset = destination["subset"]
    return frozenset({f"shop-{subset}"}) if subset in _subsets(resources) else frozenset()


def _subsets(resources: Sequence[Obj]) -> set[str]:
    """Subsets of the rules for the shop's own name; those of a wildcard count only where there is no such rule."""
    rules = [r["spec"] for r in resources if r["kind"] == "DestinationRule"]
    exact = [r for r in rules if r["host"] == "shop"]
    return {s["name"] for r in exact or rules for s in r.get("subsets", [])}
