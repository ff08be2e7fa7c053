"""Telling a request back: arguments, headers, origin, body."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from aiohttp import BodyPartReader, MultipartReader, web

from meshlab.minicluster.images.httpbin.responses import BINARY_TYPE, BadInput

Obj = dict[str, Any]
_ADDRESS_HEADERS = ("Fly-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP", "True-Client-IP")


def canonical(name: str) -> str:
    """A header's name as Go keeps it: ``X-Request-Id``."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def headers(request: web.BaseRequest) -> dict[str, list[str]]:
    """All headers, sorted, each with all its values; Go adds ``Host`` and hides nothing."""
    found: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        found.setdefault(canonical(name), []).append(value)
    found["Host"] = [request.headers.get("Host", request.host)]
    return dict(sorted(found.items()))


def arguments(request: web.BaseRequest) -> dict[str, list[str]]:
    """The query, sorted, each with all its values."""
    return dict(sorted(parse_qs(request.rel_url.raw_query_string, keep_blank_values=True).items()))


def argument(request: web.BaseRequest, name: str) -> str:
    """One value of the query; empty if absent."""
    return next((value for key, value in parse_qsl(request.rel_url.raw_query_string) if key == name), "")


def origin(request: web.BaseRequest) -> str:
    """The client's address: what a proxy says, else the connection's other end."""
    for name in _ADDRESS_HEADERS:
        if value := request.headers.get(name):
            return value
    if forwarded := request.headers.get("X-Forwarded-For"):
        return forwarded.partition(",")[0].strip()
    return request.remote or ""


def url(request: web.BaseRequest, path_qs: str | None = None) -> str:
    """The URL that the client asked for, as far as headers tell."""
    scheme = request.headers.get("X-Forwarded-Proto") or request.headers.get("X-Forwarded-Protocol")
    if not scheme:
        scheme = "https" if request.secure or request.headers.get("X-Forwarded-Ssl") == "on" else "http"
    raw = request.raw_path if path_qs is None else path_qs
    if "://" in raw:  # absolute form, as a proxy's client writes it
        raw = "/" + raw.partition("://")[2].partition("/")[2]
    return f"{scheme}://{request.host}{raw}"


def without_body(request: web.BaseRequest) -> Obj:
    """The document of ``/get``."""
    return {
        "args": arguments(request),
        "headers": headers(request),
        "method": request.method,
        "origin": origin(request),
        "url": url(request),
    }


async def with_body(request: web.Request, max_body_size: int) -> Obj:
    """The document of ``/post`` and its like.

    Raises:
        BadInput: the body is not what its type says, or too large.
    """
    body = await request.content.read(max_body_size + 1)
    while len(body) <= max_body_size and (more := await request.content.read(max_body_size + 1)):
        body += more
    if len(body) > max_body_size:
        raise BadInput("error parsing request body: http: request body too large")
    document = without_body(request) | {"data": "", "files": {}, "form": {}, "json": None}
    if not body:
        return document
    document["data"] = body.decode(errors="replace")
    content_type = request.headers.get("Content-Type", "").partition(";")[0]
    match content_type:
        case "text/html" | "text/plain":
            pass
        case "application/x-www-form-urlencoded":
            document["form"] = dict(sorted(parse_qs(body.decode(errors="replace"), keep_blank_values=True).items()))
        case "multipart/form-data":
            document["form"], document["files"] = await _multipart(request, body)
        case "application/json":
            try:
                document["json"] = json.loads(body)
            except ValueError as error:
                raise BadInput(f"error parsing request body: {error}") from None
        case _:
            encoded = base64.urlsafe_b64encode(body).decode()
            document["data"] = f"data:{content_type or BINARY_TYPE};base64,{encoded}"
    return document


async def _multipart(request: web.Request, body: bytes) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    import asyncio

    from aiohttp.streams import StreamReader

    # The body was read already, for "data"; the multipart reader wants a stream.
    stream = StreamReader(request.protocol, limit=2**20, loop=asyncio.get_running_loop())
    stream.feed_data(body)
    stream.feed_eof()
    form: dict[str, list[str]] = {}
    files: dict[str, list[str]] = {}
    try:
        async for part in MultipartReader(request.headers, stream):
            if isinstance(part, BodyPartReader):
                text = (await part.read(decode=True)).decode(errors="replace")
                (files if part.filename else form).setdefault(part.name or "", []).append(text)
    except (ValueError, AssertionError) as error:
        raise BadInput(f"error parsing request body: {error}") from None
    return dict(sorted(form.items())), dict(sorted(files.items()))


def dump(request: web.BaseRequest, body: bytes) -> bytes:
    """The request as it came over the wire, as far as its bytes matter."""
    lines = [f"{request.method} {request.raw_path} HTTP/{request.version.major}.{request.version.minor}"]
    lines.append(f"Host: {request.host}")
    lines += [f"{name}: {values[0]}" for name, values in headers(request).items() if name != "Host"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
