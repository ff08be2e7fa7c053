"""What printers are made of: columns, and cells that many kinds share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from meshlab.minicluster.apiserver.printers.durations import age
from meshlab.minicluster.kubeapi import Obj

NONE = "<none>"
UNSET = "<unset>"
Cells = list[Any]
Row = Callable[[Obj, datetime], Cells]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; those with ``priority`` 1 are shown by ``-o wide`` only."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def to_json(self) -> Obj:
        """As a ``TableColumnDefinition``."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Printer:
    """The columns of a kind, and the function that makes a row of an object."""

    columns: Sequence[Column]
    row: Row


NAME = Column("Name", format="name", description="Name must be unique within a namespace.")
AGE = Column(
    "Age", description="CreationTimestamp is a timestamp representing the server time when this object was created."
)


def columns(text: str) -> tuple[Column, ...]:
    """Columns from a line: names separated by ``|``; a leading ``#`` makes it an integer, a trailing ``*`` wide."""
    result = []
    for word in text.split("|"):
        name = word.strip()
        wide, number = name.endswith("*"), name.startswith("#")
        plain = name.strip("#*")
        if plain in {"Name", "Age"} and not wide:
            result.append(NAME if plain == "Name" else AGE)
        else:
            result.append(Column(plain, "integer" if number else "string", priority=int(wide)))
    return tuple(result)


def name(obj: Obj) -> str:
    """``metadata.name``."""
    return str(obj["metadata"].get("name", ""))


def object_age(obj: Obj, now: datetime) -> str:
    """How long the object has existed."""
    return age(obj["metadata"].get("creationTimestamp"), now)


def at(obj: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path, or the default where a step is missing or null."""
    node = obj
    for key in path.split("."):
        if not isinstance(node, Mapping) or node.get(key) is None:
            return default
        node = node[key]
    return node


def joined(items: Iterable[Any]) -> str:
    """Comma-joined, or ``<none>``."""
    return ",".join(str(item) for item in items) or NONE


def labels(selector: Mapping[str, str] | None) -> str:
    """An equality selector as ``a=b,c=d``, or ``<none>``."""
    return joined(f"{key}={value}" for key, value in sorted((selector or {}).items()))


def label_selector(selector: Obj | None) -> str:
    """A ``metav1.LabelSelector`` as text, or ``<none>``."""
    terms = [f"{key}={value}" for key, value in sorted(((selector or {}).get("matchLabels") or {}).items())]
    for term in (selector or {}).get("matchExpressions") or ():
        key, values = term.get("key", ""), ",".join(sorted(term.get("values") or ()))
        match term.get("operator"):
            case "In":
                terms.append(f"{key} in ({values})")
            case "NotIn":
                terms.append(f"{key} notin ({values})")
            case "Exists":
                terms.append(key)
            case "DoesNotExist":
                terms.append(f"!{key}")
    return joined(terms)


def containers(template: Obj | None) -> tuple[str, str]:
    """Names and images of a pod template's containers, each comma-joined."""
    listed = at(template, "spec.containers", [])
    return joined(item.get("name", "") for item in listed), joined(item.get("image", "") for item in listed)


def truncated(items: Sequence[str], limit: int, empty: str = NONE) -> str:
    """The first few items, and how many more there are: ``a,b,c + 2 more...``."""
    if not items:
        return empty
    more = f" + {len(items) - limit} more..." if len(items) > limit else ""
    return ",".join(items[:limit]) + more
