"""What a VirtualService's HTTP route does with a request, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from meshlab.minicluster.mesh.istio.hosts import resolve_host
from meshlab.minicluster.mesh.istio.reading import (
    boolean,
    integer,
    mapping,
    number,
    objects,
    seconds,
    string_map,
    text,
    texts,
    usable_regex,
)
from meshlab.minicluster.mesh.routing import (
    Cors,
    Destination,
    DirectResponse,
    Fault,
    HeaderOperations,
    Headers,
    Mirror,
    Redirect,
    Retry,
    Rewrite,
    StringMatch,
)

Note = Callable[[str, str], None]
"""Notes a problem: (code, message)."""


def destination(value: Any, namespace: str, domain: str) -> Destination:
    """A destination; short hosts belong to the resource's namespace."""
    item = mapping(value)
    return Destination(
        host=resolve_host(text(item.get("host")), namespace, domain),
        subset=text(item.get("subset")),
        port=integer(mapping(item.get("port")).get("number")),
    )


def header_operations(value: Any) -> HeaderOperations:
    """``add``, ``set`` and ``remove`` of one direction."""
    item = mapping(value)
    return HeaderOperations(
        add=tuple(string_map(item.get("add")).items()),
        set=tuple(string_map(item.get("set")).items()),
        remove=texts(item.get("remove")),
    )


def headers(value: Any) -> Headers:
    """Header operations of both directions."""
    item = mapping(value)
    return Headers(header_operations(item.get("request")), header_operations(item.get("response")))


def redirect(value: Any) -> Redirect | None:
    """An HTTP redirect."""
    if not isinstance(value, dict):
        return None
    return Redirect(
        uri=text(value.get("uri")),
        authority=text(value.get("authority")),
        scheme=text(value.get("scheme")),
        port=integer(value.get("port")),
        derive_port=text(value.get("derivePort")),
        code=integer(value.get("redirectCode")) or 301,
    )


def direct_response(value: Any) -> DirectResponse | None:
    """A fixed answer."""
    if not isinstance(value, dict):
        return None
    body = mapping(value.get("body"))
    content = body.get("string") if isinstance(body.get("string"), str) else None
    return DirectResponse(integer(value.get("status")) or 200, content, text(body.get("bytes")))


def rewrite(value: Any, note: Note) -> Rewrite | None:
    """A rewrite of path and host."""
    if not isinstance(value, dict):
        return None
    by_regex = mapping(value.get("uriRegexRewrite"))
    pattern = text(by_regex.get("match"))
    if pattern and not usable_regex(pattern):
        note("regex", f"uriRegexRewrite was left out: {pattern!r} is not a valid RE2 expression")
        pattern = ""
    return Rewrite(
        uri=text(value.get("uri")),
        authority=text(value.get("authority")),
        regex=pattern,
        substitution=text(by_regex.get("rewrite")),
    )


def retry(value: Any) -> Retry | None:
    """A retry policy; numbers in ``retryOn`` are status codes."""
    if not isinstance(value, dict):
        return None
    conditions: list[str] = []
    codes: list[int] = []
    for part in (part.strip() for part in text(value.get("retryOn")).split(",")):
        code = integer(part)
        if code is not None:
            codes.append(code)
        elif part:
            conditions.append(part)
    if codes and "retriable-status-codes" not in conditions:
        conditions.append("retriable-status-codes")
    attempts = integer(value.get("attempts"))
    return Retry(
        attempts=max(attempts, 0) if attempts is not None else 0,
        per_try_timeout_s=seconds(value.get("perTryTimeout")),
        retry_on=tuple(conditions),
        status_codes=tuple(codes),
        remote_localities=boolean(value.get("retryRemoteLocalities")) or False,
        ignore_previous_hosts=boolean(value.get("retryIgnorePreviousHosts")),
        back_off_s=seconds(value.get("backoff")),
    )


def fault(value: Any) -> Fault | None:
    """Fault injection. A part without a percentage hits nobody, as Istio's reference says."""
    if not isinstance(value, dict):
        return None
    delay, abort = mapping(value.get("delay")), mapping(value.get("abort"))
    return Fault(
        delay_s=seconds(delay.get("fixedDelay")),
        delay_percent=percentage(delay),
        abort_status=integer(abort.get("httpStatus")),
        abort_grpc_status=text(abort.get("grpcStatus")),
        abort_percent=percentage(abort),
    )


def percentage(item: Mapping[str, Any]) -> float:
    """``percentage.value``, else the old whole-number ``percent``; between 0 and 100."""
    share = item.get("percentage")
    value = number(share.get("value")) if isinstance(share, dict) else number(item.get("percent"))
    return min(max(value or 0.0, 0.0), 100.0)


def mirrors(item: Mapping[str, Any], namespace: str, domain: str) -> tuple[Mirror, ...]:
    """``mirrors``, or the older single ``mirror`` with its percentage beside it; all traffic unless one is given."""
    listed = objects(item.get("mirrors"))
    if not listed and isinstance(item.get("mirror"), dict):
        share = item.get("mirrorPercentage")
        if share is None and integer(item.get("mirrorPercent")) is not None:
            share = {"value": item["mirrorPercent"]}
        listed = [{"destination": item["mirror"], "percentage": share}]
    found = [
        Mirror(
            destination(entry.get("destination"), namespace, domain),
            100.0 if entry.get("percentage") is None else percentage(entry),
        )
        for entry in listed
    ]
    return tuple(mirror for mirror in found if mirror.destination.host and mirror.percent > 0)


def cors(value: Any, note: Note) -> Cors | None:
    """A cross-origin policy; origins are exact, prefix or regex (the old ``allowOrigin`` list is exact)."""
    if not isinstance(value, dict):
        return None
    origins: list[StringMatch] = [
        StringMatch("regex", ".*") if origin == "*" else StringMatch("exact", origin)
        for origin in texts(value.get("allowOrigin"))
    ]
    for condition in objects(value.get("allowOrigins")):
        for kind in ("exact", "prefix", "regex"):
            wanted = condition.get(kind)
            if not isinstance(wanted, str):
                continue
            if kind == "regex" and not usable_regex(wanted):
                note("regex", f"a CORS origin was left out: {wanted!r} is not a valid RE2 expression")
            elif kind == "exact" and wanted == "*":
                origins.append(StringMatch("regex", ".*"))
            else:
                origins.append(
                    StringMatch("exact" if kind == "exact" else "prefix" if kind == "prefix" else "regex", wanted)
                )
    unmatched = text(value.get("unmatchedPreflights"))
    return Cors(
        origins=tuple(origins),
        methods=texts(value.get("allowMethods")),
        allow_headers=texts(value.get("allowHeaders")),
        expose_headers=texts(value.get("exposeHeaders")),
        max_age_s=seconds(value.get("maxAge")),
        credentials=boolean(value.get("allowCredentials")),
        forward_unmatched_preflights={"FORWARD": True, "IGNORE": False}.get(unmatched),
    )
