"""IST0130, IST0131: rules and matches of a VirtualService that an earlier rule makes ineffective."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.messages import quoted
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Snapshot, message

Finding = tuple[str, tuple[str, ...], int]
"""Code, arguments, and the index of the rule."""


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check the http, tls and tcp rules of every VirtualService."""
    for resource in snapshot.of("virtualservices.networking.istio.io"):
        for protocol in ("http", "tls", "tcp"):
            rules = [rule for rule in resource.spec.get(protocol) or [] if isinstance(rule, dict)]
            found = [*findings(rules), *(overlaps(rules) if protocol == "http" else ())]
            for code, arguments, index in found:
                path: Path = ("spec", protocol, index)
                yield message(code, resource, *arguments, path=path)


def findings(rules: list[Obj]) -> Iterator[Finding]:
    """What follows a rule without matches, and matches that are there already."""
    seen: dict[str, int] = {}
    catch_all = False
    for index, rule in enumerate(rules):
        matches = _matches(rule)
        if not matches:
            if catch_all:
                yield "IST0130", (_name(rule, index), "only the last rule can have no matches"), index
            catch_all = True
            continue
        if catch_all:
            yield "IST0130", (_name(rule, index), "route without matches defined before"), index
            continue
        duplicates = 0
        for number, match in enumerate(matches):
            first = seen.setdefault(key := _key(match), index)
            if first != index or any(_key(earlier) == key for earlier in matches[:number]):
                duplicates += 1
                yield "IST0131", (_name(rule, index), _name(match, number), _name(rules[first], first)), index
        if duplicates == len(matches):
            yield "IST0130", (_name(rule, index), "all matches used by prior rules"), index


@dataclass(frozen=True, slots=True)
class Prefix:
    """A match by the path's prefix, reduced to what is compared with others: exact and prefix texts alike."""

    rule: str
    index: int
    match: str
    prefix: str
    port: object
    method: str
    authority: str
    fields: tuple[Mapping[str, str], ...]
    """Headers, query parameters, headers that must not be there."""

    def covers(self, later: Prefix) -> bool:
        """Whether upstream holds that this match leaves nothing for a later one."""
        return (
            later.prefix != self.prefix
            and later.prefix.startswith(self.prefix)
            and later.port == self.port
            and self.method.startswith(later.method)
            and self.authority.startswith(later.authority)
            and all(
                own.keys() == other.keys() and all(own[key].startswith(other[key]) for key in own)
                for own, other in zip(self.fields, later.fields, strict=True)
            )
        )


def overlaps(rules: list[Obj]) -> Iterator[Finding]:
    """Path prefixes that begin with an earlier prefix, everything else being equal."""
    catch_all = next((index for index, rule in enumerate(rules) if not _matches(rule)), len(rules))
    prefixes: dict[str, Prefix] = {}
    for index, rule in enumerate(rules[:catch_all]):
        for number, match in enumerate(_matches(rule)):
            if (match.get("uri") or {}).get("prefix"):
                prefixes.setdefault(_key(match), _prefix(rule, index, match, number))
    for earlier, later in combinations(prefixes.values(), 2):
        if earlier.covers(later):
            what = f"{later.match} of prefix {later.prefix}"
            by = f"{earlier.match} of prefix {earlier.prefix} on {earlier.rule}"
            yield "IST0131", (later.rule, what, by), later.index


def _prefix(rule: Obj, index: int, match: Obj, number: int) -> Prefix:
    return Prefix(
        rule=_name(rule, index),
        index=index,
        match=_name(match, number),
        prefix=match["uri"]["prefix"],
        port=match.get("port"),
        method=_text(match.get("method")),
        authority=_text(match.get("authority")),
        fields=tuple(
            {key: _text(value) for key, value in (match.get(field) or {}).items()}
            for field in ("headers", "queryParams", "withoutHeaders")
        ),
    )


def _text(value: object) -> str:
    return str(value.get("exact") or value.get("prefix") or "") if isinstance(value, dict) else ""


def _matches(rule: Obj) -> list[Obj]:
    return [match for match in rule.get("match") or [] if isinstance(match, dict)]


def _key(match: Obj) -> str:
    return json.dumps({field: value for field, value in match.items() if field != "name"}, sort_keys=True)


def _name(item: Obj, index: int) -> str:
    return quoted(item["name"]) if item.get("name") else f"#{index}"
