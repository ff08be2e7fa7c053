"""``examples-bookinfo-ratings-*``: stars of each reviewer. ``SERVICE_VERSION`` makes it faulty, slow or unavailable."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from meshlab.minicluster.images.bookinfo.ratingsdb import DatabaseError, stored_ratings
from meshlab.minicluster.images.bookinfo.service import json_response, port_argument, run
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

SLOW_ANSWER_S = 7.0
PERIODS_S = {"v-unavailable": 60.0, "v-unhealthy": 900.0}
"""How long each state lasts in the versions that are unavailable half of the time."""


def main(argv: list[str], pod: PodContext) -> int:
    """``node ratings.js PORT``."""
    version = os.environ.get("SERVICE_VERSION", "v1")
    port = port_argument(argv, 2)

    def started() -> None:
        print_line(f"Server listening on: http://0.0.0.0:{port}")

    return run(Ratings(version, pod).answer, port, pod, server="", started=started)


@dataclass(slots=True)
class Ratings:
    """The service; ratings that were posted are kept in memory."""

    version: str
    pod: PodContext
    posted: dict[int, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def available(self) -> bool:
        """Whether this is a good moment; always, in most versions."""
        period = PERIODS_S.get(self.version)
        return period is None or int((time.monotonic() - self.started) / period) % 2 == 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        print_line(f"{request.method} {request.raw_path}")
        if request.path == "/health":
            if self.version == "v-unhealthy" and not self.available:
                return json_response({"status": "Ratings is not healthy"}, 500)
            return json_response({"status": "Ratings is healthy"})
        if not request.path.startswith("/ratings/") or request.method not in ("GET", "HEAD", "POST"):
            return web.Response(status=404)
        number = request.path.rpartition("/")[2]
        if not number.isdecimal():
            return json_response({"error": "please provide numeric product ID"}, 400)
        if request.method == "POST":
            return self._post(int(number), await request.text())
        return await self._get(int(number))

    def _post(self, product: int, text: str) -> web.Response:
        try:
            ratings = json.loads(text)
        except ValueError:
            return json_response({"error": "please provide valid ratings JSON"}, 400)
        if self.version == "v2":
            return json_response({"error": "Post not implemented for database backed ratings"}, 501)
        self.posted[product] = ratings
        return self._ratings(product)

    async def _get(self, product: int) -> web.Response:
        if self.version == "v2":
            return await self._stored(product)
        if not self.available or (self.version == "v-faulty" and random.random() <= 0.5):
            return json_response({"error": "Service unavailable"}, 503)
        if self.version == "v-delayed" and random.random() <= 0.5:
            await asyncio.sleep(SLOW_ANSWER_S)
        return self._ratings(product)

    async def _stored(self, product: int) -> web.Response:
        try:
            first, second = await stored_ratings(self.pod)
        except DatabaseError as error:
            return json_response({"error": str(error)}, 500)
        return json_response({"id": product, "ratings": {"Reviewer1": first, "Reviewer2": second}})

    def _ratings(self, product: int) -> web.Response:
        ratings = self.posted.get(product, {"Reviewer1": 5, "Reviewer2": 4})
        return json_response({"id": product, "ratings": ratings})
