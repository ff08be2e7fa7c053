"""Reading resources that a learner wrote: tolerant accessors, durations, and the list of problems found.

The API server and istiod's webhook refuse most malformed resources, but neither is in the way of objects that were
stored before Istio was installed. So nothing here raises on odd input: what cannot be read is skipped, and said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.model import ANY_NAMESPACE, ConfigRef

T = TypeVar("T")

Severity = Literal["error", "warning", "info"]

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a resource that is ignored, or that cannot work."""

    code: str
    """Stable, dotted: ``virtualservice.delegate``."""
    severity: Severity
    ref: ConfigRef
    message: str


@dataclass(slots=True)
class Problems:
    """Collects problems while one snapshot is translated."""

    found: list[Problem] = field(default_factory=list)

    def add(self, code: str, ref: ConfigRef, message: str, severity: Severity = "warning") -> None:
        """Note a problem."""
        self.found.append(Problem(code, severity, ref, message))

    def guard(self, obj: Obj, translate: Callable[[Obj, ConfigRef], Iterable[T]]) -> list[T]:
        """Translate one object; if its shape makes that impossible, note it and go on without it."""
        ref = ref_of(obj)
        try:
            return list(translate(obj, ref))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            kind = ref.kind.lower() or "object"
            self.add(f"{kind}.unreadable", ref, f"{ref} was ignored: it cannot be read ({error})", "error")
            return []


def ref_of(obj: Obj) -> ConfigRef:
    """The reference to an object; parts that are missing are empty."""
    metadata = mapping(obj.get("metadata")) if isinstance(obj, dict) else {}
    api_version = text(obj.get("apiVersion")) if isinstance(obj, dict) else ""
    group, _, version = api_version.rpartition("/")
    return ConfigRef(group, version, text(obj.get("kind")), text(metadata.get("namespace")), text(metadata.get("name")))


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> Sequence[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; what is not an object is dropped."""
    return [item for item in sequence(value) if isinstance(item, dict)]


def texts(value: Any) -> tuple[str, ...]:
    """The strings of a list."""
    return tuple(item for item in sequence(value) if isinstance(item, str))


def text(value: Any) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def integer(value: Any) -> int | None:
    """The value as a whole number, or None if it is not one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    return None


def number(value: Any) -> float | None:
    """The value as a number, or None if it is not one."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def boolean(value: Any) -> bool | None:
    """The value if it is true or false, else None."""
    return value if isinstance(value, bool) else None


def string_map(value: Any) -> dict[str, str]:
    """An object's string members, sorted by key."""
    return {key: item for key, item in sorted(mapping(value).items()) if isinstance(item, str)}


def seconds(value: Any) -> float | None:
    """A duration such as ``1h30m`` or ``0.5s`` in seconds, or None if it is not one."""
    if not isinstance(value, str):
        return None
    if value == "0":
        return 0.0
    parts = _DURATION.findall(value)
    if not parts or "".join(amount + unit for amount, unit in parts) != value:
        return None
    return round(sum(float(amount) * _UNITS_S[unit] for amount, unit in parts), 9)


def created(obj: Obj) -> str:
    """When the object was created, as a string that sorts by time; missing sorts first."""
    return text(mapping(obj.get("metadata")).get("creationTimestamp"))


def exported_to(value: Any, namespace: str, default: Iterable[str] = (ANY_NAMESPACE,)) -> frozenset[str]:
    """Istio's ``exportTo`` as a set of namespaces: ``.`` is the resource's own, ``~`` is nobody.

    Args:
        value: the field.
        namespace: the resource's namespace.
        default: what holds where the field is missing or empty: the mesh's default.
    """
    wanted = texts(value) or tuple(default)
    return frozenset(namespace if item == "." else item for item in wanted if item != "~")


def match_labels(spec: Mapping[str, Any]) -> dict[str, str]:
    """``selector.matchLabels`` of a policy."""
    return string_map(mapping(spec.get("selector")).get("matchLabels"))


def usable_regex(pattern: str) -> bool:
    """Whether Envoy (RE2) will most likely accept a regular expression.

    RE2 is Python's syntax without look-around, backreferences, conditionals and possessive or atomic groups. One bad
    expression would make a proxy refuse a whole update, so a doubtful one must not reach it.
    """
    if re.search(r"\(\?(?:[=!>(#]|<[=!]|P=)|(?<!\\)(?:\\\\)*\\[1-9]|(?<!\\)[*+?}]\+", pattern):
        return False
    try:
        re.compile(pattern.replace(r"\z", r"\Z").replace(r"\pN", r"\d").replace(r"\pL", r"\w"))
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def label_selector(value: object) -> Obj:
    """A ``metav1.LabelSelector`` out of configuration that no schema has judged."""
    selector = mapping(value)
    return {
        "matchLabels": mapping(selector.get("matchLabels")),
        "matchExpressions": objects(selector.get("matchExpressions")),
    }
