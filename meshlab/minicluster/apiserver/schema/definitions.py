"""The schemas of built-in kinds, from the data that ``tools/gen_schemas.py`` generates.

The data is read on first use, so that a server is up before it is needed.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.schema import openapi
from meshlab.minicluster.kubeapi import Obj

Schema = Mapping[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_NESTED = frozenset({"$ref", "properties", "items", "additionalProperties", "description"})
_INT_OR_STRING = "int-or-string"


class SchemaSet:
    """The built-in definitions, and the OpenAPI documents made from them."""

    def definition(self, api_version: str, kind: str) -> Schema | None:
        """The schema of a built-in kind without references; None if there is no such kind.

        Every node is ``nullable``: to Go, null in a typed object is the absent value.
        """
        name = _names().get((api_version, kind))
        return None if name is None else _resolved(name)

    def metadata(self) -> Schema:
        """The schema of ``ObjectMeta``."""
        return _resolved(_META + "ObjectMeta")

    def openapi_v3_index(self, resources: Iterable[Resource], *, generation: object = "") -> Obj:
        """The document at ``/openapi/v3``: where the document of each group version is.

        Args:
            resources: everything that is served.
            generation: anything that changes with the custom resources' schemas; clients cache by it.
        """
        return openapi.index(resources, generation)

    def openapi_v3(
        self, group_version: str, resources: Iterable[Resource], schemas: Mapping[str, Schema] | None = None
    ) -> Obj:
        """The document of one group version.

        Args:
            group_version: ``v1``, ``apps/v1``.
            resources: what is served; rows of other group versions are passed over.
            schemas: structural schemas of custom resources in this group version, by kind.
        """
        rows = [resource for resource in resources if resource.api_version == group_version]
        return openapi.document(rows, _definitions(), _names(), schemas or {})


@cache
def _definitions() -> dict[str, Obj]:
    data = files("meshlab.minicluster.apiserver").joinpath("data/schemas.json.gz").read_bytes()
    definitions: dict[str, Obj] = orjson.loads(gzip.decompress(data))
    return definitions


@cache
def _names() -> dict[tuple[str, str], str]:
    """Definition names by (apiVersion, kind)."""
    names = {}
    for name, definition in _definitions().items():
        for gvk in definition.get("x-kubernetes-group-version-kind") or ():
            api_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            names[api_version, gvk["kind"]] = name
    return names


_resolved_definitions: dict[str, Obj] = {}


def _resolved(name: str) -> Obj:
    """A definition with its references replaced by what they name; recursive types become cyclic dicts."""
    known = _resolved_definitions.get(name)
    if known is None:
        known = _resolved_definitions[name] = {"x-go-type": ".".join(name.rsplit(".", 2)[1:])}
        _resolve_into(known, _definitions()[name])
    return known


def _resolve(node: Obj) -> Obj:
    reference = node.get("$ref")
    if reference is None:
        return _resolve_into({}, node)
    target = _resolved(reference.rpartition("/")[2])
    extra = {key: value for key, value in node.items() if key not in _NESTED}
    # Shared where nothing is added: a copy of a recursive type would be taken before it is complete.
    return {**target, **extra} if extra else target


def _resolve_into(result: Obj, node: Obj) -> Obj:
    result.update((key, value) for key, value in node.items() if key not in _NESTED)
    result["nullable"] = True
    if node.get("format") == _INT_OR_STRING:
        result["x-kubernetes-int-or-string"] = True
    properties = node.get("properties")
    if properties is not None:
        known = result["properties"] = {}
        for key, child in properties.items():
            known[key] = _resolve(child)
    if isinstance(node.get("items"), dict):
        result["items"] = _resolve(node["items"])
    additional = node.get("additionalProperties")
    if additional is not None:
        result["additionalProperties"] = _resolve(additional) if isinstance(additional, dict) else additional
    return result
