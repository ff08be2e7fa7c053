"""``--write-out``: the variables, and the escapes around them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_TOKEN = re.compile(r"%\{(?P<name>[a-z_.]+)\}|%header\{(?P<header>[^}]*)\}|%(?P<percent>%)|\\(?P<escape>[rnt\\])")
_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}
Value = str | int | float


def render(template: str, values: Mapping[str, Value], headers: Mapping[str, str]) -> str:
    """The text of a template; unknown variables become curl's own complaint.

    Args:
        template: what the command line gave.
        values: the variables; floats are seconds and get six decimals.
        headers: the response's, by lower-case name.
    """

    def replace(match: re.Match[str]) -> str:
        if match["escape"]:
            return _ESCAPES[match["escape"]]
        if match["percent"]:
            return "%"
        if match["header"] is not None:
            return headers.get(match["header"].lower(), "")
        name = match["name"]
        if name == "json":
            return json.dumps({key: values[key] for key in sorted(values)})
        if name in {"stdout", "stderr", "onerror"}:
            return ""
        if name not in values:
            return ""
        return text(name, values[name])

    return _TOKEN.sub(replace, template)


def text(name: str, value: Value) -> str:
    """One value as curl prints it."""
    if name in {"http_code", "response_code", "http_connect"}:
        return f"{int(value):03d}"
    if isinstance(value, float):
        return f"{value:.0f}" if name.startswith("speed_") else f"{value:.6f}"
    return str(value)
