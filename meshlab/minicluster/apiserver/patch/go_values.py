"""JSON values written as Go's ``%v`` verb writes them, for messages that must read as upstream's."""

from __future__ import annotations

from typing import Any


def go_format(value: Any) -> str:
    """``map[image:nginx ports:[map[containerPort:80]]]``."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case dict():
            return "map[" + " ".join(f"{key}:{go_format(value[key])}" for key in sorted(value)) + "]"
        case list():
            return "[" + " ".join(map(go_format, value)) + "]"
        case _:
            return str(value)
