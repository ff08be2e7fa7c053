"""IST0130, IST0131: rules and matches of a VirtualService that an earlier rule makes ineffective."""

from __future__ import annotations

import json
from collections.abc import Iterator

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Snapshot, message

NOT_PART_OF_A_MATCH = frozenset({"name", "statPrefix"})


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check the http, tls and tcp rules of every VirtualService."""
    for resource in snapshot.of("virtualservices.networking.istio.io"):
        for protocol in ("http", "tls", "tcp"):
            rules = [rule for rule in resource.spec.get(protocol) or [] if isinstance(rule, dict)]
            for code, arguments, index in findings(rules):
                path: Path = ("spec", protocol, index)
                yield message(code, resource, *arguments, path=path)


def findings(rules: list[Obj]) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """(code, arguments, index of the rule) for a list of rules."""
    seen: dict[str, int] = {}
    catch_all = False
    for index, rule in enumerate(rules):
        matches = [match for match in rule.get("match") or [] if isinstance(match, dict)]
        if catch_all:
            yield "IST0130", (_name(rule, index), "only the last rule can have no matches"), index
            continue
        if not matches:
            catch_all = True
            continue
        duplicates: list[tuple[int, Obj, int]] = []
        keys = [_key(match) for match in matches]
        for number, (match, key) in enumerate(zip(matches, keys, strict=True)):
            if key in seen:
                duplicates.append((number, match, seen[key]))
        if len(duplicates) == len(matches):
            yield "IST0130", (_name(rule, index), "all matches used by prior rules"), index
        else:
            for number, match, first in duplicates:
                yield "IST0131", (_name(rule, index), _name(match, number), _name(rules[first], first)), index
        for key in keys:
            seen.setdefault(key, index)


def _key(match: Obj) -> str:
    significant = {field: value for field, value in match.items() if field not in NOT_PART_OF_A_MATCH}
    return json.dumps(significant, sort_keys=True)


def _name(item: Obj, index: int) -> str:
    return f'"{item["name"]}"' if item.get("name") else f"#{index}"
