"""What the user asked ``istioctl install`` for: a profile, overlay files and ``--set`` paths, folded into one spec.

The shape is upstream's ``IstioOperator.spec`` (install.istio.io/v1alpha1): profile, hub, tag, revision, meshConfig,
components, values. Order of precedence, lowest first: defaults, profile, files in order, ``--set`` in order.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from meshlab.minicluster.kubeapi import Obj

OWNER = "installed-state"
"""The name of an installation that no IstioOperator names."""
PROFILES = ("default", "demo", "minimal", "empty")
SPEC_FIELDS = frozenset(
    [
        "profile",
        "hub",
        "tag",
        "revision",
        "namespace",
        "meshConfig",
        "components",
        "values",
        "unvalidatedValues",
        "compatibilityVersion",
    ]
)
GATEWAY_LISTS = {"ingressGateways": "istio-ingressgateway", "egressGateways": "istio-egressgateway"}
KNOWN_COMPONENTS = frozenset({"base", "pilot", "cni", "ztunnel", *GATEWAY_LISTS})

_SEGMENT = re.compile(r"([^.\[\]\\]*(?:\\.[^.\[\]\\]*)*)((?:\[[^\]]*\])*)")


class OptionsError(Exception):
    """The options do not make an installation; the message says which one and why."""


@dataclass(frozen=True, slots=True)
class Spec:
    """The installation as asked for: profile and the fully merged spec."""

    profile: str
    spec: Obj
    owner: str = OWNER
    """The name of the IstioOperator: what another one installed is not this one's to prune."""

    @property
    def namespace(self) -> str:
        """Where the control plane goes (``values.global.istioNamespace``)."""
        return str(self.spec["values"]["global"]["istioNamespace"])

    @property
    def revision(self) -> str:
        """The revision as labels carry it: ``default`` when none was given."""
        return str(self.spec.get("revision") or self.spec["values"].get("revision") or "default")


@cache
def _profiles() -> dict[str, Obj]:
    text = (files(__package__) / "profiles.yaml").read_text()
    profiles: dict[str, Obj] = yaml.safe_load(text)
    return profiles


def resolve(settings: Sequence[str] = (), overlays: Sequence[Obj] = (), *, revision: str = "") -> Spec:
    """Fold the options into one spec.

    Args:
        settings: ``key=value`` as given to ``--set``; a leading ``spec.`` is allowed.
        overlays: parsed ``-f`` files, each an IstioOperator.
        revision: ``--revision``.

    Raises:
        OptionsError: an unknown profile, a malformed path, a field that no installation has.
    """
    asked: Obj = {}
    for overlay in overlays:
        asked = merge(asked, operator_spec(overlay))
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key:
            raise OptionsError(f'bad format: expected key=value, got "{setting}"')
        set_path(asked, key.removeprefix("spec."), _scalar(text))
    _check_fields(asked)
    profile = str(asked.get("profile") or "default")
    if profile not in PROFILES:
        raise OptionsError(f'unknown profile "{profile}"; this istioctl has {", ".join(PROFILES)}')
    spec = merge(copy.deepcopy(_profiles()["defaults"]), copy.deepcopy(_profiles()[profile]))
    _check_shape(spec, asked, "")
    spec = merge(spec, asked)
    spec["profile"] = profile
    if namespace := asked.get("namespace"):
        spec["values"]["global"]["istioNamespace"] = namespace
    if revision:
        spec["revision"] = revision
    if name := spec.get("revision") or spec["values"].get("revision"):
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", str(name)):
            raise OptionsError(f'revision "{name}" is not a DNS label (lower-case letters, digits and "-")')
        spec["revision"] = str(name)
    _apply_legacy_values(spec)
    names = [str((overlay.get("metadata") or {}).get("name") or "") for overlay in overlays]
    return Spec(profile, spec, next(filter(None, reversed(names)), OWNER))


def operator_spec(overlay: Obj) -> Obj:
    """The ``spec`` of an IstioOperator document."""
    if not isinstance(overlay, dict) or overlay.get("kind") != "IstioOperator":
        kind = overlay.get("kind", "no kind") if isinstance(overlay, dict) else type(overlay).__name__
        raise OptionsError(f"the file must hold an IstioOperator (install.istio.io/v1alpha1), found {kind}")
    spec = copy.deepcopy(overlay.get("spec") or {})
    namespace = (overlay.get("metadata") or {}).get("namespace")
    if namespace and "namespace" not in spec:
        spec["namespace"] = namespace
    if not isinstance(spec, dict):
        raise OptionsError("spec of the IstioOperator is not an object")
    return spec


def merge(base: Any, overlay: Any) -> Any:
    """Lay one value over another: objects merge, lists of named objects merge by name, all else is replaced."""
    if isinstance(base, dict) and isinstance(overlay, dict):
        result = dict(base)
        for key, value in overlay.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = merge(base[key], value) if key in base else copy.deepcopy(value)
        return result
    if _named(base) and _named(overlay):
        merged = [dict(item) for item in base]
        for item in overlay:
            index = next((i for i, old in enumerate(merged) if old["name"] == item["name"]), None)
            if index is None:
                merged.append(copy.deepcopy(item))
            else:
                merged[index] = merge(merged[index], item)
        return merged
    return copy.deepcopy(overlay)


def _named(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)


def set_path(tree: Obj, path: str, value: object) -> None:
    r"""Write ``value`` at ``a.b[0].c`` or ``a.b[name:x].c``; a dot inside a key is written ``\.``.

    An index into the gateway lists names the gateway of that position of the profile, as upstream's profiles do.
    """
    keys = _parse_path(path)
    node: Any = tree
    for position, key in enumerate(keys[:-1]):
        following = keys[position + 1]
        if isinstance(key, str):
            if key not in node or not isinstance(node[key], dict | list):
                node[key] = [] if not isinstance(following, str) else {}
            node = node[key]
            if isinstance(node, list) == isinstance(following, str):
                raise OptionsError(f'"{path}": {key} is {"a list" if isinstance(node, list) else "not a list"}')
        else:
            node = _list_item(node, key, str(keys[position - 1]), path)
    last = keys[-1]
    if not isinstance(last, str):
        raise OptionsError(f'"{path}": a whole list item cannot be set')
    node[last] = value


def _list_item(items: list[Obj], key: int | tuple[str, str], owner: str, path: str) -> Obj:
    if isinstance(key, tuple):
        field, name = key
    elif key == 0 and owner in GATEWAY_LISTS and not items:
        field, name = "name", GATEWAY_LISTS[owner]
    else:
        if key > len(items):
            raise OptionsError(f'"{path}": index {key} is past the end of {owner}')
        if key == len(items):
            items.append({})
        return items[key]
    for item in items:
        if str(item.get(field)) == name:
            return item
    items.append({field: name})
    return items[-1]


def _parse_path(path: str) -> list[str | int | tuple[str, str]]:
    keys: list[str | int | tuple[str, str]] = []
    position = 0
    while position <= len(path):
        match = _SEGMENT.match(path, position)
        if match is None or (not match[1] and not match[2]):
            raise OptionsError(f'"{path}" is not a path')
        if match[1]:
            keys.append(match[1].replace("\\.", "."))
        for index in re.findall(r"\[([^\]]*)\]", match[2]):
            field, separator, name = index.partition(":")
            if separator:
                keys.append((field, name))
            elif index.isdigit():
                keys.append(int(index))
            else:
                raise OptionsError(f'"{path}": [{index}] is neither a number nor name:value')
        position = match.end()
        if position == len(path):
            return keys
        if path[position] != ".":
            raise OptionsError(f'"{path}" is not a path')
        position += 1
    raise OptionsError(f'"{path}" is not a path')


def _scalar(text: str) -> object:
    """A value of ``--set``: numbers and booleans as YAML reads them, everything else a string."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?(0|[1-9][0-9]*)", text):
        return int(text)
    if text.startswith("{") and text.endswith("}"):
        return [_scalar(item) for item in text[1:-1].split(",")] if text != "{}" else {}
    return text


def _check_fields(spec: Obj) -> None:
    for field in spec:
        if field not in SPEC_FIELDS:
            known = ", ".join(sorted(SPEC_FIELDS - {"unvalidatedValues", "compatibilityVersion"}))
            raise OptionsError(f'unknown field "{field}" in v1alpha1.IstioOperatorSpec; an installation has {known}')
    for field in ("meshConfig", "components", "values"):
        if not isinstance(spec.get(field) or {}, dict):
            raise OptionsError(f"{field} is not an object")
    components = spec.get("components") or {}
    for name in components:
        if name not in KNOWN_COMPONENTS:
            raise OptionsError(f'unknown component "{name}"; there are {", ".join(sorted(KNOWN_COMPONENTS))}')
    for name in ("cni", "ztunnel"):
        if (components.get(name) or {}).get("enabled"):
            raise OptionsError(
                f'component "{name}" is not available in the lab: sidecars are reached by http_proxy, without iptables'
            )
    for owner in GATEWAY_LISTS:
        if not _named(components.get(owner) or []):
            raise OptionsError(f"components.{owner} must be a list of gateways, each with a name")


def _check_shape(known: object, asked: object, path: str) -> None:
    """Refuse a scalar or list where the defaults have an object, and the reverse, before anything reads it."""
    if isinstance(known, dict) != isinstance(asked, dict) or isinstance(known, list) != isinstance(asked, list):
        if known in ({}, []) or asked is None:
            return
        shape = "an object" if isinstance(known, dict) else "a list" if isinstance(known, list) else "a single value"
        raise OptionsError(f'"{path}" is {shape}, not {asked!r}')
    if isinstance(known, dict) and isinstance(asked, dict):
        for key, value in asked.items():
            if key in known:
                _check_shape(known[key], value, f"{path}.{key}" if path else key)


def _apply_legacy_values(spec: Obj) -> None:
    """Carry over what people set by its Helm name: ``values.gateways.istio-*.enabled``, ``values.global.hub/tag``."""
    values = spec["values"]
    for owner, name in GATEWAY_LISTS.items():
        enabled = (values["gateways"].get(name) or {}).get("enabled")
        if enabled is not None:
            for gateway in spec["components"][owner]:
                if gateway["name"] == name:
                    gateway["enabled"] = bool(enabled)
    for field in ("hub", "tag"):
        if value := values["global"].get(field):
            spec[field] = str(value)
    if isinstance(values.get("meshConfig"), dict):
        spec["meshConfig"] = merge(spec["meshConfig"], values["meshConfig"])
