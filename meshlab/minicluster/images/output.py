"""Writing one line at once; apart from the servers, so that small programs start without them."""

from __future__ import annotations

import sys


def print_line(text: str, *, error: bool = False) -> None:
    """Write one line to stdout or stderr, unbuffered."""
    print(text, file=sys.stderr if error else sys.stdout, flush=True)
