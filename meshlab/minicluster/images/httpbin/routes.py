"""The endpoints of go-httpbin, and the table that routes to them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import hashlib
import html
import json
import random
import time
import uuid
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from meshlab.minicluster.images.httpbin import bodies, echo
from meshlab.minicluster.images.httpbin.responses import (
    BINARY_TYPE,
    HTML_TYPE,
    JSON_TYPE,
    TEXT_TYPE,
    BadInput,
    Limits,
    bounded_integer,
    duration,
    error_response,
    integer,
    json_response,
    text_response,
    to_json,
    weighted_choices,
)

BASIC_REALM = 'Basic realm="Fake Realm"'
_ALL = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(slots=True)
class Httpbin:
    """The endpoints, each a coroutine of a request.

    Args:
        limits: what an operator allows.
        hostname: what ``/hostname`` tells.
        environment: what ``/env`` tells.
        prefix: in front of every path.
    """

    limits: Limits = field(default_factory=Limits)
    hostname: str = "go-httpbin"
    environment: dict[str, str] = field(default_factory=dict)
    prefix: str = ""

    # Telling requests back.

    async def index(self, request: web.Request) -> web.StreamResponse:
        if request.path != f"{self.prefix}/":
            return error_response(404)
        links = "\n".join(f"      <li><code>{html.escape(path)}</code></li>" for _, path, _ in ROUTES if path != "/")
        return text_response(bodies.INDEX.format(links=links), HTML_TYPE)

    async def get(self, request: web.Request) -> web.StreamResponse:
        return json_response(echo.without_body(request))

    async def with_body(self, request: web.Request) -> web.StreamResponse:
        return json_response(await echo.with_body(request, self.limits.max_body_size))

    async def anything(self, request: web.Request) -> web.StreamResponse:
        return await (self.get if request.method == "HEAD" else self.with_body)(request)

    async def headers(self, request: web.Request) -> web.StreamResponse:
        return json_response({"headers": echo.headers(request)})

    async def ip(self, request: web.Request) -> web.StreamResponse:
        return json_response({"origin": echo.origin(request)})

    async def user_agent(self, request: web.Request) -> web.StreamResponse:
        return json_response({"user-agent": request.headers.get("User-Agent", "")})

    async def host_name(self, request: web.Request) -> web.StreamResponse:
        return json_response({"hostname": self.hostname})

    async def env(self, request: web.Request) -> web.StreamResponse:
        return json_response({"env": self.environment})

    async def dump(self, request: web.Request) -> web.StreamResponse:
        return text_response(echo.dump(request, await request.read()))

    # Statuses, redirects, cookies, authentication.

    async def status(self, request: web.Request) -> web.StreamResponse:
        text = request.match_info["code"]
        if "," in text:
            choices = weighted_choices(text)
            code = random.choices([code for code, _ in choices], [weight for _, weight in choices])[0]
        else:
            try:
                code = int(text)
            except ValueError:
                raise BadInput(
                    f'invalid status code: "{text}": strconv.Atoi: parsing "{text}": invalid syntax'
                ) from None
            if not 100 <= code <= 599:
                raise BadInput(f"invalid status code: {code} not in range [100, 599]")
        return self._status(code)

    def _status(self, code: int) -> web.Response:
        headers = {"Content-Type": TEXT_TYPE}
        body = ""
        match code:
            case 301 | 302 | 303 | 305 | 307:
                headers["Location"] = f"{self.prefix}/redirect/1"
            case 300 | 308:
                headers["Location"] = f"{self.prefix}/image/jpeg"
            case 401:
                headers["WWW-Authenticate"] = BASIC_REALM
            case 407:
                headers["Proxy-Authenticate"] = BASIC_REALM
            case 406:
                headers["Content-Type"] = JSON_TYPE
                accept = ["image/webp", "image/svg+xml", "image/jpeg", "image/png", "image/"]
                document = {"message": "Client did not request a supported media type", "accept": accept}
                body = to_json(document).decode()
            case 418:
                body = "I'm a teapot!"
                headers["X-More-Info"] = "http://tools.ietf.org/html/rfc2324"
        return (
            web.Response(text=body, status=code, headers=headers)
            if body
            else web.Response(status=code, headers=headers)
        )

    async def unstable(self, request: web.Request) -> web.StreamResponse:
        text = echo.argument(request, "failure_rate") or "0.5"
        try:
            rate = float(text)
        except ValueError:
            raise BadInput(f'invalid failure rate: strconv.ParseFloat: parsing "{text}": invalid syntax') from None
        if not 0 <= rate <= 1:
            raise BadInput(f"invalid failure rate: {rate:g} not in range [0, 1]")
        return text_response("", status=500 if self._random(request).random() < rate else 200)

    async def redirect(self, request: web.Request) -> web.StreamResponse:
        return self._redirect(request, relative=echo.argument(request, "absolute").lower() != "true")

    async def relative_redirect(self, request: web.Request) -> web.StreamResponse:
        return self._redirect(request, relative=True)

    async def absolute_redirect(self, request: web.Request) -> web.StreamResponse:
        return self._redirect(request, relative=False)

    def _redirect(self, request: web.Request, *, relative: bool) -> web.Response:
        count = integer(request.match_info["n"], "redirect count")
        if count < 1:
            raise BadInput("redirect count must be > 0")
        kind = "relative" if relative else "absolute"
        path = f"{self.prefix}/get" if count == 1 else f"{self.prefix}/{kind}-redirect/{count - 1}"
        return self._location(path if relative else echo.url(request, path))

    async def redirect_to(self, request: web.Request) -> web.StreamResponse:
        target = echo.argument(request, "url")
        if not target:
            raise BadInput("missing required query parameter: url")
        try:
            urlsplit(target)
        except ValueError as error:
            raise BadInput(f"invalid url: {error}") from None
        text = echo.argument(request, "status_code")
        return self._location(target, bounded_integer(text, "status code", 300, 399) if text else 302)

    def _location(self, location: str, status: int = 302) -> web.Response:
        return web.Response(status=status, headers={"Location": location})

    async def cookies(self, request: web.Request) -> web.StreamResponse:
        return json_response(dict(sorted(request.cookies.items())))

    async def set_cookies(self, request: web.Request) -> web.StreamResponse:
        response = self._location(f"{self.prefix}/cookies")
        for name, values in echo.arguments(request).items():
            response.set_cookie(name, values[0], httponly=True, path="")
        return response

    async def delete_cookies(self, request: web.Request) -> web.StreamResponse:
        response = self._location(f"{self.prefix}/cookies")
        for name in echo.arguments(request):
            response.del_cookie(name, path="", httponly=True)
        return response

    async def basic_auth(self, request: web.Request) -> web.StreamResponse:
        user, authorized = self._credentials(request)
        document = {"authenticated": authorized, "user": user, "authorized": authorized}
        headers = {} if authorized else {"WWW-Authenticate": BASIC_REALM}
        return json_response(document, 200 if authorized else 401, headers)

    async def hidden_basic_auth(self, request: web.Request) -> web.StreamResponse:
        user, authorized = self._credentials(request)
        if not authorized:
            return error_response(404)
        return json_response({"authenticated": True, "user": user, "authorized": True})

    def _credentials(self, request: web.Request) -> tuple[str, bool]:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        user = password = ""
        if scheme.lower() == "basic":
            try:
                user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (ValueError, binascii.Error):
                user = password = ""
        wanted = request.match_info["user"], request.match_info["password"]
        return user, (user, password) == wanted

    async def bearer(self, request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        return json_response({"authenticated": True, "token": token})

    # Time.

    async def delay(self, request: web.Request) -> web.StreamResponse:
        seconds = duration(request.match_info["seconds"], "duration", self.limits)
        await asyncio.sleep(seconds)
        response = await self.with_body(request)
        response.headers["Server-Timing"] = f'initial_delay;dur={seconds * 1000:.2f};desc="initial delay"'
        return response

    async def drip(self, request: web.Request) -> web.StreamResponse:
        spread = duration(echo.argument(request, "duration") or "2", "duration", self.limits)
        delay = duration(echo.argument(request, "delay") or "2", "delay", self.limits)
        count = bounded_integer(echo.argument(request, "numbytes") or "10", "numbytes", 1, self.limits.max_body_size)
        code = bounded_integer(echo.argument(request, "code") or "200", "status code", 100, 599)
        if spread + delay > self.limits.max_duration_s:
            raise BadInput(f"too much time: {spread:g}s+{delay:g}s > {self.limits.max_duration_s:g}s")
        await asyncio.sleep(delay)
        response = web.StreamResponse(status=code, headers={"Content-Type": TEXT_TYPE})
        response.content_length = count
        await response.prepare(request)
        if spread == 0:
            await response.write(b"*" * count)
        else:
            pause = spread / max(count - 1, 1)
            started = time.monotonic()
            for number in range(count):
                await response.write(b"*")
                if number < count - 1:
                    await asyncio.sleep(max(0.0, started + (number + 1) * pause - time.monotonic()))
        await response.write_eof()
        return response

    async def server_sent_events(self, request: web.Request) -> web.StreamResponse:
        count = bounded_integer(echo.argument(request, "count") or "10", "count", 1, 1000)
        spread = duration(echo.argument(request, "duration") or "5", "duration", self.limits)
        delay = duration(echo.argument(request, "delay") or "0", "delay", self.limits)
        await asyncio.sleep(delay)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)
        for number in range(count):
            event = {"id": number, "timestamp": time.time_ns() // 1_000_000}
            await response.write(f"event: ping\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode())
            if number < count - 1:
                await asyncio.sleep(spread / max(count - 1, 1))
        await response.write_eof()
        return response

    # Bodies.

    def _random(self, request: web.Request) -> random.Random:
        seed = echo.argument(request, "seed")
        return random.Random(integer(seed, "seed")) if seed else random.Random()

    async def bytes_(self, request: web.Request) -> web.StreamResponse:
        count = self._byte_count(request)
        return text_response(self._random(request).randbytes(count), BINARY_TYPE)

    async def stream_bytes(self, request: web.Request) -> web.StreamResponse:
        count = self._byte_count(request)
        size = max(1, integer(echo.argument(request, "chunk_size") or "10240", "chunk_size"))
        data = self._random(request).randbytes(count)
        response = web.StreamResponse(headers={"Content-Type": BINARY_TYPE})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for start in range(0, count, size):
            await response.write(data[start : start + size])
        await response.write_eof()
        return response

    def _byte_count(self, request: web.Request) -> int:
        count = integer(request.match_info["n"], "byte count")
        if count < 0:
            raise BadInput(f"invalid byte count: {count} must be greater than 0")
        if count > self.limits.max_body_size:
            raise BadInput(f"invalid byte count: {count} not in range [1, {self.limits.max_body_size}]")
        return count

    async def stream(self, request: web.Request) -> web.StreamResponse:
        count = min(max(integer(request.match_info["n"], "count"), 1), 100)
        told = echo.without_body(request)
        response = web.StreamResponse(headers={"Content-Type": JSON_TYPE})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for number in range(count):
            line = {"id": number} | {key: told[key] for key in ("args", "headers", "origin", "url")}
            await response.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
        await response.write_eof()
        return response

    async def range_(self, request: web.Request) -> web.StreamResponse:
        count = integer(request.match_info["n"], "count")
        if not 1 <= count <= self.limits.max_body_size:
            raise BadInput(f"invalid count: {count} not in range [1, {self.limits.max_body_size}]")
        text = echo.argument(request, "duration")
        await asyncio.sleep(duration(text, "duration", self.limits) if text else 0)
        data = bytes(97 + offset % 26 for offset in range(count))
        headers = {"ETag": f"range{count}", "Accept-Ranges": "bytes", "Content-Type": TEXT_TYPE}
        try:
            wanted = request.http_range
        except ValueError:
            wanted = slice(None)
        if wanted.start is None and wanted.stop is None:
            return web.Response(body=data, headers=headers)
        start = wanted.start if wanted.start >= 0 else max(0, count + wanted.start)
        stop = min(count, wanted.stop if wanted.stop is not None else count)
        if start >= count or start >= stop:
            headers["Content-Range"] = f"bytes */{count}"
            return web.Response(text="invalid range: failed to overlap\n", status=416, headers=headers)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{count}"
        return web.Response(body=data[start:stop], status=206, headers=headers)

    async def compressed(self, request: web.Request) -> web.StreamResponse:
        kind = request.match_info.route.resource.canonical.removeprefix(f"{self.prefix}/")  # type: ignore[union-attr]
        document = echo.without_body(request)
        document["url"] = ""
        if kind == "gzip":
            body = gzip.compress(to_json(document | {"gzipped": True}))
        else:
            body = zlib.compress(to_json(document | {"deflated": True}))
        return web.Response(body=body, headers={"Content-Type": JSON_TYPE, "Content-Encoding": kind})

    async def html(self, request: web.Request) -> web.StreamResponse:
        return text_response(bodies.HTML, HTML_TYPE)

    async def xml(self, request: web.Request) -> web.StreamResponse:
        return text_response(bodies.XML, "application/xml")

    async def json(self, request: web.Request) -> web.StreamResponse:
        return json_response(bodies.SLIDESHOW)

    async def utf8(self, request: web.Request) -> web.StreamResponse:
        return text_response(bodies.UTF8, HTML_TYPE)

    async def robots(self, request: web.Request) -> web.StreamResponse:
        return text_response(bodies.ROBOTS)

    async def deny(self, request: web.Request) -> web.StreamResponse:
        return text_response(bodies.DENY)

    async def form(self, request: web.Request) -> web.StreamResponse:
        return text_response(bodies.FORM, HTML_TYPE)

    async def uuid(self, request: web.Request) -> web.StreamResponse:
        return json_response({"uuid": str(uuid.uuid4())})

    async def base64(self, request: web.Request) -> web.StreamResponse:
        data = request.match_info["data"]
        operation = request.match_info.get("operation", "decode")
        if operation == "encode":
            return text_response(base64.urlsafe_b64encode(data.encode()))
        if operation != "decode":
            raise BadInput(f"invalid operation: {operation}")
        try:
            return text_response(base64.b64decode(data.replace("-", "+").replace("_", "/"), validate=True))
        except (ValueError, binascii.Error):
            raise BadInput("base64 decode failed: illegal base64 data at input byte 0") from None

    async def image(self, request: web.Request) -> web.StreamResponse:
        found = bodies.image(request.match_info["kind"])
        return text_response(*found) if found else error_response(404)

    async def image_accept(self, request: web.Request) -> web.StreamResponse:
        accept = request.headers.get("Accept", "")
        wanted = (("image/*", "png"), ("image/png", "png"), ("image/svg+xml", "svg"), ("image/jpeg", "jpeg"))
        kind = next((kind for text, kind in wanted if text in accept), None if accept else "png")
        found = bodies.image(kind) if kind else None
        return text_response(*found) if found else error_response(415)

    async def links(self, request: web.Request) -> web.StreamResponse:
        count = integer(request.match_info["n"], "link count")
        if not 0 <= count <= 256:
            raise BadInput(f"invalid link count: {count} must be in range [0, 256]")
        if "offset" not in request.match_info:
            return self._location(f"{request.path}/0")
        offset = integer(request.match_info["offset"], "offset")
        parts = [
            f"{n} " if n == offset else f'<a href="{self.prefix}/links/{count}/{n}">{n}</a> ' for n in range(count)
        ]
        text = f"<html><head><title>Links</title></head><body>{''.join(parts)}</body></html>"
        return text_response(text, HTML_TYPE)

    async def websocket_echo(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return error_response(400, "websocket handshake failed: missing or invalid upgrade header")
        socket = web.WebSocketResponse(max_msg_size=self.limits.max_body_size, compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    # Caches and headers.

    async def cache(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("If-Modified-Since") or request.headers.get("If-None-Match"):
            return web.Response(status=304)
        modified = formatdate(usegmt=True)
        etag = hashlib.sha1(modified.encode(), usedforsecurity=False).hexdigest()
        return json_response(echo.without_body(request), headers={"Last-Modified": modified, "ETag": etag})

    async def cache_control(self, request: web.Request) -> web.StreamResponse:
        seconds = integer(request.match_info["n"], "seconds")
        return json_response(echo.without_body(request), headers={"Cache-Control": f"public, max-age={seconds}"})

    async def etag(self, request: web.Request) -> web.StreamResponse:
        tag = f'"{request.match_info["etag"]}"'
        headers = {"ETag": tag, "Content-Type": TEXT_TYPE}

        def listed(name: str) -> bool:
            values = [value.strip().removeprefix("W/") for value in request.headers.get(name, "").split(",")]
            return "*" in values or tag in values

        if "If-Match" in request.headers and not listed("If-Match"):
            return web.Response(status=412, headers=headers)
        if listed("If-None-Match"):
            return web.Response(status=304, headers=headers)
        return web.Response(body=to_json(echo.without_body(request)), headers=headers)

    async def response_headers(self, request: web.Request) -> web.StreamResponse:
        arguments = echo.arguments(request)
        arguments.setdefault("Content-Type", [JSON_TYPE])
        shown = arguments
        if "html" in arguments["Content-Type"][0] or "xml" in arguments["Content-Type"][0]:
            # The body would be run by a browser: the client's own words are escaped in it.
            shown = {html.escape(key): [html.escape(value) for value in values] for key, values in arguments.items()}
        response = web.Response(body=to_json(dict(sorted(shown.items()))))
        del response.headers["Content-Type"]
        try:
            for name, values in arguments.items():
                for value in values:
                    response.headers.add(name, value)
        except ValueError as error:
            raise BadInput(str(error)) from None
        return response

    async def not_implemented(self, request: web.Request) -> web.StreamResponse:
        return error_response(501)


Endpoint = Callable[[Httpbin, web.Request], Awaitable[web.StreamResponse]]

ROUTES: tuple[tuple[tuple[str, ...], str, Endpoint], ...] = (
    (("GET",), "/", Httpbin.index),
    (_ALL, "/absolute-redirect/{n}", Httpbin.absolute_redirect),
    (_ALL, "/anything", Httpbin.anything),
    (_ALL, "/anything/{rest:.*}", Httpbin.anything),
    (("GET",), "/base64/{data}", Httpbin.base64),
    (("GET",), "/base64/{operation}/{data}", Httpbin.base64),
    (("GET",), "/basic-auth/{user}/{password}", Httpbin.basic_auth),
    (("GET",), "/bearer", Httpbin.bearer),
    (("GET",), "/brotli", Httpbin.not_implemented),
    (("GET",), "/bytes/{n}", Httpbin.bytes_),
    (("GET",), "/cache", Httpbin.cache),
    (("GET",), "/cache/{n}", Httpbin.cache_control),
    (("GET",), "/cookies", Httpbin.cookies),
    (("GET",), "/cookies/delete", Httpbin.delete_cookies),
    (("GET",), "/cookies/set", Httpbin.set_cookies),
    (("GET",), "/deflate", Httpbin.compressed),
    (_ALL, "/delay/{seconds}", Httpbin.delay),
    (("DELETE",), "/delete", Httpbin.with_body),
    (("GET",), "/deny", Httpbin.deny),
    (("GET",), "/drip", Httpbin.drip),
    (_ALL, "/dump/request", Httpbin.dump),
    (("GET",), "/encoding/utf8", Httpbin.utf8),
    (("GET",), "/env", Httpbin.env),
    (("GET",), "/etag/{etag}", Httpbin.etag),
    (("GET",), "/forms/post", Httpbin.form),
    (("GET",), "/get", Httpbin.get),
    (("GET",), "/gzip", Httpbin.compressed),
    (("GET",), "/headers", Httpbin.headers),
    (("GET",), "/hidden-basic-auth/{user}/{password}", Httpbin.hidden_basic_auth),
    (("GET",), "/hostname", Httpbin.host_name),
    (("GET",), "/html", Httpbin.html),
    (("GET",), "/image", Httpbin.image_accept),
    (("GET",), "/image/{kind}", Httpbin.image),
    (("GET",), "/ip", Httpbin.ip),
    (("GET",), "/json", Httpbin.json),
    (("GET",), "/links/{n}", Httpbin.links),
    (("GET",), "/links/{n}/{offset}", Httpbin.links),
    (("PATCH",), "/patch", Httpbin.with_body),
    (("POST",), "/post", Httpbin.with_body),
    (("PUT",), "/put", Httpbin.with_body),
    (("GET",), "/range/{n}", Httpbin.range_),
    (_ALL, "/redirect-to", Httpbin.redirect_to),
    (("GET",), "/redirect/{n}", Httpbin.redirect),
    (("GET",), "/relative-redirect/{n}", Httpbin.relative_redirect),
    (("GET", "POST"), "/response-headers", Httpbin.response_headers),
    (("GET",), "/robots.txt", Httpbin.robots),
    (("GET",), "/sse", Httpbin.server_sent_events),
    (_ALL, "/status/{code}", Httpbin.status),
    (("GET",), "/stream-bytes/{n}", Httpbin.stream_bytes),
    (("GET",), "/stream/{n}", Httpbin.stream),
    (_ALL, "/unstable", Httpbin.unstable),
    (("GET",), "/user-agent", Httpbin.user_agent),
    (("GET",), "/uuid", Httpbin.uuid),
    (("GET",), "/websocket/echo", Httpbin.websocket_echo),
    (("GET",), "/xml", Httpbin.xml),
)
