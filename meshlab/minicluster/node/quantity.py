"""Resource quantities (``apimachinery/pkg/api/resource``): ``100m``, ``1.5``, ``64Mi``, ``2e3``."""

from __future__ import annotations

import re
from fractions import Fraction

_SUFFIXES = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
_PATTERN = re.compile(r"([+-]?[0-9]*\.?[0-9]+|[+-]?[0-9]+\.)(?:[eE]([+-]?[0-9]+)|([numkKMGTPE]i?)?)")


def parse(text: str | int | float) -> Fraction:
    """The exact value.

    Raises:
        ValueError: not a quantity.
    """
    match = _PATTERN.fullmatch(str(text))
    if match is None or (match[3] or "") not in _SUFFIXES:
        raise ValueError(f"quantity {text!r} is malformed")
    return Fraction(match[1]) * Fraction(10) ** int(match[2] or 0) * _SUFFIXES[match[3] or ""]


def divided(value: str | int | float, divisor: str | int | float | None) -> str:
    """``value / divisor`` rounded up, as the downward API prints resources."""
    unit = parse(divisor) if divisor not in (None, "", "0", 0) else Fraction(1)
    return str(-int(-parse(value) // unit))
