from __future__ import annotations

import copy
from typing import Any

from meshlab.minicluster.apiserver.schema import SchemaSet, prune

SCHEMAS = SchemaSet()


def test_unknown_fields_of_a_built_in_kind() -> None:
    schema = SCHEMAS.definition("v1", "Pod")
    assert schema is not None
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "label": {}},
        "spec": {"containers": [{"name": "c", "imagee": "nginx"}], "nodeSelector": {"any": "key"}},
    }
    before = copy.deepcopy(pod)
    pruned, unknown = prune(schema, pod)
    assert unknown == ["metadata.label", "spec.containers[0].imagee"]
    assert pruned["spec"] == {"containers": [{"name": "c"}], "nodeSelector": {"any": "key"}}
    assert pod == before


def test_free_form_built_in_fields_are_kept() -> None:
    schema = SCHEMAS.definition("apps/v1", "ControllerRevision")
    assert schema is not None
    revision = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {}, "data": {"spec": {"x": 1}}}
    assert prune(schema, revision) == (revision, [])
    fields = {"metadata": {"managedFields": [{"fieldsV1": {"f:spec": {"f:x": {}}}}]}, "revision": 1}
    assert prune(schema, fields) == (fields, [])


def custom(spec: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": spec, "metadata": {"type": "object"}}}


def test_structural_schemas_prune_what_they_do_not_name() -> None:
    schema = custom({"type": "object", "properties": {"a": {"type": "object"}}})
    obj = {"apiVersion": "x/v1", "kind": "X", "spec": {"a": {"b": 1}, "c": 1}, "extra": 1}
    pruned, unknown = prune(schema, obj)
    assert pruned == {"apiVersion": "x/v1", "kind": "X", "spec": {"a": {}}}
    assert unknown == ["spec.a.b", "spec.c", "extra"]


def test_unknown_fields_are_preserved_where_the_schema_says_so() -> None:
    preserve = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    obj = {"spec": {"a": {"b": [{"c": 1}]}}}
    assert prune(custom(preserve), obj) == (obj, [])
    partly = {**preserve, "properties": {"known": {"type": "object", "properties": {}}}}
    pruned, unknown = prune(custom(partly), {"spec": {"known": {"x": 1}, "other": {"y": 1}}})
    assert pruned == {"spec": {"known": {}, "other": {"y": 1}}}
    assert unknown == ["spec.known.x"]


def test_maps_keep_their_keys() -> None:
    schema = custom({"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {}}}})
    assert prune(schema, {"spec": {"k": {"a": 1, "b": 2}}}) == ({"spec": {"k": {"a": 1}}}, ["spec.k.b"])


def test_metadata_is_judged_as_object_metadata() -> None:
    obj = {"metadata": {"name": "x", "labels": {"a": "b"}, "owner": "me"}}
    assert prune(custom({}), obj) == (obj, [])
    pruned, unknown = prune(custom({}), obj, metadata=SCHEMAS.metadata())
    assert pruned == {"metadata": {"name": "x", "labels": {"a": "b"}}}
    assert unknown == ["metadata.owner"]


def test_embedded_resources_keep_their_identity() -> None:
    schema = custom(
        {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}}
    )
    obj = {"spec": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}, "other": 1}}
    pruned, unknown = prune(schema, obj)
    assert unknown == ["spec.other"]
    assert set(pruned["spec"]) == {"apiVersion", "kind", "metadata", "spec"}
