"""Answers that are no objects: documents, refusals, plain success."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from meshlab.minicluster.apiserver.negotiation import JSON
from meshlab.minicluster.kubeapi import StatusError


def json_answer(document: Any, status: int = 200) -> web.Response:
    """A document as JSON, with the newline at its end that upstream writes."""
    return web.Response(body=orjson.dumps(document) + b"\n", status=status, content_type=JSON)


def success(code: int) -> web.Response:
    """``Status: Success``."""
    return json_answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}, code)


def refusal(error: StatusError) -> web.Response:
    """An error as its ``Status``."""
    response = json_answer(error.to_status(), error.code)
    retry = (error.details or {}).get("retryAfterSeconds")
    if retry:
        response.headers["Retry-After"] = str(retry)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="kubernetes-master"'
    return response


def cached_answer(http: web.Request, body: bytes, etag: str, content_type: str) -> web.Response:
    """A document that the client may have already."""
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "public", "Content-Type": content_type}
    if http.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers)
