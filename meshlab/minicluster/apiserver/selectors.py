"""Label and field selectors, as clients write them in ``labelSelector`` and ``fieldSelector``.

The grammar of label selectors is that of ``k8s.io/apimachinery/pkg/labels``: ``a=b``, ``a==b``, ``a!=b``,
``a in (b,c)``, ``a notin (b,c)``, ``a``, ``!a``, ``a>1``, ``a<1``, joined by commas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.kubeapi import Obj, StatusError

Operator = Literal["=", "!=", "in", "notin", "exists", "!", ">", "<"]

_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SYMBOLS = frozenset({"=", "==", "!=", "!", "(", ")", ",", "<", ">"})


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels meet the term."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case ">" | "<":
                return value is not None and self._compare(value)

    def _compare(self, value: str) -> bool:
        (bound,) = self.values
        try:
            return int(value) > int(bound) if self.operator == ">" else int(value) < int(bound)
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector: all of its requirements must hold; an empty one matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is selected."""
        known = labels or {}
        return all(requirement.matches(known) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A field selector: comma-joined ``path=value``, ``path==value``, ``path!=value``."""

    terms: tuple[tuple[str, bool, str], ...] = ()
    """Triples of path, whether equality is wanted, and value."""

    def matches(self, obj: Obj, resource: Resource) -> bool:
        """Whether the object is selected; fields that this resource cannot select by raise `StatusError` 400."""
        return all((field_value(obj, path, resource) == value) is wanted for path, wanted, value in self.terms)

    def check(self, resource: Resource) -> None:
        """Raise `StatusError` 400 if the resource has no such selectable field."""
        for path, _, _ in self.terms:
            if path not in _COMMON_FIELDS and path not in _SELECTABLE.get(resource.storage, {}):
                raise StatusError(400, "BadRequest", f"field label not supported: {path}")

    def __bool__(self) -> bool:
        return bool(self.terms)


def parse_label_selector(text: str) -> Selector:
    """Parse ``labelSelector``; raises `StatusError` 400 with upstream's wording if it is malformed."""
    tokens = _tokens(text)
    if not tokens:
        return Selector()
    requirements: list[Requirement] = []
    position = 0
    while True:
        requirement, position = _requirement(tokens, position)
        requirements.append(requirement)
        if position == len(tokens):
            return Selector(tuple(requirements))
        if tokens[position] != ",":
            raise _unparsable(f"found '{tokens[position]}', expected: ',' or 'end of string'")
        position += 1
        if position == len(tokens):
            raise _unparsable("found '', expected: identifier after ','")


def selector_from_object(selector: Obj | None) -> Selector:
    """The `Selector` of a ``metav1.LabelSelector``; None selects nothing upstream, callers decide about that."""
    requirements = [
        Requirement(key, "=", frozenset({value})) for key, value in ((selector or {}).get("matchLabels") or {}).items()
    ]
    operators: dict[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    for term in (selector or {}).get("matchExpressions") or ():
        operator = operators.get(term.get("operator", ""))
        if operator is None:
            raise StatusError(400, "BadRequest", f'"{term.get("operator", "")}" is not a valid label selector operator')
        requirements.append(Requirement(term["key"], operator, frozenset(term.get("values") or ())))
    return Selector(tuple(requirements))


def parse_field_selector(text: str) -> FieldSelector:
    """Parse ``fieldSelector``; raises `StatusError` 400 if malformed. A backslash escapes comma, equals and itself."""
    terms = []
    for part in re.split(r"(?<!\\),", text):
        if not part.strip():
            continue
        match = re.fullmatch(r"((?:[^=!\\]|\\.)+?)(==|!=|=)((?:[^=\\]|\\.)*)", part)
        if match is None:
            raise StatusError(
                400,
                "BadRequest",
                f"invalid selector: '{text}'; can't understand '{part}'",
            )
        path, operator, value = match.groups()
        terms.append((path.strip(), operator != "!=", re.sub(r"\\(.)", r"\1", value)))
    return FieldSelector(tuple(terms))


def field_value(obj: Obj, path: str, resource: Resource) -> str:
    """The value of a selectable field as text (empty when absent); raises `StatusError` 400 for other fields."""
    getter = _COMMON_FIELDS.get(path) or _SELECTABLE.get(resource.storage, {}).get(path)
    if getter is None:
        raise StatusError(400, "BadRequest", f"field label not supported: {path}")
    return getter(obj)


def _at(*keys: str) -> Callable[[Obj], str]:
    """A getter of the text at a nested key, ``""`` where a step is missing."""

    def get(obj: Obj) -> str:
        node: object = obj
        for key in keys:
            if not isinstance(node, dict) or node.get(key) is None:
                return ""
            node = node[key]
        if isinstance(node, bool):
            return "true" if node else "false"
        return str(node)

    return get


def _paths(*paths: str) -> dict[str, Callable[[Obj], str]]:
    return {path: _at(*path.split(".")) for path in paths}


def _controller(obj: Obj) -> str:
    return next((owner["uid"] for owner in obj["metadata"].get("ownerReferences") or () if owner.get("controller")), "")


def _first(path: str, *alternatives: str) -> Callable[[Obj], str]:
    getters = [_at(*item.split(".")) for item in (path, *alternatives)]
    return lambda obj: next((value for get in getters if (value := get(obj))), "")


def _event_object(name: str) -> dict[str, Callable[[Obj], str]]:
    # Events are stored once and read through two APIs, which name the object differently.
    getter = _first(f"involvedObject.{name}", f"regarding.{name}")
    return {f"involvedObject.{name}": getter, f"regarding.{name}": getter}


_COMMON_FIELDS = _paths("metadata.name", "metadata.namespace")

_SELECTABLE: dict[str, dict[str, Callable[[Obj], str]]] = {
    "pods": {
        **_paths(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
    },
    "events": {
        **_event_object("kind"),
        **_event_object("namespace"),
        **_event_object("name"),
        **_event_object("uid"),
        **_event_object("apiVersion"),
        **_event_object("resourceVersion"),
        **_event_object("fieldPath"),
        **_paths("reason", "type"),
        "reportingComponent": _first("reportingComponent", "reportingController"),
        "reportingController": _first("reportingController", "reportingComponent"),
        "source": _first("source.component", "reportingComponent", "reportingController"),
    },
    "namespaces": _paths("status.phase"),
    "nodes": _paths("spec.unschedulable"),
    "secrets": _paths("type"),
    "services": _paths("spec.clusterIP", "spec.type"),
    "replicationcontrollers": _paths("status.replicas"),
    "apps/replicasets": _paths("status.replicas"),
    "batch/jobs": _paths("status.successful"),
    "certificates.k8s.io/certificatesigningrequests": _paths("spec.signerName"),
}


def _tokens(text: str) -> list[str]:
    tokens = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None:
            break
        tokens.append(match.group(1))
        position = match.end()
    return tokens


def _requirement(tokens: list[str], position: int) -> tuple[Requirement, int]:
    """The requirement that starts at ``position``, and the position after it."""

    def token(index: int) -> str:
        return tokens[index] if index < len(tokens) else ""

    if token(position) == "!":
        key = _key(token(position + 1))
        return Requirement(key, "!"), position + 2
    key = _key(token(position))
    operator = token(position + 1)
    match operator:
        case "" | ",":
            return Requirement(key, "exists"), position + 1
        case "=" | "==" | "!=":
            value = token(position + 2)
            if value in {"", ","}:
                return Requirement(key, "!=" if operator == "!=" else "=", frozenset({""})), position + 2
            _check_value(key, value)
            return Requirement(key, "!=" if operator == "!=" else "=", frozenset({value})), position + 3
        case ">" | "<":
            value = token(position + 2)
            if re.fullmatch(r"-?\d+", value) is None:
                raise _unparsable(
                    f'values[0][{key}]: Invalid value: "{value}": '
                    "for 'Gt', 'Lt' operators, the value must be an integer"
                )
            return Requirement(key, ">" if operator == ">" else "<", frozenset({value})), position + 3
        case "in" | "notin":
            values, end = _values(tokens, position + 2)
            for value in values:
                if value:
                    _check_value(key, value)
            return Requirement(key, "in" if operator == "in" else "notin", frozenset(values)), end
        case _:
            raise _unparsable(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


def _values(tokens: list[str], position: int) -> tuple[list[str], int]:
    if position >= len(tokens) or tokens[position] != "(":
        found = tokens[position] if position < len(tokens) else ""
        raise _unparsable(f"found '{found}' expected: '('")
    values: list[str] = []
    current = ""
    for index in range(position + 1, len(tokens)):
        token = tokens[index]
        if token == ")":
            return [*values, current], index + 1
        if token == ",":
            values.append(current)
            current = ""
        elif token in _SYMBOLS or current:
            raise _unparsable(f"found '{token}', expected: ',', or ')'")
        else:
            current = token
    raise _unparsable("found '', expected: ',', or ')'")


def _key(key: str) -> str:
    if not key or key in _SYMBOLS:
        raise _unparsable(f"found '{key}', expected: identifier")
    prefix, slash, name = key.rpartition("/")
    if _NAME.fullmatch(name) is None or (slash and (_PREFIX.fullmatch(prefix) is None or len(prefix) > 253)):
        raise _unparsable(
            f"key: Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
            "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        )
    return key


def _check_value(key: str, value: str) -> None:
    if value in _SYMBOLS:
        raise _unparsable(f"found '{value}', expected: identifier")
    if _NAME.fullmatch(value) is None:
        raise _unparsable(
            f'values[0][{key}]: Invalid value: "{value}": a valid label must be an empty string or consist of '
            "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
            "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        )


def _unparsable(problem: str) -> StatusError:
    return StatusError(400, "BadRequest", f"unable to parse requirement: {problem}")
