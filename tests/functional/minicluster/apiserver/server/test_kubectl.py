"""Real kubectl against a real server, command by command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.apiserver import ApiServer
from meshlab.minicluster.kubeapi import StatusError

MANIFEST = """
apiVersion: v1
kind: Service
metadata: {name: myapp}
spec:
  selector: {app: myapp}
  ports: [{port: 80, targetPort: 5678, name: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: myapp}
spec:
  replicas: 1
  selector: {matchLabels: {app: myapp}}
  template:
    metadata: {labels: {app: myapp}}
    spec:
      containers:
      - name: app
        image: hashicorp/http-echo
        args: ["-text=v1"]
        ports: [{containerPort: 5678}]
        env: [{name: WHO, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        readinessProbe: {httpGet: {path: /, port: 5678}}
        volumeMounts: [{name: settings, mountPath: /etc/settings}]
      volumes: [{name: settings, configMap: {name: settings}}]
"""


async def succeed(kubectl: Any, *arguments: str, **options: Any) -> str:
    done = await kubectl(*arguments, **options)
    assert done.code == 0, done.err
    return str(done.out)


@pytest.mark.full
async def test_generators_send_protobuf(kubectl: Any) -> None:
    assert await succeed(kubectl, "create", "namespace", "shop") == "namespace/shop created\n"
    for command in (
        ["create", "configmap", "c", "--from-literal=a=b"],
        ["create", "secret", "generic", "s", "--from-literal=p=w"],
        ["create", "deployment", "web", "--image=nginx", "--replicas=2"],
        ["create", "service", "clusterip", "web", "--tcp=80:8080"],
        ["create", "serviceaccount", "robot"],
        ["create", "role", "reader", "--verb=get", "--resource=pods"],
        ["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=shop:robot"],
        ["create", "job", "once", "--image=busybox"],
        ["create", "cronjob", "often", "--image=busybox", "--schedule=* * * * *"],
        ["create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=1"],
        ["create", "ingress", "web", "--rule=shop.local/*=web:80"],
        ["autoscale", "deployment", "web", "--max=3"],
    ):
        await succeed(kubectl, "-n", "shop", *command)
    assert "web" in await succeed(kubectl, "-n", "shop", "get", "deploy,svc,hpa,ing,pdb", "-o", "name")
    secret = json.loads(await succeed(kubectl, "-n", "shop", "get", "secret", "s", "-o", "json"))
    assert secret["data"] == {"p": "dw=="} and secret["type"] == "Opaque"


async def test_apply_is_idempotent_and_diff_quiet(kubectl: Any) -> None:
    assert "created" in await succeed(kubectl, "apply", "-f", "-", stdin=MANIFEST)
    again = await succeed(kubectl, "apply", "-f", "-", stdin=MANIFEST)
    assert again == "service/myapp unchanged\ndeployment.apps/myapp unchanged\n"
    quiet = await kubectl("diff", "-f", "-", stdin=MANIFEST)
    assert (quiet.code, quiet.out) == (0, "")
    differs = await kubectl("diff", "-f", "-", stdin=MANIFEST.replace("-text=v1", "-text=v2"))
    assert differs.code == 1 and "+        - -text=v2" in differs.out
    assert "configured" in await succeed(kubectl, "apply", "-f", "-", stdin=MANIFEST.replace("text=v1", "text=v2"))
    removed = MANIFEST.replace("        args:", "        workingDir: /tmp\n        args:").replace(", name: http", "")
    await succeed(kubectl, "apply", "-f", "-", stdin=removed)
    assert await succeed(kubectl, "get", "svc", "myapp", "-o", "jsonpath={.spec.ports[0].name}") == ""
    assert await succeed(kubectl, "delete", "-f", "-", stdin=MANIFEST)


@pytest.mark.full
async def test_get_in_all_forms(kubectl: Any) -> None:
    await succeed(kubectl, "apply", "-f", "-", stdin=MANIFEST)
    assert "CLUSTER-IP" in await succeed(kubectl, "get", "all", "-A")
    assert "hashicorp/http-echo" in await succeed(kubectl, "get", "deploy", "-o", "wide")
    assert "kind: Deployment" in await succeed(kubectl, "get", "deploy", "myapp", "-o", "yaml")
    assert await succeed(kubectl, "get", "svc", "myapp", "-o", "jsonpath={.spec.ports[0].targetPort}") == "5678"
    assert await succeed(kubectl, "get", "deploy", "-o", "custom-columns=N:.metadata.name", "--no-headers") == "myapp\n"
    assert "myapp" in await succeed(kubectl, "get", "deploy", "--sort-by=.metadata.name", "--chunk-size=1")
    assert "Selector:" in await succeed(kubectl, "describe", "svc", "myapp")
    described = await succeed(kubectl, "describe", "deploy", "myapp")
    assert "25% max unavailable, 25% max surge" in described and "successThreshold=1 failureThreshold=3" in described
    missing = await kubectl("get", "pod", "nope")
    assert missing.code == 1 and missing.err == 'Error from server (NotFound): pods "nope" not found\n'


async def test_explain_and_discovery(kubectl: Any) -> None:
    assert "FIELD: replicas <integer>" in await succeed(kubectl, "explain", "deployment.spec.replicas")
    listed = await succeed(kubectl, "api-resources")
    assert "deployments" in listed and "customresourcedefinitions" in listed
    assert "apps/v1" in await succeed(kubectl, "api-versions")
    assert "Server Version: v1.37" in await succeed(kubectl, "version")


async def test_small_changes(kubectl: Any) -> None:
    await succeed(kubectl, "create", "deployment", "web", "--image=nginx")
    await succeed(kubectl, "label", "deploy", "web", "tier=front")
    await succeed(kubectl, "annotate", "deploy", "web", "note=hello")
    await succeed(kubectl, "scale", "deploy", "web", "--replicas=3")
    await succeed(kubectl, "set", "image", "deploy/web", "nginx=nginx:1.27")
    await succeed(kubectl, "set", "env", "deploy/web", "A=1")
    await succeed(kubectl, "rollout", "restart", "deploy/web")
    await succeed(kubectl, "patch", "deploy", "web", "-p", '{"spec":{"template":{"metadata":{"labels":{"x":"1"}}}}}')
    await succeed(kubectl, "patch", "deploy", "web", "--type=merge", "-p", '{"spec":{"minReadySeconds":2}}')
    await succeed(
        kubectl, "patch", "deploy", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":4}]'
    )
    web = json.loads(await succeed(kubectl, "get", "deploy", "web", "-o", "json"))
    assert web["metadata"]["labels"] == {"app": "web", "tier": "front"}
    assert web["metadata"]["annotations"]["note"] == "hello"
    assert web["spec"]["replicas"] == 4 and web["spec"]["minReadySeconds"] == 2
    container = web["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "nginx:1.27" and container["env"] == [{"name": "A", "value": "1"}]
    assert web["spec"]["template"]["metadata"]["labels"] == {"app": "web", "x": "1"}
    failed = await kubectl("patch", "deploy", "web", "-p", '{"spec":{"selector":{"matchLabels":{"q":"1"}}}}')
    assert failed.code == 1 and "field is immutable" in failed.err


async def test_edit(kubectl: Any) -> None:
    await succeed(kubectl, "create", "configmap", "c", "--from-literal=greeting=hello")
    edited = await succeed(kubectl, "edit", "configmap", "c", env={"KUBE_EDITOR": "sed -i s/hello/salut/"})
    assert edited == "configmap/c edited\n"
    assert await succeed(kubectl, "get", "cm", "c", "-o", "jsonpath={.data.greeting}") == "salut"


@pytest.mark.full
async def test_wait_and_watch(kubectl: Any, server: ApiServer) -> None:
    await succeed(kubectl, "create", "configmap", "c")
    api = server.local("test")
    waiting = asyncio.create_task(kubectl("wait", "--for=jsonpath={.data.done}=yes", "cm/c", "--timeout=20s"))
    watching = asyncio.create_task(kubectl("get", "cm", "c", "-w", "-o", "name", "--request-timeout=2s"))
    await api.patch("configmaps", "c", {"data": {"done": "yes"}}, "default")
    assert (await waiting).out == "configmap/c condition met\n"
    gone = asyncio.create_task(kubectl("wait", "--for=delete", "cm/c", "--timeout=20s"))
    await api.delete("configmaps", "c", "default")
    assert (await gone).code == 0
    assert "configmap/c" in (await watching).out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("replicas: 1", "replicas: many"), "json: cannot unmarshal string into Go struct field"),
        (("args:", "arguments:"), 'strict decoding error: unknown field "spec.template.spec.containers[0].arguments"'),
        (("labels: {app: myapp}", "labels: {app: other}"), "`selector` does not match template `labels`"),
        (("image: hashicorp/http-echo", "image: ''"), "spec.template.spec.containers[0].image: Required value"),
        (("  name: myapp}", "  name: My_App}"), ""),
        (("volumes: [{name: settings", "volumes: [{name: other"), 'volumeMounts[0].name: Not found: "settings"'),
    ],
)
async def test_broken_manifests_are_refused_in_upstreams_words(
    kubectl: Any, change: tuple[str, str], words: str
) -> None:
    failed = await kubectl("create", "-f", "-", stdin=MANIFEST.replace(*change))
    if words:
        assert failed.code == 1
        assert words in failed.err


async def test_unknown_namespace_and_kind(kubectl: Any) -> None:
    failed = await kubectl("create", "configmap", "c", "-n", "nowhere")
    assert failed.err == 'error: failed to create configmap: namespaces "nowhere" not found\n'
    failed = await kubectl("apply", "-f", "-", stdin="apiVersion: x.io/v1\nkind: Thing\nmetadata: {name: z}\n")
    assert 'no matches for kind "Thing" in version "x.io/v1"' in failed.err


async def test_delete_leaves_what_finalizers_hold(kubectl: Any, server: ApiServer) -> None:
    await succeed(kubectl, "create", "configmap", "held")
    patch = '{"metadata":{"finalizers":["example.com/hold"]}}'
    await succeed(kubectl, "patch", "cm", "held", "--type=merge", "-p", patch)
    await succeed(kubectl, "delete", "cm", "held", "--wait=false")
    api = server.local("test")
    assert "deletionTimestamp" in (await api.get("configmaps", "held", "default"))["metadata"]
    await succeed(kubectl, "patch", "cm", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    with pytest.raises(StatusError) as caught:
        await api.get("configmaps", "held", "default")
    assert caught.value.code == 404


async def test_pods_are_admitted_and_deleted_gracefully(kubectl: Any, server: ApiServer, tmp_path: Path) -> None:
    await succeed(kubectl, "run", "web", "--image=nginx", "--port=80")
    api = server.local("test")
    pod = await api.get("pods", "web", "default")
    assert pod["spec"]["serviceAccountName"] == "default"
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    assert [mount["mountPath"] for mount in mounts] == ["/var/run/secrets/kubernetes.io/serviceaccount"]
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    binding = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "meshlab"}}
    await api.create("pods", binding, "default", subresource="binding")
    await succeed(kubectl, "delete", "pod", "web", "--wait=false")
    pod = await api.get("pods", "web", "default")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    await api.delete("pods", "web", "default", grace_period_s=0, uid=pod["metadata"]["uid"])
    assert (await kubectl("get", "pod", "web")).code == 1


async def test_namespaces_end_only_when_finalized(kubectl: Any, server: ApiServer) -> None:
    await succeed(kubectl, "create", "namespace", "old")
    await succeed(kubectl, "delete", "namespace", "old", "--wait=false")
    failed = await kubectl("create", "configmap", "c", "-n", "old")
    assert "because it is being terminated" in failed.err
    api = server.local("test")
    namespace = await api.get("namespaces", "old")
    assert namespace["status"]["phase"] == "Terminating"
    await api.update("namespaces", {**namespace, "spec": {}}, subresource="finalize")
    assert (await kubectl("get", "namespace", "old")).code == 1
    failed = await kubectl("delete", "namespace", "default")
    assert "this namespace may not be deleted" in failed.err


async def test_server_side_apply_says_that_it_is_missing(kubectl: Any) -> None:
    failed = await kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    assert failed.code == 1 and "Server-side apply not available on the server" in failed.err
