"""log: a container's output as chunked text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from meshlab.minicluster.apiserver.streams.backend import PodBackend
from meshlab.minicluster.apiserver.streams.query import parse_bool
from meshlab.minicluster.kubeapi import Obj, StatusError

HEADERS_DELAY_S = 0.1
"""How long a followed log may be silent before the client gets its response headers all the same."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """``PodLogOptions``, from the query."""

    follow: bool = False
    previous: bool = False
    since_s: float | None = None
    since_time: str | None = None
    tail_lines: int | None = None
    timestamps: bool = False
    limit_bytes: int | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str], pod: str) -> LogOptions:
        """Parse and validate.

        Raises:
            StatusError: 400 for what is no number or time, 422 for what is out of range, in upstream's words.
        """
        causes: list[Obj] = []

        def number(name: str, minimum: int, wording: str) -> int | None:
            text = query.get(name, "")
            if not text:
                return None
            try:
                value = int(text)
            except ValueError:
                raise StatusError(400, "BadRequest", f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
            if value < minimum:
                message = f"Invalid value: {value}: {wording}"
                causes.append({"reason": "FieldValueInvalid", "message": message, "field": name})
            return value

        tail_lines = number("tailLines", 0, "must be greater than or equal to 0")
        limit_bytes = number("limitBytes", 1, "must be greater than 0")
        since_s = number("sinceSeconds", 1, "must be greater than 0")
        since_time = query.get("sinceTime") or None
        if since_time is not None:
            try:
                datetime.fromisoformat(since_time)
            except ValueError:
                raise StatusError(400, "BadRequest", f'parsing time "{since_time}": cannot parse') from None
            if since_s is not None:
                message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
                causes.append({"reason": "FieldValueForbidden", "message": message, "field": ""})
        if causes:
            listed = [
                f"{cause['field']}: {cause['message']}" if cause["field"] else cause["message"] for cause in causes
            ]
            words = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
            details: Obj = {"name": pod, "kind": "PodLogOptions", "causes": causes}
            raise StatusError(422, "Invalid", f'PodLogOptions "{pod}" is invalid: {words}', details)
        return cls(
            follow=parse_bool(query.get("follow")),
            previous=parse_bool(query.get("previous")),
            since_s=since_s,
            since_time=since_time,
            tail_lines=tail_lines,
            timestamps=parse_bool(query.get("timestamps")),
            limit_bytes=limit_bytes,
        )


async def serve_log(
    request: web.Request, backend: PodBackend, pod: Obj, container: str, options: LogOptions
) -> web.StreamResponse:
    """Answer a log request; errors that show before the first byte answer it as a ``Status``.

    Raises:
        StatusError: the backend's.
    """
    lines = backend.logs(
        pod["metadata"]["namespace"],
        pod["metadata"]["name"],
        container,
        follow=options.follow,
        previous=options.previous,
        since_s=options.since_s,
        since_time=options.since_time,
        tail_lines=options.tail_lines,
        timestamps=options.timestamps,
        limit_bytes=options.limit_bytes,
    )
    first = asyncio.ensure_future(_next(lines))
    try:
        await asyncio.wait((first,), timeout=HEADERS_DELAY_S if options.follow else None)
        if first.done():
            first.result()
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        piece = await first
        while piece is not None:
            await response.write(piece)
            piece = await _next(lines)
        await response.write_eof()
    except ConnectionError:
        pass
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        close = getattr(lines, "aclose", None)
        if close is not None:
            await close()
    return response


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    return await anext(lines, None)
