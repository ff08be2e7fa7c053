from __future__ import annotations

from meshlab.minicluster.apiserver.resources import Resource, builtin_resources
from meshlab.minicluster.apiserver.schema import SchemaSet

SCHEMAS = SchemaSet()


def test_every_resource_and_its_subresources_have_a_schema() -> None:
    options = ("Options",)
    for resource in builtin_resources():
        assert SCHEMAS.definition(resource.api_version, resource.kind) is not None, resource
        for sub in resource.subresources.values():
            if not sub.kind.endswith(options):
                assert SCHEMAS.definition(sub.api_version, sub.kind) is not None, sub


def test_references_are_resolved_and_merge_keys_kept() -> None:
    pod = SCHEMAS.definition("v1", "Pod")
    assert pod is not None
    containers = pod["properties"]["spec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    port = containers["items"]["properties"]["ports"]["items"]
    assert port["properties"]["protocol"]["default"] == "TCP"
    assert port["properties"]["containerPort"]["type"] == "integer"


def test_int_or_string() -> None:
    service = SCHEMAS.definition("v1", "Service")
    assert service is not None
    port = service["properties"]["spec"]["properties"]["ports"]["items"]
    assert port["properties"]["targetPort"]["x-kubernetes-int-or-string"] is True


def test_recursive_types_are_cyclic() -> None:
    definition = SCHEMAS.definition("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert definition is not None
    versions = definition["properties"]["spec"]["properties"]["versions"]["items"]
    schema = versions["properties"]["schema"]["properties"]["openAPIV3Schema"]
    assert schema["properties"]["not"] is schema["properties"]["not"]["properties"]["not"]


def test_an_unknown_kind() -> None:
    assert SCHEMAS.definition("v1", "Gadget") is None


def test_index_points_at_every_group_version() -> None:
    paths = SCHEMAS.openapi_v3_index(builtin_resources())["paths"]
    assert set(paths) >= {"api/v1", "apis/apps/v1", "apis/rbac.authorization.k8s.io/v1"}
    url = paths["apis/apps/v1"]["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/apps/v1?hash=")
    again = SCHEMAS.openapi_v3_index(builtin_resources(), generation=2)["paths"]
    assert again["apis/apps/v1"]["serverRelativeURL"] != url


def test_document_of_a_group_version() -> None:
    document = SCHEMAS.openapi_v3("apps/v1", builtin_resources())
    schemas = document["components"]["schemas"]
    deployment = schemas["io.k8s.api.apps.v1.Deployment"]
    assert deployment["x-kubernetes-group-version-kind"] == [{"group": "apps", "version": "v1", "kind": "Deployment"}]
    assert deployment["properties"]["spec"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}
    ]
    assert "io.k8s.api.core.v1.Container" in schemas
    assert "io.k8s.api.core.v1.Node" not in schemas
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "fieldValidation" in [item["name"] for item in patch["parameters"]]
    assert "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale" in document["paths"]


def test_every_reference_of_a_document_has_its_target() -> None:
    for api_version in {item.api_version for item in builtin_resources()}:
        document = SCHEMAS.openapi_v3(api_version, builtin_resources())
        targets = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        assert references(document) <= targets


def references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(item) for item in node.values()))
    if isinstance(node, list):
        return set().union(*(references(item) for item in node))
    return set()


def test_document_of_custom_resources() -> None:
    gadget = Resource(
        group="lab.example.io",
        version="v1",
        kind="Gadget",
        plural="gadgets",
        singular="gadget",
        namespaced=True,
        verbs=("create", "get", "list", "patch"),
        storage="lab.example.io/gadgets",
    )
    schema = {"type": "object", "properties": {"spec": {"type": "object", "description": "What it does."}}}
    document = SCHEMAS.openapi_v3("lab.example.io/v1", [*builtin_resources(), gadget], {"Gadget": schema})
    definition = document["components"]["schemas"]["io.example.lab.v1.Gadget"]
    assert definition["properties"]["spec"]["description"] == "What it does."
    assert set(definition["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert "metadata" not in schema["properties"]
    assert references(document) <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(document["paths"]) == {
        "/apis/lab.example.io/v1/namespaces/{namespace}/gadgets",
        "/apis/lab.example.io/v1/namespaces/{namespace}/gadgets/{name}",
    }
