"""JSON values written as Go's ``%v`` verb writes them, for messages that must read as upstream's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def go_format(value: Any) -> str:
    """``map[image:nginx ports:[map[containerPort:80]]]``."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return go_float(value)
        case dict():
            return "map[" + " ".join(f"{key}:{go_format(value[key])}" for key in sorted(value)) + "]"
        case list():
            return "[" + " ".join(map(go_format, value)) + "]"
        case _:
            return str(value)


def go_float(value: float) -> str:
    """A float64: ``65535``, ``0.5``, and from a million on ``4.294967295e+09``."""
    number = Decimal(repr(float(value))).normalize()
    exponent = number.adjusted()
    if not value or -5 < exponent < 6:
        return f"{number:f}"
    digits = f"{number.scaleb(-exponent):f}"
    return f"{digits}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
