"""CustomResourceDefinitions from kubectl's side: served at once, validated, defaulted, printed, and gone when told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from meshlab.minicluster.apiserver import ApiServer

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Size, type: string, jsonPath: .spec.size}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema: &schema
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: string, enum: [small, large]}
              replicas: {type: integer, minimum: 0, default: 1}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema: *schema
"""
WIDGET = """
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: small}
"""


async def succeed(kubectl: Any, *arguments: str, **options: Any) -> str:
    done = await kubectl(*arguments, **options)
    assert done.code == 0, done.err
    return str(done.out)


async def define(kubectl: Any) -> None:
    await succeed(kubectl, "apply", "-f", "-", stdin=DEFINITION)
    await succeed(kubectl, "wait", "--for=condition=established", "crd/widgets.example.com", "--timeout=10s")


async def test_custom_resources_live_like_built_in_ones(kubectl: Any, server: ApiServer) -> None:
    await define(kubectl)
    await succeed(kubectl, "apply", "-f", "-", stdin=WIDGET)
    assert "unchanged" in await succeed(kubectl, "apply", "-f", "-", stdin=WIDGET)
    printed = (await succeed(kubectl, "get", "wd")).splitlines()
    assert printed[0].split() == ["NAME", "SIZE", "AGE"] and printed[1].split()[:2] == ["w", "small"]
    answer = await kubectl("get", "widgets.v1beta1.example.com", "w", "-o", "json")
    assert answer.err == "Warning: example.com/v1beta1 Widget is deprecated\n"
    old = json.loads(answer.out)
    assert old["apiVersion"] == "example.com/v1beta1" and old["spec"] == {"size": "small", "replicas": 1}
    assert "widget.example.com/w" in await succeed(kubectl, "get", "all", "-o", "name")
    await succeed(kubectl, "scale", "wd", "w", "--replicas=5")
    await succeed(kubectl, "patch", "wd", "w", "--type=merge", "-p", '{"spec":{"size":"large"}}')
    widget = await server.local("test").get("widgets.example.com", "w", "default")
    assert widget["spec"] == {"size": "large", "replicas": 5} and widget["metadata"]["generation"] == 3
    assert "FIELD: size <string>" in await succeed(kubectl, "explain", "widget.spec.size")


async def test_the_schema_is_enforced(kubectl: Any) -> None:
    await define(kubectl)
    failed = await kubectl("create", "-f", "-", stdin=WIDGET.replace("small", "huge"))
    assert 'spec.size: Unsupported value: "huge": supported values: "small", "large"' in failed.err
    failed = await kubectl("create", "-f", "-", stdin=WIDGET.replace("size: small", "replicas: 2"))
    assert "spec.size: Required value" in failed.err
    failed = await kubectl("create", "-f", "-", stdin=WIDGET.replace("size: small", "size: small, colour: red"))
    assert 'strict decoding error: unknown field "spec.colour"' in failed.err
    warned = await kubectl("create", "--validate=warn", "-f", "-", stdin=WIDGET.replace("small", "small, colour: red"))
    assert warned.code == 0 and 'Warning: unknown field "spec.colour"' in warned.err
    assert "colour" not in await succeed(kubectl, "get", "wd", "w", "-o", "yaml")


async def test_status_is_written_apart(server: ApiServer, kubectl: Any) -> None:
    await define(kubectl)
    api = server.local("test")
    created = await api.create(
        "widgets.example.com", {"metadata": {"name": "w"}, "spec": {"size": "small"}, "status": {"a": 1}}, "default"
    )
    assert "status" not in created
    await api.patch("widgets.example.com", "w", {"status": {"a": 1}, "spec": {"size": "large"}}, "default")
    patched = await api.patch(
        "widgets.example.com", "w", {"status": {"b": 2}, "spec": {"size": "small"}}, "default", subresource="status"
    )
    assert patched["status"] == {"b": 2} and patched["spec"]["size"] == "large"
    assert patched["metadata"]["generation"] == 2


async def test_objects_go_with_their_definition(kubectl: Any, server: ApiServer) -> None:
    await define(kubectl)
    await succeed(kubectl, "apply", "-f", "-", stdin=WIDGET)
    await succeed(kubectl, "delete", "crd", "widgets.example.com", "--timeout=10s")
    assert (await kubectl("get", "widgets")).code == 1
    assert "widgets" not in await succeed(kubectl, "api-resources")
    await define(kubectl)
    assert (await kubectl("get", "widgets")).err == "No resources found in default namespace.\n"


async def test_a_definition_waits_for_finalizers_of_its_objects(kubectl: Any, server: ApiServer) -> None:
    await define(kubectl)
    api = server.local("test")
    held = {"metadata": {"name": "w", "finalizers": ["example.com/hold"]}, "spec": {"size": "small"}}
    await api.create("widgets.example.com", held, "default")
    deleting = asyncio.create_task(kubectl("delete", "crd", "widgets.example.com", "--timeout=20s"))
    version = (await api.list("widgets.example.com")).resource_version
    async for event in api.watch("widgets.example.com", resource_version=version):
        if event.object["metadata"].get("deletionTimestamp"):
            break
    assert not deleting.done()
    refused = await kubectl("create", "-f", "-", stdin=WIDGET.replace("name: w", "name: late"))
    assert refused.code == 1
    await api.patch("widgets.example.com", "w", {"metadata": {"finalizers": None}}, "default")
    assert (await deleting).code == 0
