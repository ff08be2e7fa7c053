from __future__ import annotations

import base64
import time
from typing import Any

from meshlab.minicluster.kubeapi import Obj


def deployment(name: str, replicas: int, image: str = "nginx:1", **spec: Any) -> Obj:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{"name": "web", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]
                },
            },
            **spec,
        },
    }


def service(name: str, **spec: Any) -> Obj:
    port = {"name": "http", "port": 80, "targetPort": "http"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": [port], **spec},
    }


def is_rolled_out(obj: Obj, replicas: int) -> bool:
    status = obj.get("status", {})
    counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")]
    return status.get("observedGeneration") == obj["metadata"]["generation"] and counts == [replicas] * 4


def condition(obj: Obj, type_: str) -> Obj:
    return next(c for c in obj["status"]["conditions"] if c["type"] == type_)


async def rolled_out(lab: Any, name: str, replicas: int) -> Obj:
    async def probe() -> Obj | None:
        obj = await lab.api.get("deployments.apps", name, "default")
        done = is_rolled_out(obj, replicas)
        return obj if done and condition(obj, "Progressing")["reason"] == "NewReplicaSetAvailable" else None

    found: Obj = await lab.until(probe)
    return found


async def sets_of(lab: Any) -> list[Obj]:
    items: list[Obj] = (await lab.api.list("replicasets.apps", "default")).items
    return sorted(items, key=lambda s: int(s["metadata"]["annotations"]["deployment.kubernetes.io/revision"]))


async def test_a_deployment_rolls_out_updates_and_rolls_back(lab: Any) -> None:
    await lab.api.create("deployments.apps", deployment("web", 3))
    obj = await rolled_out(lab, "web", 3)
    assert obj["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    [first] = await sets_of(lab)
    hash_ = first["metadata"]["labels"]["pod-template-hash"]
    assert first["metadata"]["name"] == f"web-{hash_}"
    assert condition(obj, "Progressing")["message"] == f'ReplicaSet "web-{hash_}" has successfully progressed.'
    assert condition(obj, "Available")["reason"] == "MinimumReplicasAvailable"
    pods = (await lab.api.list("pods", "default")).items
    assert all(pod["metadata"]["name"].startswith(f"web-{hash_}-") for pod in pods)

    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}]}}}}
    await lab.api.patch("deployments.apps", "web", image, "default", patch_type="strategic")
    obj = await rolled_out(lab, "web", 3)
    assert obj["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    old, new = await sets_of(lab)
    assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (0, 3)

    image["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:1"
    await lab.api.patch("deployments.apps", "web", image, "default", patch_type="strategic")
    obj = await rolled_out(lab, "web", 3)
    assert obj["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    back = (await sets_of(lab))[-1]
    assert back["metadata"]["uid"] == first["metadata"]["uid"], "the same template reuses its ReplicaSet"
    assert back["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    messages = [
        e["message"] for e in (await lab.api.list("events", "default")).items if e["reason"] == "ScalingReplicaSet"
    ]
    assert f"Scaled up replica set web-{hash_} from 0 to 3" in messages


async def test_a_rolling_update_never_goes_below_what_must_be_available(lab: Any) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await lab.api.create("deployments.apps", deployment("web", 4, strategy=strategy))
    obj = await rolled_out(lab, "web", 4)
    start = obj["metadata"]["resourceVersion"]
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}]}}}}
    await lab.api.patch("deployments.apps", "web", image, "default", patch_type="strategic")
    await rolled_out(lab, "web", 4)
    seen = []
    async for event in lab.api.watch("deployments.apps", "default", resource_version=start):
        status = event.object["status"]
        seen.append((status.get("availableReplicas", 0), status.get("replicas", 0)))
        if is_rolled_out(event.object, 4):
            break
    assert min(available for available, _ in seen) >= 4
    assert max(total for _, total in seen) <= 5


async def test_recreate_waits_until_the_old_pods_are_gone(lab: Any) -> None:
    await lab.api.create("deployments.apps", deployment("web", 2, strategy={"type": "Recreate"}))
    await rolled_out(lab, "web", 2)
    start = (await lab.api.list("pods", "default")).resource_version
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}]}}}}
    await lab.api.patch("deployments.apps", "web", image, "default", patch_type="strategic")
    await rolled_out(lab, "web", 2)
    gone = 0
    async for event in lab.api.watch("pods", "default", resource_version=start):
        if event.type == "DELETED":
            gone += 1
        if event.type == "ADDED":
            assert gone == 2
            break


async def test_a_paused_deployment_scales_but_does_not_roll(lab: Any) -> None:
    await lab.api.create("deployments.apps", deployment("web", 2))
    await rolled_out(lab, "web", 2)
    patch = {
        "spec": {
            "paused": True,
            "replicas": 3,
            "template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}]}},
        }
    }
    await lab.api.patch("deployments.apps", "web", patch, "default", patch_type="strategic")

    async def scaled() -> bool:
        obj = await lab.api.get("deployments.apps", "web", "default")
        return (condition(obj, "Progressing")["reason"], obj["status"].get("readyReplicas")) == ("DeploymentPaused", 3)

    await lab.until(scaled)
    assert len(await sets_of(lab)) == 1
    await lab.api.patch("deployments.apps", "web", {"spec": {"paused": False}}, "default")
    await rolled_out(lab, "web", 3)
    assert len(await sets_of(lab)) == 2


async def test_a_hundred_replicas_roll_out_quickly(lab: Any) -> None:
    started = time.perf_counter()
    await lab.api.create("deployments.apps", deployment("web", 100))
    await rolled_out(lab, "web", 100)
    elapsed_s = time.perf_counter() - started
    print(f"100 replicas in {elapsed_s:.2f} s")
    assert elapsed_s < 5
    await lab.api.patch("deployments.apps", "web", {"spec": {"replicas": 1}}, "default")
    await rolled_out(lab, "web", 1)


async def test_deleting_a_deployment_takes_everything_with_it(lab: Any) -> None:
    await lab.api.create("deployments.apps", deployment("web", 2))
    await rolled_out(lab, "web", 2)
    started = time.perf_counter()
    await lab.api.delete("deployments.apps", "web", "default", propagation="Background")

    async def empty() -> bool:
        return not (await lab.api.list("pods", "default")).items and not await sets_of(lab)

    await lab.until(empty)
    assert time.perf_counter() - started < 2


async def test_foreground_deletion_waits_for_the_dependents(lab: Any) -> None:
    await lab.api.create("deployments.apps", deployment("web", 2))
    await rolled_out(lab, "web", 2)
    start = (await lab.api.list("pods", "default")).resource_version
    await lab.api.delete("deployments.apps", "web", "default", propagation="Foreground")
    await lab.gone("deployments.apps", "web", "default")
    assert (await lab.api.list("pods", "default")).items == []
    assert await sets_of(lab) == []
    assert int(start) > 0


async def test_orphaned_pods_survive_and_are_adopted_again(lab: Any) -> None:
    await lab.api.create("deployments.apps", deployment("web", 2))
    await rolled_out(lab, "web", 2)
    [old] = await sets_of(lab)
    await lab.api.delete("deployments.apps", "web", "default", propagation="Orphan")
    await lab.gone("deployments.apps", "web", "default")
    [kept] = await sets_of(lab)
    assert kept["metadata"]["uid"] == old["metadata"]["uid"]
    assert not kept["metadata"].get("ownerReferences")
    await lab.api.create("deployments.apps", deployment("web", 2))
    await rolled_out(lab, "web", 2)
    [adopted] = await sets_of(lab)
    assert adopted["metadata"]["uid"] == old["metadata"]["uid"]
    assert adopted["metadata"]["ownerReferences"][0]["kind"] == "Deployment"


async def test_a_pod_whose_owner_never_existed_is_collected(lab: Any) -> None:
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "ghost",
        "uid": "00000000-0000-0000-0000-000000000000",
    }
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lost", "ownerReferences": [owner]}}
    await lab.api.create("configmaps", data, "default")
    await lab.gone("configmaps", "lost", "default")


async def test_custom_resources_are_collected_too(lab: Any) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": "Lamp", "plural": "lamps", "singular": "lamp", "listKind": "LampList"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    await lab.api.create("customresourcedefinitions.apiextensions.k8s.io", crd)
    lamp = {"apiVersion": "example.com/v1", "kind": "Lamp", "metadata": {"name": "one"}}
    made = await lab.until(lambda: lab.api.create("lamps.example.com", lamp, "default"))
    owner = {"apiVersion": "example.com/v1", "kind": "Lamp", "name": "one", "uid": made["metadata"]["uid"]}
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shade", "ownerReferences": [owner]}}
    await lab.api.create("configmaps", child, "default")
    second = {**lamp, "metadata": {"name": "two", "ownerReferences": [owner]}}
    await lab.api.create("lamps.example.com", second, "default")
    await lab.api.delete("lamps.example.com", "one", "default")
    await lab.gone("configmaps", "shade", "default")
    await lab.gone("lamps.example.com", "two", "default")


async def test_a_service_gets_slices_and_endpoints_of_ready_pods(lab: Any) -> None:
    await lab.api.create("services", service("web"))
    await lab.api.create("deployments.apps", deployment("web", 2))
    await rolled_out(lab, "web", 2)

    async def slices() -> Obj | None:
        found = (
            await lab.api.list(
                "endpointslices.discovery.k8s.io", "default", label_selector="kubernetes.io/service-name=web"
            )
        ).items
        ready = [e for s in found for e in s.get("endpoints") or () if e["conditions"]["ready"]]
        return found[0] if len(ready) == 2 and len(found) == 1 else None

    slice_ = await lab.until(slices)
    assert slice_["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert [(p["name"], p["port"]) for p in slice_["ports"]] == [("http", 8080)]
    assert {e["zone"] for e in slice_["endpoints"]} == {"zone-a"}
    assert {e["nodeName"] for e in slice_["endpoints"]} == {"meshlab"}

    async def endpoints() -> Obj | None:
        found: Obj = await lab.api.get("endpoints", "web", "default")
        return found if [len(s.get("addresses") or ()) for s in found.get("subsets") or ()] == [2] else None

    assert (await lab.until(endpoints))["subsets"][0]["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    await lab.api.delete("services", "web", "default")
    await lab.gone("endpointslices.discovery.k8s.io", slice_["metadata"]["name"], "default")
    await lab.gone("endpoints", "web", "default")


async def test_a_load_balancer_gets_an_address_and_gives_it_back(lab: Any) -> None:
    await lab.api.create("services", service("edge", type="LoadBalancer"))

    async def address() -> str:
        obj = await lab.api.get("services", "edge", "default")
        return str(obj["status"]["loadBalancer"].get("ingress", [{}])[0].get("ip", ""))

    ip = await lab.until(address)
    assert ip in lab.network.load_balancers.taken
    await lab.api.delete("services", "edge", "default")

    async def released() -> bool:
        return ip not in lab.network.load_balancers.taken

    await lab.until(released)


async def test_a_pod_that_fits_no_node_says_why(lab: Any) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "picky"},
        "spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "c", "image": "busybox"}]},
    }
    await lab.api.create("pods", pod, "default")

    async def refused() -> Obj | None:
        found = await lab.api.get("pods", "picky", "default")
        conditions = found["status"].get("conditions") or ()
        return next((c for c in conditions if c["type"] == "PodScheduled"), None)

    why = await lab.until(refused)
    assert why["reason"] == "Unschedulable"
    assert why["message"].startswith("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")
    await lab.api.patch("nodes", "meshlab", {"metadata": {"labels": {"disk": "ssd"}}})

    async def bound() -> bool:
        return bool((await lab.api.get("pods", "picky", "default"))["spec"].get("nodeName"))

    await lab.until(bound)

    async def told() -> bool:
        return {"FailedScheduling", "Scheduled"} <= set(await lab.reasons("picky"))

    await lab.until(told)


async def test_a_namespace_is_furnished_and_emptied(lab: Any) -> None:
    await lab.api.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    ca = await lab.until(lambda: lab.api.get("configmaps", "kube-root-ca.crt", "team"))
    assert base64.b64decode(ca["data"]["ca.crt"].split("-----")[2].replace("\n", ""))
    await lab.api.delete("configmaps", "kube-root-ca.crt", "team")
    await lab.until(lambda: lab.api.get("configmaps", "kube-root-ca.crt", "team"))
    web = deployment("web", 2)
    web["metadata"]["namespace"] = "team"
    await lab.until(lambda: lab.api.get("serviceaccounts", "default", "team"))
    await lab.api.create("deployments.apps", web)

    async def two_pods() -> bool:
        return len((await lab.api.list("pods", "team")).items) == 2

    await lab.until(two_pods)
    await lab.api.delete("namespaces", "team")
    await lab.gone("namespaces", "team")
    for resource in ("pods", "configmaps", "deployments.apps", "replicasets.apps", "serviceaccounts"):
        assert (await lab.api.list(resource, "team")).items == []


async def test_a_namespace_waits_for_a_finalizer_and_says_so(lab: Any) -> None:
    await lab.api.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "stuck"}})
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    await lab.api.create("configmaps", held, "stuck")
    await lab.api.delete("namespaces", "stuck")

    async def explained() -> Obj | None:
        found = await lab.api.get("namespaces", "stuck")
        conditions = {c["type"]: c for c in found["status"].get("conditions") or ()}
        return conditions if conditions.get("NamespaceFinalizersRemaining", {}).get("status") == "True" else None

    conditions = await lab.until(explained)
    assert "example.com/hold in 1 resource instances" in conditions["NamespaceFinalizersRemaining"]["message"]
    assert "configmaps. has 1 resource instances" in conditions["NamespaceContentRemaining"]["message"]
    await lab.api.patch("configmaps", "held", {"metadata": {"finalizers": None}}, "stuck")
    await lab.gone("namespaces", "stuck")


async def test_stateful_pods_come_in_order_and_leave_in_reverse(lab: Any) -> None:
    labels = {"app": "db"}
    stateful_set = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "serviceName": "db",
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}},
        },
    }
    start = (await lab.api.list("pods", "default")).resource_version
    await lab.api.create("services", service("db", clusterIP="None"))
    await lab.api.create("statefulsets.apps", stateful_set)

    async def ready(count: int) -> bool:
        obj = await lab.api.get("statefulsets.apps", "db", "default")
        return bool(obj["status"].get("readyReplicas", 0) == count == obj["status"].get("replicas"))

    await lab.until(lambda: ready(3))
    await lab.api.patch("statefulsets.apps", "db", {"spec": {"replicas": 1}}, "default")
    await lab.until(lambda: ready(1))
    order = []
    async for event in lab.api.watch("pods", "default", resource_version=start):
        if event.type in ("ADDED", "DELETED"):
            order.append((event.type, event.object["metadata"]["name"]))
        if order[-1:] == [("DELETED", "db-1")]:
            break
    assert [name for type_, name in order if type_ == "ADDED"] == ["db-0", "db-1", "db-2"]
    assert [name for type_, name in order if type_ == "DELETED"] == ["db-2", "db-1"]
    pod = await lab.api.get("pods", "db-0", "default")
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-0", "db")


async def test_a_daemon_runs_once_per_node_and_is_updated(lab: Any) -> None:
    labels = {"app": "agent"}
    daemon_set = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox:1"}]}},
        },
    }
    await lab.api.create("daemonsets.apps", daemon_set)

    async def up(image: str) -> bool:
        pods = (await lab.api.list("pods", "default", label_selector="app=agent")).items
        status = (await lab.api.get("daemonsets.apps", "agent", "default"))["status"]
        images = [pod["spec"]["containers"][0]["image"] for pod in pods]
        return images == [image] and status["numberReady"] == status.get("updatedNumberScheduled") == 1

    await lab.until(lambda: up("busybox:1"))
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "busybox:2"}]}}}}
    await lab.api.patch("daemonsets.apps", "agent", image, "default", patch_type="strategic")
    await lab.until(lambda: up("busybox:2"))


async def test_a_job_completes(lab: Any) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "sum", "namespace": "default"},
        "spec": {"completions": 2, "parallelism": 1, "template": template},
    }
    await lab.api.create("jobs.batch", job)
    for done in range(2):

        async def running() -> Obj | None:
            pods = (await lab.api.list("pods", "default")).items
            return next((pod for pod in pods if pod.get("status", {}).get("phase") == "Running"), None)

        pod = await lab.until(running)
        patch = {"status": {"phase": "Succeeded"}}
        await lab.api.patch("pods", pod["metadata"]["name"], patch, "default", subresource="status")

        async def counted(count: int = done + 1) -> bool:
            return bool((await lab.api.get("jobs.batch", "sum", "default"))["status"].get("succeeded") == count)

        await lab.until(counted)

    async def complete() -> bool:
        obj = await lab.api.get("jobs.batch", "sum", "default")
        return bool(condition(obj, "Complete")["status"] == "True")

    await lab.until(complete)


async def test_a_budget_counts_what_may_be_evicted(lab: Any) -> None:
    await lab.api.create("deployments.apps", deployment("web", 3))
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    }
    await lab.api.create("poddisruptionbudgets.policy", budget)

    async def allowed() -> bool:
        status = (await lab.api.get("poddisruptionbudgets.policy", "web", "default"))["status"]
        return (status["disruptionsAllowed"], status["currentHealthy"], status["desiredHealthy"]) == (1, 3, 2)

    await lab.until(allowed)


async def test_a_refused_pod_is_reported_on_the_replicaset(lab: Any) -> None:
    web = deployment("web", 1)
    web["spec"]["template"]["spec"]["serviceAccountName"] = "nobody"
    await lab.api.create("deployments.apps", web)

    async def failed() -> Obj | None:
        obj = await lab.api.get("deployments.apps", "web", "default")
        return next((c for c in obj["status"].get("conditions") or () if c["type"] == "ReplicaFailure"), None)

    failure = await lab.until(failed)
    assert failure["reason"] == "FailedCreate"
    assert 'serviceaccount "nobody" not found' in failure["message"]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}}
    await lab.api.create("serviceaccounts", account, "default")
    await rolled_out(lab, "web", 1)
