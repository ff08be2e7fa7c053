"""Request bodies in YAML, read as the API server upstream reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
import yaml

from meshlab.minicluster.kubeapi import StatusError


class _KubernetesLoader(yaml.SafeLoader):
    """YAML as Go's untyped decoder reads it: no timestamps, and only true and false are booleans."""


_KubernetesLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_KubernetesLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def parse_yaml(body: bytes, *, strict: bool = False) -> tuple[Any, list[str]]:
    """Parse a YAML body; see `parse_body`."""
    try:
        node = yaml.compose(body, Loader=_KubernetesLoader)
        value = yaml.load(body, Loader=_KubernetesLoader)
        value = orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    except (yaml.YAMLError, ValueError, TypeError) as error:
        text = " ".join(str(error).split())
        raise StatusError(400, "BadRequest", f"error converting YAML to JSON: yaml: {text}") from None
    return value, list(_duplicates(node, "")) if strict else []


def _duplicates(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            where = f"{path}.{key.value}" if path else str(key.value)
            if key.value in seen:
                yield where
            seen.add(key.value)
            yield from _duplicates(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _duplicates(item, f"{path}[{index}]")
