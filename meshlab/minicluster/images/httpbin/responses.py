"""Answers as go-httpbin writes them, and the values it reads from requests."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from meshlab.minicluster.images.go_flags import parse_duration

JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
BINARY_TYPE = "application/octet-stream"
_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    418: "I'm a teapot",
    413: "Request Entity Too Large",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What an operator may set."""

    max_body_size: int = 1024 * 1024
    """Bytes of a request or a response."""
    max_duration_s: float = 10.0


class BadInput(Exception):
    """The client's parameters are wrong: 400 with this detail."""


def to_json(value: Any) -> bytes:
    """JSON as Go's encoder indents it, with the newline at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON document."""
    return web.Response(body=to_json(value), status=status, headers={"Content-Type": JSON_TYPE, **(headers or {})})


def error_response(status: int, detail: str = "") -> web.Response:
    """The document that go-httpbin writes for every error."""
    document: dict[str, Any] = {"status_code": status, "error": _PHRASES.get(status, "")}
    if detail:
        document["detail"] = detail
    return json_response(document, status)


def text_response(text: str | bytes, content_type: str = TEXT_TYPE, status: int = 200) -> web.Response:
    """A body of another type."""
    body = text.encode() if isinstance(text, str) else text
    return web.Response(body=body, status=status, headers={"Content-Type": content_type})


def integer(text: str, what: str) -> int:
    """A whole number.

    Raises:
        BadInput: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise BadInput(f'invalid {what}: strconv.Atoi: parsing "{text}": invalid syntax') from None


def bounded_integer(text: str, what: str, low: int, high: int) -> int:
    """A whole number in a range, both ends included.

    Raises:
        BadInput: it is none, or outside.
    """
    value = integer(text, what)
    if not low <= value <= high:
        raise BadInput(f"invalid {what}: {value} not in range [{low}, {high}]")
    return value


def duration(text: str, what: str, limits: Limits) -> float:
    """Seconds, from a Go duration or a number of seconds.

    Raises:
        BadInput: it is none, negative or too long.
    """
    try:
        seconds = parse_duration(text)
    except ValueError:
        try:
            seconds = float(text)
        except ValueError:
            raise BadInput(f'invalid {what}: strconv.ParseFloat: parsing "{text}": invalid syntax') from None
    if math.isnan(seconds) or seconds < 0:
        raise BadInput(f"invalid {what}: duration {seconds:g}s shorter than 0s")
    if seconds > limits.max_duration_s:
        raise BadInput(f"invalid {what}: duration {seconds:g}s longer than {limits.max_duration_s:g}s")
    return seconds


def weighted_choices(text: str) -> list[tuple[int, float]]:
    """``200:3,500:1`` or ``200,500``: statuses and their weights.

    Raises:
        BadInput: a status or a weight is no number.
    """
    choices = []
    for pair in text.split(","):
        choice, colon, raw_weight = pair.partition(":")
        try:
            weight = float(raw_weight) if colon else 1.0
        except ValueError:
            raise BadInput(f'invalid weight value: "{raw_weight}"') from None
        try:
            choices.append((int(choice), weight))
        except ValueError:
            raise BadInput(f'invalid choice value: "{choice}"') from None
    return choices
