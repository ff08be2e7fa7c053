"""The log format of Istio's programs: time in UTC, level, message, separated by tabs."""

from __future__ import annotations

import datetime as dt
import logging
import sys
from typing import TextIO

LEVELS = {"WARNING": "warn", "CRITICAL": "fatal"}


class IstioFormatter(logging.Formatter):
    """Formats a record as ``2026-01-31T12:00:00.123456Z<TAB>info<TAB>message``."""

    def format(self, record: logging.LogRecord) -> str:
        time = dt.datetime.fromtimestamp(record.created, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        level = LEVELS.get(record.levelname, record.levelname.lower())
        text = f"{time}\t{level}\t{record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def configure(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send the logs of this process to ``stream`` (stderr by default)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(IstioFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiohttp.access", "asyncio", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
