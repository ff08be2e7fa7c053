"""What the status of each resource should say, and how that is laid over what it says now.

Conditions carry no times here: `render` keeps the transition time of a condition whose status stays, so that a status
that already says it gives nothing to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.gatewayapi.classes import CONTROLLER, GROUP
from meshlab.minicluster.mesh.istio.reading import mapping, objects, text

LONGEST_MESSAGE = 32768


@dataclass(frozen=True, slots=True)
class ConfigError:
    """Why something cannot work, for the status of a resource."""

    reason: str
    message: str

    def joined(self, other: ConfigError | None) -> ConfigError:
        """Both messages under the first reason."""
        return self if other is None else ConfigError(self.reason, f"{self.message}; {other.message}")


def join_errors(first: ConfigError | None, second: ConfigError | None) -> ConfigError | None:
    """Two errors as one, if there are any."""
    return second if first is None else first.joined(second)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition."""

    type: str
    status: bool
    reason: str
    message: str


def condition(
    type_: str, reason: str, message: str, error: ConfigError | None = None, *, good: bool = True
) -> Condition:
    """A condition that has its good status, reason and message unless there is an error."""
    if error is None:
        return Condition(type_, good, reason, message)
    return Condition(type_, not good, error.reason, error.message)


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """The status of a listener."""

    name: str
    kinds: tuple[str, ...]
    attached_routes: int
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class ParentStatus:
    """What a route is to one of its parents."""

    reference: Obj
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The wanted status of one resource; only the parts that its kind has are set."""

    resource: str
    """``plural.group``."""
    namespace: str
    name: str
    generation: int
    conditions: tuple[Condition, ...] = ()
    addresses: tuple[str, ...] | None = None
    """None: those that are there stay, as an address once given is not taken back."""
    listeners: tuple[ListenerStatus, ...] | None = None
    parents: tuple[ParentStatus, ...] | None = None


def render(wanted: Status, current: Mapping[str, Any], now: str) -> Obj:
    """The whole new status.

    Args:
        wanted: what it should say.
        current: the status as it is; what other controllers say in it stays.
        now: the time for conditions whose status changes, RFC 3339.
    """
    if wanted.parents is not None:
        return {"parents": _parents(wanted, current, now)}
    status: Obj = {
        **current,
        "conditions": _conditions(wanted.conditions, objects(current.get("conditions")), wanted.generation, now),
    }
    if wanted.addresses is not None:
        status["addresses"] = [{"type": _address_type(value), "value": value} for value in wanted.addresses]
    if wanted.listeners is not None:
        known = {text(item.get("name")): item for item in objects(current.get("listeners"))}
        status["listeners"] = [
            {
                "name": listener.name,
                "attachedRoutes": listener.attached_routes,
                "supportedKinds": [{"group": GROUP, "kind": kind} for kind in listener.kinds],
                "conditions": _conditions(
                    listener.conditions,
                    objects(mapping(known.get(listener.name)).get("conditions")),
                    wanted.generation,
                    now,
                ),
            }
            for listener in wanted.listeners
        ]
    return status


def _parents(wanted: Status, current: Mapping[str, Any], now: str) -> list[Obj]:
    standing = objects(current.get("parents"))
    own = {
        parent_string(mapping(item.get("parentRef")), wanted.namespace): item
        for item in standing
        if item.get("controllerName") == CONTROLLER
    }
    found: list[Obj] = [dict(item) for item in standing if item.get("controllerName") != CONTROLLER]
    for parent in wanted.parents or ():
        before = mapping(own.get(parent_string(parent.reference, wanted.namespace)))
        found.append(
            {
                "parentRef": parent.reference,
                "controllerName": CONTROLLER,
                "conditions": _conditions(parent.conditions, objects(before.get("conditions")), wanted.generation, now),
            }
        )
    return sorted(found, key=lambda item: parent_string(mapping(item.get("parentRef")), wanted.namespace), reverse=True)


def parent_string(reference: Mapping[str, Any], namespace: str) -> str:
    """A parent reference with its defaults written out: equal for equal parents."""
    group, kind = reference.get("group"), text(reference.get("kind")) or "Gateway"
    section, port = text(reference.get("sectionName")), reference.get("port") or 0
    owner = text(reference.get("namespace")) or namespace
    return f"{GROUP if group is None else group}/{kind}/{reference.get('name')}/{section}/{port}.{owner}"


def _conditions(
    wanted: Iterable[Condition], current: Sequence[Mapping[str, Any]], generation: int, now: str
) -> list[Obj]:
    """The wanted conditions laid over the current ones: those of other types stay, in their order."""
    fresh = {item.type: item for item in sorted(wanted, key=lambda item: item.type)}
    found: list[Obj] = []
    for before in current:
        own = fresh.pop(text(before.get("type")), None)
        found.append(dict(before) if own is None else _condition(own, before, generation, now))
    return [*found, *(_condition(item, {}, generation, now) for item in fresh.values())]


def _condition(wanted: Condition, before: Mapping[str, Any], generation: int, now: str) -> Obj:
    status = "True" if wanted.status else "False"
    same = before.get("status") == status
    return {
        "type": wanted.type,
        "status": status,
        "reason": wanted.reason,
        "message": wanted.message[:LONGEST_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": before.get("lastTransitionTime") if same else now,
    }


def _address_type(value: str) -> str:
    return "IPAddress" if value.replace(".", "").isdigit() or ":" in value else "Hostname"
