"""``examples-bookinfo-reviews-v1`` to ``-v3``: two reviews; v2 and v3 fetch their stars from ratings.

With black stars it waits ten seconds for ratings, with red ones two and a half: the difference that upstream's
fault-injection task is about.
"""

from __future__ import annotations

import json
import os
from typing import Any

from aiohttp import web

from meshlab.minicluster.images.bookinfo.service import (
    PORT,
    TRACE_HEADERS,
    json_response,
    passed_on,
    run,
    service_url,
)
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.images.upstream import Unreachable, get
from meshlab.minicluster.pod import PodContext

PASSED_ON = (*TRACE_HEADERS, "end-user", "user-agent", "cookie", "authorization", "jwt")
PATIENCE_S = {"black": 10.0}
RED_PATIENCE_S = 2.5
TEXTS = {
    "Reviewer1": "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!",
    "Reviewer2": "Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by "
    "Shakespeare.",
}
NO_RATINGS = "Ratings service is currently unavailable"


def main(argv: list[str], pod: PodContext) -> int:
    """``/opt/ibm/wlp/bin/server run defaultServer``."""
    if argv[1:2] not in ([], ["run"], ["debug"]):
        print_line(f"{argv[0]}: unknown action: {argv[1]}", error=True)
        return 1

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return json_response({"status": "Reviews is healthy"})
        number = request.path.removeprefix("/reviews/")
        if not request.path.startswith("/reviews/") or not number.isdecimal():
            return web.Response(text="Error 404: SRVE0190E: File not found: " + request.path, status=404)
        return json_response(await _reviews(number, request, pod))

    return run(
        answer,
        PORT,
        pod,
        server="",
        started=lambda: print_line("[AUDIT   ] CWWKF0011I: The server defaultServer is ready to run a smarter planet."),
    )


async def _reviews(number: str, request: web.Request, pod: PodContext) -> dict[str, Any]:
    color = os.environ.get("STAR_COLOR", "black")
    rated = os.environ.get("ENABLE_RATINGS", "").lower() == "true"
    stars = await _stars(number, color, request, pod) if rated else {}
    found = []
    for reviewer, text in TEXTS.items():
        review: dict[str, Any] = {"reviewer": reviewer, "text": text}
        if rated:
            given = stars.get(reviewer)
            review["rating"] = {"stars": given, "color": color} if given is not None else {"error": NO_RATINGS}
        found.append(review)
    return {
        "id": number,
        "podname": pod.name,
        "clustername": os.environ.get("CLUSTER_NAME", "null"),
        "reviews": found,
    }


async def _stars(number: str, color: str, request: web.Request, pod: PodContext) -> dict[str, int]:
    url = f"{service_url('ratings')}/ratings"
    headers = {**passed_on(request.headers, PASSED_ON), "accept": "application/json"}
    try:
        reply = await get(pod, f"{url}/{number}", headers=headers, timeout_s=PATIENCE_S.get(color, RED_PATIENCE_S))
        if reply.status != 200:
            print_line(f"Error: unable to contact {url} got status of {reply.status}")
            return {}
        ratings: dict[str, int] = json.loads(reply.body).get("ratings", {})
    except (Unreachable, ValueError) as error:
        print_line(f"Error: unable to contact {url} got exception {error}", error=True)
        return {}
    return ratings
