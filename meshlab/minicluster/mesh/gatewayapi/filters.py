"""Filters of HTTPRoutes and GRPCRoutes as actions of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshlab.minicluster.mesh.gatewayapi.backends import InvalidRule, RouteContext
from meshlab.minicluster.mesh.gatewayapi.status import ConfigError
from meshlab.minicluster.mesh.istio.reading import boolean, integer, mapping, number, objects, text, texts
from meshlab.minicluster.mesh.routing import (
    Cors,
    HeaderOperations,
    Headers,
    Mirror,
    Redirect,
    Rewrite,
    StringMatch,
)


@dataclass(slots=True)
class Filtered:
    """What the filters of a rule do."""

    headers: Headers = field(default_factory=Headers)
    redirect: Redirect | None = None
    rewrite: Rewrite | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: Cors | None = None
    error: ConfigError | None = None


def read_filters(filters: Any, context: RouteContext, allowed: frozenset[str]) -> Filtered:
    """Read a rule's filters.

    Raises:
        InvalidRule: one of them is of a type that is not supported.
    """
    found = Filtered()
    for item in objects(filters):
        kind = text(item.get("type"))
        if kind not in allowed:
            raise InvalidRule("InvalidFilter", f'unsupported filter type "{kind}"')
        match kind:
            case "RequestHeaderModifier":
                found.headers = Headers(_operations(item.get("requestHeaderModifier")), found.headers.response)
            case "ResponseHeaderModifier":
                found.headers = Headers(found.headers.request, _operations(item.get("responseHeaderModifier")))
            case "RequestRedirect":
                found.redirect = _redirect(mapping(item.get("requestRedirect")))
            case "URLRewrite":
                found.rewrite = _rewrite(mapping(item.get("urlRewrite")))
            case "CORS":
                found.cors = _cors(mapping(item.get("cors")))
            case "RequestMirror":
                mirror, error = _mirror(mapping(item.get("requestMirror")), context)
                found.error = error or found.error
                if error is None:
                    found.mirrors = (*found.mirrors, mirror)
    return found


HTTP_FILTERS = frozenset(
    ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS", "RequestMirror"]
)
GRPC_FILTERS = frozenset(["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror"])
BACKEND_FILTERS = frozenset(["RequestHeaderModifier", "ResponseHeaderModifier"])
"""What Istio supports in rules, and on a single backendRef."""


def _operations(value: Any) -> HeaderOperations:
    item = mapping(value)
    return HeaderOperations(
        add=_header_list(item.get("add")), set=_header_list(item.get("set")), remove=texts(item.get("remove"))
    )


def _header_list(value: Any) -> tuple[tuple[str, str], ...]:
    """Header names in lower case; of equal names the first one counts."""
    found: dict[str, str] = {}
    for item in objects(value):
        found.setdefault(text(item.get("name")).lower(), text(item.get("value")))
    return tuple(found.items())


def _redirect(item: Mapping[str, Any]) -> Redirect:
    path = mapping(item.get("path"))
    uri = ""
    if path.get("type") == "ReplaceFullPath":
        uri = text(path.get("replaceFullPath"))
    elif path.get("type") == "ReplacePrefixMatch":
        uri = "%PREFIX()%" + _prefix(text(path.get("replacePrefixMatch")))
    return Redirect(
        uri=uri,
        authority=text(item.get("hostname")),
        scheme=text(item.get("scheme")),
        port=integer(item.get("port")),
        code=integer(item.get("statusCode")) or 302,
    )


def _rewrite(item: Mapping[str, Any]) -> Rewrite | None:
    path, authority = mapping(item.get("path")), text(item.get("hostname"))
    if path.get("type") == "ReplaceFullPath":
        return Rewrite(authority=authority, regex="/.*", substitution=text(path.get("replaceFullPath")))
    if path.get("type") == "ReplacePrefixMatch":
        return Rewrite(uri=_prefix(text(path.get("replacePrefixMatch"))), authority=authority)
    return Rewrite(authority=authority) if authority else None


def _prefix(value: str) -> str:
    """A replacement for a prefix: one slash at its end means nothing, and nothing means ``/``."""
    return value.removesuffix("/") or "/"


def _cors(item: Mapping[str, Any]) -> Cors:
    return Cors(
        origins=tuple(
            StringMatch("regex", ".*") if origin == "*" else StringMatch("exact", origin)
            for origin in texts(item.get("allowOrigins"))
            if origin
        ),
        methods=texts(item.get("allowMethods")),
        allow_headers=texts(item.get("allowHeaders")),
        expose_headers=texts(item.get("exposeHeaders")),
        max_age_s=number(item.get("maxAge")) or None,
        credentials=True if boolean(item.get("allowCredentials")) else None,
    )


def _mirror(item: Mapping[str, Any], context: RouteContext) -> tuple[Mirror, ConfigError | None]:
    destination, error = context.destination(mapping(item.get("backendRef")))
    share, percent = mapping(item.get("fraction")), number(item.get("percent"))
    if share:
        percent = 100 * (number(share.get("numerator")) or 0) / (number(share.get("denominator")) or 100)
    return Mirror(destination, 100.0 if percent is None else percent), error
