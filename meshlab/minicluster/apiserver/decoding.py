"""From a parsed body to an object of its kind: identity checked, unknown fields found, schema defaults filled in."""

from __future__ import annotations

from typing import Any

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.conversion import convert
from meshlab.minicluster.apiserver.requests import Request
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.schema import Schema, SchemaSet, decode_error, default, prune, validate
from meshlab.minicluster.apiserver.schema.rules import RuleTree, not_checked, rule_problems
from meshlab.minicluster.apiserver.statuses import Problem
from meshlab.minicluster.kubeapi import Obj


class Decoder:
    """Decodes bodies of every resource, built in or custom.

    Args:
        catalog: where the schemas of custom resources are.
        schemas: those of the built-in kinds.
    """

    def __init__(self, catalog: Catalog, schemas: SchemaSet) -> None:
        self._catalog = catalog
        self.schemas = schemas
        # The version of each kind in which it is kept: the one its group prefers.
        self._stored: dict[str, str] = {}
        for resource in catalog.resources():
            if catalog.custom(resource) is None:
                self._stored.setdefault(resource.storage, resource.api_version)

    def schema(self, resource: Resource) -> Schema | None:
        """The schema of a resource's objects in its own version."""
        custom = self._catalog.custom(resource)
        if custom is not None:
            return custom.schema
        return self.schemas.definition(resource.api_version, resource.kind)

    def stored_api_version(self, resource: Resource) -> str:
        """The apiVersion under which a resource's objects are kept."""
        custom = self._catalog.custom(resource)
        if custom is not None:
            return custom.stored_api_version
        return self._stored.get(resource.storage, resource.api_version)

    def decode(self, request: Request, body: Any) -> Obj:
        """The body as an object of the request's resource, in the version in which it is kept.

        Unknown fields are dropped; ``request.field_validation`` decides whether that is an error, a warning or nothing.

        Raises:
            StatusError: 400 where the body is not of that kind, 422 where it breaks a custom resource's schema.
        """
        obj = self.decode_as(request, body)
        return convert(obj, self.stored_api_version(request.resource))

    def decode_as(self, request: Request, body: Any) -> Obj:
        """The same, in the version in which it came."""
        resource = request.resource
        obj = _identified(resource, body)
        schema = self.schema(resource)
        if schema is None:
            return obj
        if self._catalog.custom(resource) is None:
            return self._decode_builtin(request, schema, obj)
        return self._decode_custom(request, schema, obj)

    def _decode_builtin(self, request: Request, schema: Schema, obj: Obj) -> Obj:
        # To Go, null is the absent value.
        obj = _without_nulls(obj)
        error = decode_error(schema, obj)
        if error is not None:
            raise statuses.bad_request(error)
        pruned, unknown = prune(schema, obj)
        _report(request, unknown)
        return pruned

    def _decode_custom(self, request: Request, schema: Schema, obj: Obj) -> Obj:
        resource = request.resource
        metadata_schema = self.schemas.metadata()
        obj["metadata"] = _without_nulls(obj["metadata"])
        error = decode_error(
            {"type": "object", "properties": {"metadata": metadata_schema}},
            {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"]},
        )
        if error is not None:
            raise statuses.bad_request(error)
        pruned, unknown = prune(schema, obj, metadata=metadata_schema)
        _report(request, unknown)
        defaulted = default(schema, pruned)
        problems = validate(schema, defaulted)
        if problems:
            if self._rules(resource) is not None:
                problems += not_checked(problems)
            name = request.name or obj["metadata"].get("name") or ""
            raise statuses.invalid(resource, name, problems)
        return defaulted

    def _rules(self, resource: Resource) -> RuleTree | None:
        custom = self._catalog.custom(resource)
        return None if custom is None else custom.rules

    def broken_rules(self, resource: Resource, obj: Obj, old: Obj | None) -> list[Problem]:
        """The CEL rules of a custom resource's definition that an object breaks.

        Args:
            resource: what it is.
            obj: the object, otherwise valid.
            old: what it replaces; what was wrong before and is unchanged is let through.
        """
        return rule_problems(self._rules(resource), obj, old)

    def missing(self, resource: Resource, obj: Obj) -> list[Problem]:
        """Required fields of a built-in object that nobody gave, its status aside."""
        if self._catalog.custom(resource) is not None:
            return []
        schema = self.schemas.definition(self.stored_api_version(resource), resource.kind)
        if schema is None:
            return []
        judged = {key: value for key, value in obj.items() if key not in ("metadata", "status")}
        return [
            problem
            for problem in validate(schema, judged)
            if problem.reason == "FieldValueRequired" and not problem.field.startswith(("metadata", "status"))
        ]


def _identified(resource: Resource, body: Any) -> Obj:
    if not isinstance(body, dict):
        raise statuses.bad_request(
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {type(body).__name__} into Go value "
            "of type struct { APIVersion string; Kind string }"
        )
    obj: Obj = body
    kind, api_version = obj.get("kind") or resource.kind, obj.get("apiVersion") or resource.api_version
    if kind != resource.kind:
        version = api_version.rpartition("/")[2]
        raise statuses.bad_request(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: no kind "{kind}" is registered for '
            f'version "{resource.api_version}" in scheme "pkg/api/legacyscheme/scheme.go:30"'
        )
    if api_version != resource.api_version:
        raise statuses.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    metadata = obj.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        version = resource.version
        raise statuses.bad_request(
            f'{kind} in version "{version}" cannot be handled as a {kind}: json: cannot unmarshal '
            f"{type(metadata).__name__} into Go struct field {kind}.metadata of type v1.ObjectMeta"
        )
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata or {}, **rest}


def _report(request: Request, unknown: list[str]) -> None:
    findings = [f'unknown field "{path}"' for path in unknown]
    findings += [f'duplicate field "{path}"' for path in request.duplicates]
    if not findings or request.field_validation == "Ignore":
        return
    if request.field_validation == "Strict":
        resource = request.resource
        raise statuses.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: strict decoding '
            f"error: {', '.join(findings)}"
        )
    request.warnings += findings


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
