"""URL globbing: ``[1-400]``, ``[a-z:2]``, ``[001-100]`` and ``{one,two}``, with ``#1`` in output names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

_PATTERN = re.compile(r"\\(?P<escaped>[\[\]{}])|\{(?P<set>[^{}]*)\}|\[(?P<range>[^\[\]]*)\]|(?P<stray>[\]\}\{\[])")
_RANGE = re.compile(r"(?:(\d+)-(\d+)|([a-zA-Z])-([a-zA-Z]))(?::(\d+))?")


class BadGlob(ValueError):
    """The URL's brackets make no sense: curl's exit code 3."""


def expand(url: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every URL that a pattern stands for, with the part that each of its globs contributed.

    An address in brackets (IPv6) is no glob.

    Raises:
        BadGlob: a bracket is not closed, or a range is empty.
    """
    literals, choices, position = [""], [], 0
    for match in _PATTERN.finditer(url):
        literals[-1] += url[position : match.start()]
        position = match.end()
        if match["escaped"]:
            literals[-1] += match["escaped"]
        elif match["set"] is not None:
            choices.append(match["set"].split(","))
            literals.append("")
        elif match["range"] is not None and ":" in match["range"] and not _RANGE.fullmatch(match["range"]):
            literals[-1] += match[0]
        elif match["range"] is not None:
            choices.append(_range(match["range"], url, match.start()))
            literals.append("")
        else:
            raise BadGlob(f"unmatched brace in URL position {match.start() + 1}:\n{url}")
    literals[-1] += url[position:]
    for parts in product(*choices):
        pieces = [piece for pair in zip(literals, (*parts, ""), strict=True) for piece in pair]
        yield "".join(pieces), parts


def _range(text: str, url: str, position: int) -> list[str]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise BadGlob(f"bad range specification in URL position {position + 2}:\n{url}")
    first, last, low, high, step_text = match.groups()
    step = int(step_text or 1)
    start, stop = (int(first), int(last)) if first else (ord(low), ord(high))
    if step < 1 or start > stop:
        raise BadGlob(f"bad range in URL position {position + 2}:\n{url}")
    if not first:
        return [chr(code) for code in range(start, stop + 1, step)]
    width = len(first) if first.startswith("0") else 0
    return [str(number).zfill(width) for number in range(start, stop + 1, step)]
