"""The table of domains: what an exercise may say that it trains."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from meshlab.course.yamlfile import parse, read_text

_TABLE = Path(__file__).with_suffix(".yaml")


@cache
def known_domains() -> frozenset[str]:
    """Every domain, and every topic as ``domain.topic``."""
    file = parse(read_text(_TABLE), _TABLE)
    domains = file.keys(())
    return frozenset(domains) | {f"{domain}.{topic}" for domain in domains for topic in file.strings((domain,))}
