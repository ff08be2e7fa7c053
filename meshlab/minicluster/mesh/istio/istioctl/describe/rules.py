"""What a DestinationRule and a VirtualService mean for a service's pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.messages import quoted
from meshlab.minicluster.mesh.istio.analysis.model import Resource
from meshlab.minicluster.mesh.istio.hosts import resolve_host
from meshlab.minicluster.mesh.istio.istioctl.describe.prototext import prototext

POLICIES = (
    ("loadBalancer", "load balancer"),
    ("connectionPool", "connection pool"),
    ("outlierDetection", "outlier detection"),
)


@dataclass(frozen=True, slots=True)
class Subsets:
    """The subsets of a DestinationRule that some of the pods belong to, and the others."""

    rule: str = ""
    """How the DestinationRule is named to the reader; empty if there is none."""
    matching: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, rule: Resource, name: str, pods: Sequence[Mapping[str, str]]) -> Subsets:
        """Sort a rule's subsets by the labels of the pods."""
        matching: list[str] = []
        others: list[str] = []
        for subset in rule.spec.get("subsets") or []:
            wanted = (subset.get("labels") or {}).items()
            found = matching if any(wanted <= labels.items() for labels in pods) else others
            found.append(str(subset.get("name", "")))
        return cls(name, tuple(matching), tuple(others))


def destination_rule(rule: Resource, subsets: Subsets) -> Iterator[str]:
    """The lines for a DestinationRule."""
    yield f"DestinationRule: {subsets.rule} for {quoted(str(rule.spec.get('host', '')))}"
    others = ",".join(subsets.others)
    if subsets.matching or subsets.others:
        if not subsets.matching:
            yield f"   WARNING POD DOES NOT MATCH ANY SUBSETS.  (Non matching subsets {others})"
        yield f"   Matching subsets: {','.join(subsets.matching)}"
        if others:
            yield f"      (Non-matching subsets {others})"
    policy = rule.spec.get("trafficPolicy")
    if not isinstance(policy, dict):
        yield "   No Traffic Policy"
        return
    if "tls" in policy:
        yield f"   Traffic Policy TLS Mode: {_mode(policy)}"
    yield from (f"   {line}" for line in _short_policies(policy))
    settings = policy.get("portLevelSettings")
    if settings is not None:
        yield "   Port Level Settings:"
        for setting in settings:
            yield f"    {(setting.get('port') or {}).get('number', 0)}:"
            if "tls" in setting:
                yield f"      TLS Mode: {_mode(setting)}"
            yield from (f"      {line}" for line in _short_policies(setting))


def _mode(policy: Obj) -> str:
    return str((policy.get("tls") or {}).get("mode") or "DISABLE")


def _short_policies(policy: Obj) -> Iterator[str]:
    found = [words for field, words in POLICIES if field in policy]
    if found:
        yield f"Policies: {'/'.join(found)}"


def virtual_service(resource: Resource, name: str, host: str, subsets: Subsets) -> Iterator[str]:
    """The lines for a VirtualService, as far as it concerns one service.

    Args:
        resource: the VirtualService.
        name: how it is named to the reader.
        host: the service's full name.
        subsets: of the service's DestinationRule.
    """
    yield f"VirtualService: {name}"
    http = [rule for rule in resource.spec.get("http") or [] if isinstance(rule, dict)]
    tcp = [rule for rule in resource.spec.get("tcp") or [] if isinstance(rule, dict)]
    judged = [_http_route(resource, rule, host, subsets) for rule in http]
    judged += [_tcp_route(resource, rule, host) for rule in tcp]
    facts = [f"   {fact}" for matched, found in judged if matched for fact in found]
    notes = [f"      {note}" for matched, found in judged if not matched for note in found]
    matches = sum(matched for matched, _ in judged)
    yield from facts
    counts = [(len(rules), word) for rules, word in ((http, "HTTP"), (tcp, "TCP")) if rules]
    possible = len(judged) + len(resource.spec.get("tls") or [])
    if not matches:
        for count, word in counts:
            yield f"   WARNING: No destinations match pod subsets (checked {count} {word} routes)"
        yield from notes
    elif matches < possible:
        yield f"   {possible - matches} additional destination(s) that will not reach this pod"
        yield from () if facts else notes
    elif not facts:
        for count, word in counts:
            yield f"   {count} {word} route(s)"


def _http_route(resource: Resource, rule: Obj, host: str, subsets: Subsets) -> tuple[bool, list[str]]:
    """Whether a route reaches the service's pods, and what is to be said of it."""
    facts, notes, matched = [], [], False
    for route in rule.get("route") or []:
        destination, weight = route.get("destination") or {}, int(route.get("weight") or 0)
        target, subset = str(destination.get("host", "")), str(destination.get("subset") or "")
        if resolve_host(target, resource.namespace) != host:
            invalid = f"Route to {target} with invalid config"
            facts.append(invalid if subset else f'Route to host "{target}" with weight {weight}%')
        elif subset in subsets.others:
            notes.append(f"Route to non-matching subset {subset} for ({_all_matches(rule)})")
        elif subset and subset not in subsets.matching:
            notes.append(
                f"Warning: Route to UNKNOWN subset {subset}; check DestinationRule {subsets.rule}"
                if subsets.rule
                else f"Warning: Route to subset {subset} but NO DESTINATION RULE defining subsets!"
            )
        else:
            matched = True
            if weight > 0:
                of_subset = f' subset "{subset}"' if subset else ""
                facts.append(f'Route to host "{target}"{of_subset} with weight {weight}%')
    if not matched:
        return False, facts + notes
    conditions = [f"Fault injection {prototext(rule['fault'])}"] if rule.get("fault") else []
    conditions += [_match(match) for match in rule.get("match") or []]
    return True, [*facts, ", ".join(conditions)] if conditions else facts


def _tcp_route(resource: Resource, rule: Obj, host: str) -> tuple[bool, list[str]]:
    targets = [str((route.get("destination") or {}).get("host", "")) for route in rule.get("route") or []]
    if not any(resolve_host(target, resource.namespace) == host for target in targets):
        return False, []
    return True, [prototext(match) for match in rule.get("match") or []]


def _all_matches(rule: Obj) -> str:
    return ", ".join(_match(match) for match in rule.get("match") or []) or "everything"


def _match(match: Obj) -> str:
    text = "Match: "
    if match.get("uri"):
        text += _string(match["uri"]) + (" uncased" if match.get("ignoreUriCase") else "")
    if match.get("headers"):
        conditions = "; ".join(f"{name}={_string(value)}" for name, value in match["headers"].items())
        text += f" when headers are {conditions}"
    return text.strip()


def _string(match: Obj) -> str:
    if "exact" in match:
        return str(match["exact"])
    return f"{match['prefix']}*" if "prefix" in match else prototext(match)
