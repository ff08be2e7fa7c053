"""Proto JSON as upstream's istioctl prints it: lowerCamelCase names, where Envoy's admin writes snake_case."""

from __future__ import annotations

import json
from typing import Any

import yaml

from meshlab.minicluster.kubeapi import Obj

FREE_MAPS = frozenset(
    [
        "typed_per_filter_config",
        "typed_filter_metadata",
        "labels",
        "typedPerFilterConfig",
        "typedFilterMetadata",
        "typed_extension_protocol_options",
        "typedExtensionProtocolOptions",
    ]
)
"""Fields whose keys are data; their values are messages again."""
STRUCTS = frozenset({"filter_metadata", "filterMetadata"})
"""Fields that hold free JSON, kept as it is."""


def camel(value: Any) -> Any:
    """The value with proto field names in lowerCamelCase."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    if str(value.get("@type", "")).endswith("google.protobuf.Struct"):
        return value
    result = {}
    for key, item in value.items():
        if key in STRUCTS:
            result[_name(key)] = item
        elif key in FREE_MAPS and isinstance(item, dict):
            result[_name(key)] = {name: camel(inner) for name, inner in item.items()}
        else:
            result[_name(key)] = camel(item)
    return result


def plain(resources: list[Obj]) -> list[Obj]:
    """The resources without the type that ``Any`` wraps around them: each is printed as the message it is."""
    return [{key: value for key, value in resource.items() if key != "@type"} for resource in resources]


def _name(key: str) -> str:
    if key.startswith("@") or "." in key:
        return key
    head, *rest = key.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def dump(value: Any, form: str) -> str:
    """The value as ``json`` (indented by four, as upstream) or ``yaml``."""
    if form == "yaml":
        text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
        return text
    return json.dumps(value, indent=4, ensure_ascii=False) + "\n"
