"""``examples-bookinfo-details-v1`` and ``-v2``: facts about a book; v2 can ask Google's book service for them."""

from __future__ import annotations

import json
import os
from typing import Any

from aiohttp import web

from meshlab.minicluster.images.bookinfo.service import TRACE_HEADERS, json_response, passed_on, port_argument, run
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.images.upstream import Unreachable, get
from meshlab.minicluster.pod import PodContext

ISBN = "0486424618"
BOOKS = "www.googleapis.com/books/v1/volumes?q=isbn:"
EXTERNAL_TIMEOUT_S = 5.0
NOT_FOUND = (
    '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.0//EN">\n<HTML>\n  <HEAD><TITLE>Not Found</TITLE></HEAD>\n'
    "  <BODY>\n    <H1>Not Found</H1>\n    `{path}' not found.\n  </BODY>\n</HTML>\n"
)


def main(argv: list[str], pod: PodContext) -> int:
    """``ruby details.rb PORT``."""

    async def answer(request: web.Request) -> web.StreamResponse:
        print_line(f'{request.remote} - - "{request.method} {request.raw_path} HTTP/1.1"', error=True)
        if request.path.startswith("/health"):
            return json_response({"status": "Details is healthy"})
        if not request.path.startswith("/details"):
            return web.Response(text=NOT_FOUND.format(path=request.path), status=404, content_type="text/html")
        number = request.path.rstrip("/").rpartition("/")[2]
        if not number.removeprefix("-").isdecimal():
            return json_response({"error": "please provide numeric product id"}, 400)
        try:
            return json_response(await _details(int(number), request, pod))
        except (Unreachable, LookupError, TypeError, ValueError) as error:
            return json_response({"error": str(error)}, 400)

    port = port_argument(argv, 2)
    return run(
        answer,
        port,
        pod,
        server="WEBrick/1.9.1 (Ruby/3.4.7/2025-10-08)",
        started=lambda: print_line(f"INFO  WEBrick::HTTPServer#start: pid=1 port={port}", error=True),
    )


async def _details(number: int, request: web.Request, pod: PodContext) -> dict[str, Any]:
    if os.environ.get("ENABLE_EXTERNAL_BOOK_SERVICE") == "true":
        return await _external_details(number, request, pod)
    return {
        "id": number,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    }


async def _external_details(number: int, request: web.Request, pod: PodContext) -> dict[str, Any]:
    """What Google knows; ``DO_NOT_ENCRYPT`` leaves TLS to the mesh."""
    plain = os.environ.get("DO_NOT_ENCRYPT") == "true"
    url = f"http://{BOOKS}{ISBN}" if plain else f"https://{BOOKS}{ISBN}"
    reply = await get(pod, url, headers=passed_on(request.headers, TRACE_HEADERS), timeout_s=EXTERNAL_TIMEOUT_S)
    book = json.loads(reply.body)["items"][0]["volumeInfo"]
    numbers = {entry["type"]: entry["identifier"] for entry in book["industryIdentifiers"]}
    return {
        "id": number,
        "author": book["authors"][0],
        "year": book["publishedDate"],
        "type": "paperback" if book["printType"] == "BOOK" else "unknown",
        "pages": book["pageCount"],
        "publisher": book["publisher"],
        "language": "English" if book["language"] == "en" else "unknown",
        "ISBN-10": numbers["ISBN_10"],
        "ISBN-13": numbers["ISBN_13"],
    }
