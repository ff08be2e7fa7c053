"""CustomResourceDefinitions: from the object to the rows, schemas and columns that are served.

Pure functions; the strategy of the definitions and the registry call them.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from meshlab.minicluster.apiserver.catalog import CustomVersion
from meshlab.minicluster.apiserver.resources import Resource, Subresource
from meshlab.minicluster.apiserver.schema.rules import rule_tree
from meshlab.minicluster.apiserver.statuses import Problem, invalid_value, required
from meshlab.minicluster.kubeapi import Obj

CRD_STORAGE = "apiextensions.k8s.io/customresourcedefinitions"
CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_SUBRESOURCE_VERBS = ("get", "patch", "update")


def accepted_names(spec: Obj) -> Obj:
    """``spec.names`` with the defaults upstream gives: singular, listKind."""
    names: Obj = dict(spec.get("names") or {})
    names.setdefault("singular", str(names.get("kind", "")).lower())
    names.setdefault("listKind", f"{names.get('kind', '')}List")
    return names


def versions(definition: Obj) -> Iterator[CustomVersion]:
    """Every served version of a definition."""
    spec = definition["spec"]
    names = accepted_names(spec)
    group = spec["group"]
    storage_version = next(version["name"] for version in spec["versions"] if version.get("storage"))
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        subresources: Obj = version.get("subresources") or {}
        rows: dict[str, Subresource] = {}
        if "status" in subresources:
            rows["status"] = Subresource("status", names["kind"], group, version["name"], _SUBRESOURCE_VERBS)
        if "scale" in subresources:
            rows["scale"] = Subresource("scale", "Scale", "autoscaling", "v1", _SUBRESOURCE_VERBS)
        resource = Resource(
            group=group,
            version=version["name"],
            kind=names["kind"],
            plural=names["plural"],
            singular=names["singular"],
            namespaced=spec["scope"] == "Namespaced",
            verbs=_VERBS,
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=MappingProxyType(rows),
            storage=f"{group}/{names['plural']}",
        )
        schema = _complete_schema((version.get("schema") or {}).get("openAPIV3Schema"))
        yield CustomVersion(
            resource=resource,
            schema=schema,
            rules=rule_tree(schema),
            columns=tuple(version.get("additionalPrinterColumns") or ()),
            has_status="status" in subresources,
            scale=subresources.get("scale"),
            stored_api_version=f"{group}/{storage_version}",
            selectable_fields=tuple(
                field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or () if "jsonPath" in field
            ),
            deprecation=_deprecation(resource, version),
        )


def _deprecation(resource: Resource, version: Obj) -> str:
    if not version.get("deprecated"):
        return ""
    text = f"{resource.group}/{resource.version} {resource.kind} is deprecated"
    return str(version.get("deprecationWarning") or text)


def _complete_schema(schema: Obj | None) -> Obj:
    if schema is None:
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        **(schema.get("properties") or {}),
        # ObjectMeta is the built-in one, judged there; a definition cannot add to it.
        "metadata": {"type": "object"},
    }
    return {**schema, "properties": properties}


def problems(definition: Obj) -> Iterator[Problem]:
    """What is wrong with a definition beyond its schema."""
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    wanted = f"{names.get('plural')}.{spec.get('group')}"
    name = definition["metadata"].get("name")
    if name != wanted:
        yield invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    for field in ("plural", "kind"):
        if not names.get(field):
            yield required(f"spec.names.{field}")
    listed = spec.get("versions") or []
    if not listed:
        yield required("spec.versions", "must have at least one version")
    elif sum(bool(version.get("storage")) for version in listed) != 1:
        yield invalid_value(
            "spec.versions", [v.get("name") for v in listed], "must have exactly one version marked as storage version"
        )
    for index, version in enumerate(listed):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            yield required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required")


def status(definition: Obj, taken: Any, now: str) -> Obj:
    """The status of a definition that was just written.

    Args:
        definition: the object; its old status is kept where it still holds.
        taken: a text that says which name belongs to another definition, or empty.
        now: the timestamp for conditions that change.
    """
    spec = definition["spec"]
    old: Obj = definition.get("status") or {}
    storage = next((version["name"] for version in spec["versions"] if version.get("storage")), "")
    stored = list(old.get("storedVersions") or ())
    if storage and storage not in stored:
        stored.append(storage)
    if taken:
        wanted = [
            ("NamesAccepted", "False", "MultipleNamesNotAllowed", taken),
            ("Established", "False", "NotAccepted", "not all names are accepted"),
        ]
    else:
        wanted = [
            ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
            ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
        ]
    conditions = [
        condition
        for condition in old.get("conditions") or ()
        if condition["type"] not in dict.fromkeys(w[0] for w in wanted)
    ]
    for type_, state, reason, message in wanted:
        before = next((c for c in old.get("conditions") or () if c["type"] == type_), None)
        unchanged = before is not None and before["status"] == state
        conditions.append(
            {
                "lastTransitionTime": before["lastTransitionTime"] if before is not None and unchanged else now,
                "message": message,
                "reason": reason,
                "status": state,
                "type": type_,
            }
        )
    names = (old.get("acceptedNames") or {"plural": "", "kind": ""}) if taken else accepted_names(spec)
    return {"acceptedNames": names, "conditions": conditions, "storedVersions": stored}
