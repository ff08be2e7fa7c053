"""``examples-bookinfo-productpage-v1``: the page, its JSON API, and a login that reviews see as header ``end-user``."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from meshlab.minicluster.images.bookinfo import page
from meshlab.minicluster.images.bookinfo.service import TRACE_HEADERS, passed_on, port_argument, run, service_url
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.images.upstream import Unreachable, get
from meshlab.minicluster.pod import PodContext

PASSED_ON = (*TRACE_HEADERS, "user-agent", "cookie", "authorization", "jwt")
PATIENCE_S = 3.0
REVIEW_ATTEMPTS = 2
"""The page asks twice for reviews: the bug that upstream's fault-injection task finds."""
SECRET = b"bookinfo"
PRODUCT = {
    "id": 0,
    "title": "The Comedy of Errors",
    "descriptionHtml": '<a href="https://en.wikipedia.org/wiki/The_Comedy_of_Errors">Wikipedia Summary</a>: The Comedy '
    "of Errors is one of <b>William Shakespeare's</b> early plays. It is his shortest and one of his most farcical "
    "comedies, with a major part of the humour coming from slapstick and mistaken identity, in addition to puns and "
    "word play.",
}

Answer = tuple[int, Any]
"""(status, what the JSON says)."""


def main(argv: list[str], pod: PodContext) -> int:
    """``python productpage.py PORT``."""
    port = port_argument(argv, 2)
    service = ProductPage(pod, int(os.environ.get("FLOOD_FACTOR") or 0))
    return run(
        service.answer, port, pod, server="gunicorn", started=lambda: print_line(f"INFO:root:start at port {port}")
    )


@dataclass(frozen=True, slots=True)
class ProductPage:
    """The service."""

    pod: PodContext
    flood_factor: int
    """How many needless requests for reviews each page makes (for rate-limiting tasks)."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        path = request.path
        print_line(f'{request.remote} - - "{request.method} {request.raw_path} HTTP/1.1"', error=True)
        if path == "/health":
            return _html("Product page is healthy")
        if path in ("/", "/index.html"):
            return _html(page.index())
        if path == "/productpage":
            return _html(await self._page(request))
        if path == "/login" and request.method == "POST":
            return _signed_in(request, str((await request.post()).get("username", "")))
        if path == "/logout":
            return _signed_in(request, "")
        if path == "/api/v1/products":
            return _json((200, [PRODUCT]))
        if path.startswith("/api/v1/products/"):
            return await self._api(request, path.removeprefix("/api/v1/products/"))
        return _html("<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n", 404)

    async def _page(self, request: web.Request) -> str:
        headers = _forwarded(request)
        details = await self._details("0", headers)
        if self.flood_factor:
            await asyncio.gather(*(self._reviews("0", headers) for _ in range(self.flood_factor)))
        reviews = await self._reviews("0", headers)
        return page.product_page(PRODUCT, details, reviews, _user(request))

    async def _api(self, request: web.Request, rest: str) -> web.Response:
        product, _, part = rest.partition("/")
        headers = _forwarded(request)
        if not part:
            return _json(await self._details(product, headers))
        if part == "reviews":
            return _json(await self._reviews(product, headers))
        if part == "ratings":
            return _json(await self._fetch("ratings", product, headers, "ratings"))
        return _html("<h1>Not Found</h1>\n", 404)

    async def _details(self, product: str, headers: dict[str, str]) -> Answer:
        return await self._fetch("details", product, headers, "details")

    async def _reviews(self, product: str, headers: dict[str, str]) -> Answer:
        found: Answer = (500, None)
        for _ in range(REVIEW_ATTEMPTS):
            found = await self._fetch("reviews", product, headers, "reviews")
            if found[0] == 200:
                break
        return found

    async def _fetch(self, service: str, product: str, headers: dict[str, str], words: str) -> Answer:
        unavailable = {"error": f"Sorry, product {words} are currently unavailable for this book."}
        url = f"{service_url(service)}/{service}/{product}"
        try:
            reply = await get(self.pod, url, headers=headers, timeout_s=PATIENCE_S)
            if reply.status == 200:
                return 200, json.loads(reply.body)
        except (Unreachable, ValueError):
            return 500, unavailable
        return reply.status, unavailable


def _forwarded(request: web.Request) -> dict[str, str]:
    user = _user(request)
    return {**passed_on(request.headers, PASSED_ON), **({"end-user": user} if user else {})}


def _user(request: web.Request) -> str:
    """Who signed in, by the session cookie."""
    content, _, signature = request.cookies.get("session", "").rpartition(".")
    if not content or not hmac.compare_digest(signature, _signature(content)):
        return ""
    try:
        return str(json.loads(base64.urlsafe_b64decode(content)).get("user", ""))
    except ValueError:
        return ""


def _signed_in(request: web.Request, user: str) -> web.Response:
    response = _html("<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n", 302)
    response.headers["Location"] = request.headers.get("Referer") or "/productpage"
    if user:
        content = base64.urlsafe_b64encode(json.dumps({"user": user}).encode()).decode()
        response.set_cookie("session", f"{content}.{_signature(content)}", httponly=True, path="/")
    else:
        response.del_cookie("session", path="/")
    return response


def _signature(content: str) -> str:
    return hmac.new(SECRET, content.encode(), hashlib.sha256).hexdigest()[:27]


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html")


def _json(answer: Answer) -> web.Response:
    return web.Response(text=json.dumps(answer[1]), status=answer[0], content_type="application/json")
