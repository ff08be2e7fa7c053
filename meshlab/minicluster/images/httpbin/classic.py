"""``kennethreitz/httpbin`` and ``kong/httpbin``: the Python httpbin of older samples, run by gunicorn.

It answers at the same paths as go-httpbin, with documents of its own: a header or an argument is one text, members are
sorted, and what a proxy added is told only to those who ask for it (``?show_env=1``).
"""

from __future__ import annotations

import json
import os
from itertools import pairwise
from typing import Any

from aiohttp import web

from meshlab.minicluster.images.http_server import BindError, Handler, HttpServer, serve
from meshlab.minicluster.images.httpbin import echo
from meshlab.minicluster.images.httpbin.responses import BadInput, weighted_choices
from meshlab.minicluster.images.httpbin.routes import ROUTES, Httpbin
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

PORT = 80
SERVER = "gunicorn/19.9.0"
ENVIRONMENT_HEADERS = frozenset(
    f"X-{name}"
    for name in (
        *("Forwarded-For", "Forwarded-Port", "Forwarded-Proto", "Forwarded-Protocol", "Forwarded-Ssl"),
        *("Heroku-Dynos-In-Use", "Heroku-Queue-Depth", "Heroku-Queue-Wait-Time"),
        *("Real-Ip", "Request-Id", "Request-Start", "Varnish"),
    )
) | {"Connect-Time", "Total-Route-Time", "Via"}
TEAPOT = """
    -=[ teapot ]=-

       _...._
     .'  _ _ `.
    | ."` ^ `". _,
    \\_;`"---"`|//
      |       ;/
      \\_     _/
        `\"\"\"`
"""
HTML = "text/html; charset=utf-8"


class ClassicHttpbin(Httpbin):
    """The endpoints whose documents differ."""

    async def get(self, request: web.Request) -> web.StreamResponse:
        return _document(_request(request))

    async def with_body(self, request: web.Request) -> web.StreamResponse:
        told = await echo.with_body(request, self.limits.max_body_size)
        document = _request(request) | {"data": told["data"], "json": told["json"]}
        document |= {name: _single(told[name]) for name in ("files", "form")}
        if document["form"]:
            document["data"] = ""
        if request.path.startswith("/anything"):
            document["method"] = request.method
        return _document(document)

    async def headers(self, request: web.Request) -> web.StreamResponse:
        return _document({"headers": _headers(request)})

    async def ip(self, request: web.Request) -> web.StreamResponse:
        return _document({"origin": _origin(request)})

    async def user_agent(self, request: web.Request) -> web.StreamResponse:
        return _document({"user-agent": request.headers.get("User-Agent")})

    async def status(self, request: web.Request) -> web.StreamResponse:
        text = request.match_info["code"]
        try:
            if "," in text:
                choices = weighted_choices(text)
                code = self._random(request).choices([c for c, _ in choices], [weight for _, weight in choices])[0]
            else:
                code = int(text)
        except (BadInput, ValueError):
            return web.Response(text="Invalid status code", status=400, headers={"Content-Type": HTML})
        if code == 418:
            headers = {"x-more-info": "http://tools.ietf.org/html/rfc2324"}
            return web.Response(text=TEAPOT, status=418, headers=headers)
        headers = {"Content-Type": HTML}
        if code in {301, 302, 303, 305, 307}:
            headers["Location"] = "/redirect/1"
        if code == 401:
            headers["WWW-Authenticate"] = 'Basic realm="Fake Realm"'
        return web.Response(status=code, headers=headers)


def _request(request: web.BaseRequest) -> dict[str, Any]:
    return {
        "args": _single(echo.arguments(request)),
        "headers": _headers(request),
        "origin": _origin(request),
        "url": echo.url(request),
    }


def _headers(request: web.BaseRequest) -> dict[str, str]:
    shown = {name: ",".join(values) for name, values in echo.headers(request).items()}
    if echo.argument(request, "show_env"):
        return shown
    return {name: value for name, value in shown.items() if name not in ENVIRONMENT_HEADERS}


def _origin(request: web.BaseRequest) -> str:
    return request.headers.get("X-Forwarded-For") or request.remote or ""


def _single(values: dict[str, list[str]]) -> dict[str, Any]:
    """One value as it is, several as a list."""
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _document(value: dict[str, Any]) -> web.Response:
    text = json.dumps(value, indent=2, sort_keys=True) + "\n"
    return web.Response(body=text.encode(), headers={"Content-Type": "application/json"})


def main(argv: list[str], pod: PodContext) -> int:
    """``gunicorn -b ADDRESS:PORT httpbin:app ...``, or the same after ``pipenv run``."""
    port = bound_port(argv[1:])
    endpoints = ClassicHttpbin(hostname=pod.name, environment=dict(os.environ))
    app = web.Application(middlewares=[_errors], client_max_size=endpoints.limits.max_body_size)
    for methods, path, endpoint in ROUTES:
        # The table names the methods of the class; what this one overrides is called.
        handler = getattr(endpoints, endpoint.__name__)
        for method in methods:
            app.router.add_route(method, path, handler)
            if method == "GET":
                app.router.add_route("HEAD", path, handler)
    app.on_response_prepare.append(_allow_origin)
    listening = f"[INFO] Listening at: http://0.0.0.0:{port} (1)"
    server = HttpServer(app, [port], headers={"Server": SERVER}, on_listening=lambda: print_line(listening, error=True))
    try:
        serve(server, pod)
    except BindError as error:
        print_line(f"[ERROR] Connection in use: ('0.0.0.0', {port}): {error.reason}", error=True)
        return 1
    return 0


def bound_port(arguments: list[str]) -> int:
    """The port of ``-b ADDRESS:PORT`` (``--bind``); gunicorn's image binds 80."""
    for name, value in pairwise(arguments):
        if name in {"-b", "--bind"} and value.rpartition(":")[2].isdigit():
            return int(value.rpartition(":")[2])
    return PORT


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadInput as error:
        return web.Response(text=str(error), status=400, headers={"Content-Type": HTML})
    except web.HTTPNotFound:
        text = '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n<title>404 Not Found</title>\n'
        return web.Response(text=f"{text}<h1>Not Found</h1>\n", status=404, headers={"Content-Type": HTML})


async def _allow_origin(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin") or "*"
    response.headers["Access-Control-Allow-Credentials"] = "true"
