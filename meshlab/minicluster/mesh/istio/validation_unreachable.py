"""Rules of a VirtualService that no request can reach, or matches that an earlier one makes useless.

Upstream tells them as warnings of admission, and ``istioctl analyze`` in its own words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshlab.minicluster.mesh.istio.reading import mapping, objects, text
from meshlab.minicluster.mesh.istio.validation_common import quote

Route = Mapping[str, Any]


def unreachable_rules(routes: Sequence[Route]) -> Iterator[str]:
    """The messages about the http, tcp or tls rules of one VirtualService."""
    seen: dict[str, int] = {}
    prefixes: list[_PrefixMatch] = []
    catch_all = False
    for number, route in enumerate(routes):
        matches = objects(route.get("match"))
        if not matches:
            if catch_all:
                yield f"virtualService rule {_name(route, number)} not used (only the last rule can have no matches)"
            catch_all = True
            continue
        repeated = 0
        for index, match in enumerate(matches):
            if catch_all:
                yield f"virtualService rule {_name(route, number)} not used (route without matches defined before)"
                continue
            key = json.dumps({field: value for field, value in match.items() if field != "name"}, sort_keys=True)
            if key in seen:
                repeated += 1
                earlier = _name(routes[seen[key]], seen[key])
                yield _ineffective(_name(route, number), _name(match, index), earlier)
                continue
            seen[key] = number
            if text(mapping(match.get("uri")).get("prefix")):
                prefixes.append(_PrefixMatch(match, _name(route, number), _name(match, index)))
        if repeated == len(matches):
            yield f"virtualService rule {_name(route, number)} not used (all matches used by prior rules)"
    yield from _covered(prefixes)


class _PrefixMatch:
    """A match by a prefix of the path, with all else that it asks for."""

    def __init__(self, match: Route, rule: str, name: str) -> None:
        self.rule = rule
        self.name = name
        self.prefix = text(mapping(match.get("uri")).get("prefix"))
        self.port = match.get("port") or 0
        self.method = _wanted(match.get("method")) or "exact:GET"
        self.authority = _wanted(match.get("authority"))
        self.maps = [
            {key: _wanted(value) for key, value in mapping(match.get(field)).items()}
            for field in ("headers", "queryParams", "withoutHeaders")
        ]

    def covers(self, other: _PrefixMatch) -> bool:
        """Whether whatever the other one matches is matched here already."""
        return (
            other.prefix.startswith(self.prefix)
            and self.port == other.port
            and self.method.startswith(other.method)
            and self.authority.startswith(other.authority)
            and all(
                mine.keys() == theirs.keys() and all(value.startswith(theirs[key]) for key, value in mine.items())
                for mine, theirs in zip(self.maps, other.maps, strict=True)
            )
        )


def _covered(prefixes: Sequence[_PrefixMatch]) -> Iterator[str]:
    for index, first in enumerate(prefixes):
        for later in prefixes[index + 1 :]:
            if first.prefix != later.prefix and first.covers(later):
                yield _ineffective(
                    later.rule,
                    f"{later.name} of prefix {later.prefix}",
                    f"{first.name} of prefix {first.prefix} on {first.rule}",
                )


def _ineffective(rule: str, match: str, earlier: str) -> str:
    return f"virtualService rule {rule} match {match} is not used (duplicate/overlapping match in rule {earlier})"


def _wanted(condition: Any) -> str:
    given = mapping(condition)
    return next((f"{kind}:{given[kind]}" for kind in ("exact", "prefix") if given.get(kind)), "")


def _name(named: Route, number: int) -> str:
    return quote(text(named["name"])) if named.get("name") else f"#{number}"
