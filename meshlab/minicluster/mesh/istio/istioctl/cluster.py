"""Objects in the cluster: create or reconcile, prune, wait until ready, and say why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError, object_key
from meshlab.minicluster.mesh.istio.istioctl.reconcile import reconcile, with_last_applied
from meshlab.minicluster.mesh.istio.manifests.render import OWNER_LABEL

RESOURCES = {
    "CustomResourceDefinition": "customresourcedefinitions.apiextensions.k8s.io",
    "ServiceAccount": "serviceaccounts",
    "ClusterRole": "clusterroles.rbac.authorization.k8s.io",
    "ClusterRoleBinding": "clusterrolebindings.rbac.authorization.k8s.io",
    "Role": "roles.rbac.authorization.k8s.io",
    "RoleBinding": "rolebindings.rbac.authorization.k8s.io",
    "ConfigMap": "configmaps",
    "Service": "services",
    "PodDisruptionBudget": "poddisruptionbudgets.policy",
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "Deployment": "deployments.apps",
}
"""Every kind that an installation holds, in the order in which they are written; deletion goes the other way."""

Identity = tuple[str, str, str]
CONFLICT_RETRIES = 5


def identity(obj: Obj) -> Identity:
    """(kind, namespace, name)."""
    namespace, name = object_key(obj)
    return obj["kind"], namespace, name


async def apply(api: KubeApi, objects: Sequence[Obj]) -> None:
    """Create or reconcile objects: kind after kind, the objects of a kind at once."""
    for kind in RESOURCES:
        await asyncio.gather(*(_apply_one(api, obj) for obj in objects if obj["kind"] == kind))


async def _apply_one(api: KubeApi, desired: Obj) -> None:
    resource = RESOURCES[desired["kind"]]
    namespace, name = object_key(desired)
    for attempt in range(CONFLICT_RETRIES):
        try:
            live = await api.get(resource, name, namespace or None)
        except StatusError as error:
            if error.code != 404:
                raise
            try:
                await api.create(resource, with_last_applied(desired), namespace or None)
            except StatusError as raced:
                if raced.code == 409 and attempt + 1 < CONFLICT_RETRIES:
                    continue
                raise
            return
        live.setdefault("apiVersion", desired["apiVersion"])
        live.setdefault("kind", desired["kind"])
        changed = reconcile(live, desired)
        if changed is None:
            return
        try:
            await api.update(resource, changed)
        except StatusError as error:
            if error.code != 409 or attempt + 1 == CONFLICT_RETRIES:
                raise
            continue
        return


async def ensure_namespace(api: KubeApi, name: str) -> None:
    """Create the control plane's namespace if it is not there."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    try:
        await api.create("namespaces", namespace)
    except StatusError as error:
        if error.code != 409:
            raise


async def installed(api: KubeApi, revision: str = "", *, definitions: bool = False) -> list[Obj]:
    """The objects of earlier installs, by label; CRDs only when asked for."""
    selector = OWNER_LABEL + (f",istio.io/rev={revision}" if revision else "")
    kinds = [kind for kind in RESOURCES if definitions or kind != "CustomResourceDefinition"]
    lists = await asyncio.gather(*(api.list(RESOURCES[kind], label_selector=selector) for kind in kinds))
    found = []
    for kind, listing in zip(kinds, lists, strict=True):
        found += [{**obj, "kind": kind} for obj in listing.items]
    return found


async def delete(api: KubeApi, objects: Iterable[Obj], report: Callable[[Obj], None] = lambda obj: None) -> None:
    """Delete objects in the reverse order of installation; one that is gone already is fine."""
    order = {kind: position for position, kind in enumerate(RESOURCES)}
    for obj in sorted(objects, key=lambda obj: -order[obj["kind"]]):
        namespace, name = object_key(obj)
        try:
            await api.delete(RESOURCES[obj["kind"]], name, namespace or None, propagation="Background")
        except StatusError as error:
            if error.code != 404:
                raise
            continue
        report(obj)


@dataclass(frozen=True, slots=True)
class Condition:
    """Something to wait for: a resource to watch, and what is still missing, by object, as words."""

    resource: str
    namespace: str | None
    missing: Callable[[Mapping[tuple[str, str], Obj]], dict[str, str]]
    label_selector: str = ""


class NotReady(Exception):
    """The time was up; ``missing`` maps objects to what they lack."""

    def __init__(self, missing: dict[str, str]) -> None:
        super().__init__(", ".join(missing))
        self.missing = missing


async def wait_for(api: KubeApi, conditions: Sequence[Condition], timeout_s: float) -> None:
    """Watch until every condition holds.

    Raises:
        NotReady: some did not in time.
    """
    deadline = time.monotonic() + timeout_s
    outcomes = await asyncio.gather(*(_wait_one(api, condition, deadline) for condition in conditions))
    missing = {name: text for outcome in outcomes for name, text in outcome.items()}
    if missing:
        raise NotReady(missing)


async def _wait_one(api: KubeApi, condition: Condition, deadline: float) -> dict[str, str]:
    missing: dict[str, str] = {}
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            while True:
                listing = await api.list(
                    condition.resource, condition.namespace, label_selector=condition.label_selector
                )
                objects = {object_key(obj): obj for obj in listing.items}
                missing = condition.missing(objects)
                if not missing:
                    return missing
                try:
                    async for event in api.watch(
                        condition.resource,
                        condition.namespace,
                        resource_version=listing.resource_version,
                        label_selector=condition.label_selector,
                    ):
                        if event.type == "BOOKMARK":
                            continue
                        key = object_key(event.object)
                        if event.type == "DELETED":
                            objects.pop(key, None)
                        else:
                            objects[key] = event.object
                        missing = condition.missing(objects)
                        if not missing:
                            return missing
                except StatusError as error:
                    if error.code != 410:
                        raise
    except TimeoutError:
        return missing or {condition.resource: "the cluster did not answer in time"}


def deployments_ready(wanted: Sequence[Obj]) -> list[Condition]:
    """Conditions for Deployments, one per namespace."""
    by_namespace: dict[str, list[str]] = {}
    for obj in wanted:
        namespace, name = object_key(obj)
        by_namespace.setdefault(namespace, []).append(name)

    def condition(namespace: str, names: list[str]) -> Condition:
        def missing(objects: Mapping[tuple[str, str], Obj]) -> dict[str, str]:
            problems = {}
            for name in names:
                if problem := deployment_problem(objects.get((namespace, name))):
                    problems[f"Deployment/{namespace}/{name}"] = problem
            return problems

        return Condition(RESOURCES["Deployment"], namespace, missing)

    return [condition(namespace, names) for namespace, names in by_namespace.items()]


def deployment_problem(deployment: Obj | None) -> str:
    """Why a Deployment is not rolled out, in ``kubectl rollout status``'s sense; empty when it is."""
    if deployment is None:
        return "not found"
    status = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 1):
        return "the Deployment controller has not seen it yet"
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if updated < wanted:
        return f"{updated} of {wanted} new replicas have been created"
    if total > updated:
        return f"{total - updated} old replicas are pending termination"
    if available < updated:
        return f"{available} of {updated} replicas are available"
    return ""


def definitions_established(names: Sequence[str]) -> Condition:
    """The condition that CRDs are served."""

    def missing(objects: Mapping[tuple[str, str], Obj]) -> dict[str, str]:
        problems = {}
        for name in names:
            conditions = ((objects.get(("", name)) or {}).get("status") or {}).get("conditions") or []
            if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                problems[f"CustomResourceDefinition/{name}"] = "not established"
        return problems

    return Condition(RESOURCES["CustomResourceDefinition"], None, missing)


def webhook_has_ca(name: str) -> Condition:
    """The condition that istiod has written its CA into the injector's webhooks: without it no pod is admitted."""

    def missing(objects: Mapping[tuple[str, str], Obj]) -> dict[str, str]:
        hooks = (objects.get(("", name)) or {}).get("webhooks") or []
        if hooks and all(hook["clientConfig"].get("caBundle") for hook in hooks):
            return {}
        return {f"MutatingWebhookConfiguration/{name}": "istiod has not written its CA bundle into it"}

    return Condition(RESOURCES["MutatingWebhookConfiguration"], None, missing)


def service_has_endpoint(namespace: str, name: str) -> Condition:
    """The condition that a Service has a ready endpoint."""

    def missing(objects: Mapping[tuple[str, str], Obj]) -> dict[str, str]:
        for endpoint_slice in objects.values():
            for endpoint in endpoint_slice.get("endpoints") or []:
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    return {}
        return {f"Service/{namespace}/{name}": "no ready endpoint"}

    selector = f"kubernetes.io/service-name={name}"
    return Condition("endpointslices.discovery.k8s.io", namespace, missing, selector)


async def reasons(api: KubeApi, deployments: Sequence[Obj]) -> list[str]:
    """What the pods of Deployments that are not ready say: waiting reasons and warning events."""
    lines: list[str] = []
    for deployment in deployments:
        namespace, name = object_key(deployment)
        labels = deployment["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        pods = (await api.list("pods", namespace, label_selector=selector)).items
        for pod in pods:
            lines += [f"Pod/{namespace}/{pod['metadata']['name']}: {text}" for text in pod_problems(pod)]
        events = (await api.list("events", namespace)).items
        for event in events:
            lines += _warning(event, namespace, name)
    return list(dict.fromkeys(lines))


def _warning(event: Obj, namespace: str, name: str) -> list[str]:
    involved = event.get("involvedObject") or {}
    if event.get("type") != "Warning" or not str(involved.get("name", "")).startswith(name):
        return []
    return [f"{involved.get('kind')}/{namespace}/{involved['name']}: {event.get('reason')}: {event.get('message')}"]


def pod_problems(pod: Obj) -> list[str]:
    """Why a pod is not ready, container by container."""
    status = pod.get("status") or {}
    problems = []
    for entry in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state = entry.get("state") or {}
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason") not in ("PodInitializing", "ContainerCreating", None):
            problems.append(
                f"container {entry['name']}: {waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
            )
        elif ended and ended.get("exitCode"):
            problems.append(f"container {entry['name']} ended with exit code {ended['exitCode']}")
        elif "running" in state and not entry.get("ready"):
            problems.append(f"container {entry['name']} runs but is not ready")
    return problems + [
        f"not scheduled: {condition.get('message', '')}"
        for condition in status.get("conditions") or []
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
