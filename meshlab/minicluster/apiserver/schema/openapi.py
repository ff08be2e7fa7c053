"""OpenAPI v3 documents: one index, one document per group version.

Paths are generated from the resource table: only so much of them as clients look at. kubectl finds a kind's schema
by ``x-kubernetes-group-version-kind``, and leaves validation to the server if the kind's ``patch`` declares the query
parameter ``fieldValidation``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.kubeapi import Obj

Schema = Mapping[str, Any]

_REF = "#/components/schemas/"
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
_STRUCTURAL = "properties", "items", "additionalProperties", "allOf", "anyOf", "oneOf", "not"

_WRITE_PARAMETERS = {
    "dryRun": "When present, indicates that modifications should not be persisted.",
    "fieldManager": "fieldManager is a name associated with the actor or entity that is making these changes.",
    "fieldValidation": (
        "fieldValidation instructs the server on how to handle objects in the request containing unknown or duplicate "
        "fields. Valid values are: Ignore, Warn, Strict."
    ),
}
_LIST_PARAMETERS = {
    "continue": "The continue option should be set when retrieving more results from the server.",
    "fieldSelector": "A selector to restrict the list of returned objects by their fields.",
    "labelSelector": "A selector to restrict the list of returned objects by their labels.",
    "limit": "limit is a maximum number of responses to return for a list call.",
    "resourceVersion": "resourceVersion sets a constraint on what resource versions a request may be served from.",
    "watch": "Watch for changes to the described resources.",
}
_PARAMETER_TYPES = {"limit": "integer", "watch": "boolean"}

_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_CUSTOM_PATCH_TYPES = _PATCH_TYPES[:2]
"""kubectl sends a strategic merge patch wherever this document offers one, and custom resources take none."""


def index(resources: Iterable[Resource], generation: object) -> Obj:
    """The index document; the hash in each URL changes with what the document would say."""
    rows: dict[str, list[Resource]] = {}
    for resource in resources:
        rows.setdefault(resource.api_version, []).append(resource)
    paths = {}
    for api_version, group in rows.items():
        path = f"api/{api_version}" if "/" not in api_version else f"apis/{api_version}"
        served = repr([(row.plural, row.kind, row.verbs, sorted(row.subresources)) for row in group])
        digest = hashlib.sha256(f"{served}{generation}".encode()).hexdigest()[:32].upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def document(
    resources: Sequence[Resource],
    definitions: Mapping[str, Schema],
    names: Mapping[tuple[str, str], str],
    custom: Mapping[str, Schema],
) -> Obj:
    """The document of the resources of one group version.

    Args:
        resources: the rows of that group version.
        definitions: built-in definitions by name, with references.
        names: definition names by (apiVersion, kind).
        custom: structural schemas of custom resources, by kind.
    """
    schemas: dict[str, Any] = {}
    roots = set[str]()
    paths: Obj = {}
    for resource in resources:
        schema = custom.get(resource.kind)
        if schema is None:
            name = names.get((resource.api_version, resource.kind))
            listed = names.get((resource.api_version, resource.list_kind))
            roots.update(item for item in (name, listed) if item)
        else:
            name = definition_name(resource)
            listed = f"{name}List"
            schemas[name] = _custom_definition(resource, schema)
            schemas[listed] = _list_definition(resource, name)
            roots |= {_OBJECT_META, _LIST_META}
        roots.update(
            found
            for sub in resource.subresources.values()
            if (found := names.get((sub.api_version, sub.kind))) is not None
        )
        paths |= _paths(resource, name, listed, _PATCH_TYPES if schema is None else _CUSTOM_PATCH_TYPES)
    schemas |= {name: _published(definitions[name]) for name in _closure(roots, definitions)}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.1"},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey",
                    "description": "Bearer Token authentication",
                    "name": "authorization",
                    "in": "header",
                }
            },
        },
    }


def definition_name(resource: Resource) -> str:
    """The name of a custom resource's definition: ``io.istio.networking.v1.VirtualService``."""
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


def _custom_definition(resource: Resource, schema: Schema) -> Obj:
    definition: Obj = orjson.loads(orjson.dumps(schema))
    if definition.get("properties") or not definition.get("x-kubernetes-preserve-unknown-fields"):
        definition.setdefault("properties", {}).update(
            {
                "apiVersion": {"type": "string", "description": _API_VERSION},
                "kind": {"type": "string", "description": _KIND},
                "metadata": {
                    "allOf": [{"$ref": _REF + _OBJECT_META}],
                    "description": "Standard object's metadata. More info: "
                    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
                },
            }
        )
    definition["x-kubernetes-group-version-kind"] = [_gvk(resource)]
    return definition


def _list_definition(resource: Resource, name: str) -> Obj:
    return {
        "description": f"{resource.list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": _API_VERSION},
            "items": {"type": "array", "items": {"allOf": [{"$ref": _REF + name}]}},
            "kind": {"type": "string", "description": _KIND},
            "metadata": {"allOf": [{"$ref": _REF + _LIST_META}]},
        },
        "x-kubernetes-group-version-kind": [{**_gvk(resource), "kind": resource.list_kind}],
    }


_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized "
    "schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)


def _published(node: Any) -> Any:
    """A definition as published: a reference with anything beside it is wrapped, since OpenAPI 3.0 ignores siblings."""
    if isinstance(node, list):
        return [_published(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: _published(value) for key, value in node.items()}
    if isinstance(result.get("$ref"), str) and len(result) > 1:
        result["allOf"] = [{"$ref": result.pop("$ref")}]
    return result


def _closure(roots: set[str], definitions: Mapping[str, Schema]) -> set[str]:
    pending, found = set(roots), set[str]()
    while pending:
        name = pending.pop()
        found.add(name)
        pending |= set(_references(definitions[name])) - found
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_REF)
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _gvk(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _paths(resource: Resource, name: str | None, listed: str | None, patch_types: Sequence[str]) -> Obj:
    """The paths of one resource, each with its operations."""
    base = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    collection = (
        f"{base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{base}/{resource.plural}"
    )
    shared = [_path_parameter("namespace")] if resource.namespaced else []
    # verb: (path item, HTTP method, x-kubernetes-action, query parameters, answer)
    table = {
        "list": (collection, "get", "list", _LIST_PARAMETERS, listed),
        "create": (collection, "post", "post", _WRITE_PARAMETERS, name),
        "deletecollection": (collection, "delete", "deletecollection", _LIST_PARAMETERS, None),
        "get": (f"{collection}/{{name}}", "get", "get", {}, name),
        "update": (f"{collection}/{{name}}", "put", "put", _WRITE_PARAMETERS, name),
        "patch": (f"{collection}/{{name}}", "patch", "patch", _WRITE_PARAMETERS, name),
        "delete": (f"{collection}/{{name}}", "delete", "delete", {"dryRun": _WRITE_PARAMETERS["dryRun"]}, None),
    }
    paths: dict[str, Obj] = {}
    for verb in resource.verbs:
        if verb not in table:
            continue
        path, method, action, parameters, answer = table[verb]
        item = paths.setdefault(path, {"parameters": [*shared, *_name_parameter(path)]})
        item[method] = _operation(resource, action, parameters, answer, patch_types)
    for sub in resource.subresources.values():
        path = f"{collection}/{{name}}/{sub.name}"
        item = paths.setdefault(path, {"parameters": [*shared, *_name_parameter(path)]})
        for verb in sub.verbs:
            method = {"create": "post", "update": "put"}.get(verb, verb)
            parameters = _WRITE_PARAMETERS if method != "get" else {}
            operation = _operation(resource, method, parameters, None, patch_types, sub.name)
            operation["x-kubernetes-group-version-kind"] = {
                "group": sub.group,
                "version": sub.version,
                "kind": sub.kind,
            }
            item[method] = operation
    return paths


def _operation(
    resource: Resource,
    action: str,
    parameters: Mapping[str, str],
    answer: str | None,
    patch_types: Sequence[str],
    subresource: str = "",
) -> Obj:
    scope = "Namespaced" if resource.namespaced else ""
    group = resource.group.split(".")[0].capitalize() or "Core"
    target = f"{group}{resource.version.capitalize()}{scope}{resource.kind}{subresource.capitalize()}"
    operation: Obj = {
        "operationId": f"{action}{target}",
        "tags": [f"{group.lower()}_{resource.version}"],
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(resource),
    }
    if parameters:
        operation["parameters"] = [
            {
                "name": name,
                "in": "query",
                "description": description,
                "schema": {"type": _PARAMETER_TYPES.get(name, "string"), "uniqueItems": True},
            }
            for name, description in parameters.items()
        ]
    content: Obj = {"schema": {"$ref": _REF + answer}} if answer else {"schema": {"type": "object"}}
    operation["responses"] = {"200": {"description": "OK", "content": {"application/json": content}}}
    if action in {"post", "put"}:
        operation["requestBody"] = {"required": True, "content": {"*/*": content}}
    elif action == "patch":
        operation["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": {"type": "object"}} for kind in patch_types},
        }
    return operation


def _path_parameter(name: str) -> Obj:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}


def _name_parameter(path: str) -> list[Obj]:
    return [_path_parameter("name")] if "{name}" in path else []
