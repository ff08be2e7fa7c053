"""StatefulSets: pods with stable names, made in order and removed in reverse.

``OrderedReady`` (the default) and ``Parallel``, ``RollingUpdate`` with ``partition`` and ``OnDelete``. Revisions are
named like upstream's but kept only as the pod label ``controller-revision-hash``; there are no ControllerRevision
objects, so ``rollout undo`` does not know StatefulSets. Volume claims are created; nothing provisions them.
"""

from __future__ import annotations

from meshlab.minicluster.controllers.cache import CachedApi, get_path, thaw
from meshlab.minicluster.controllers.hashing import template_hash
from meshlab.minicluster.controllers.ownership import (
    Claims,
    controller_reference,
    is_being_deleted,
    owner_in_cache,
)
from meshlab.minicluster.controllers.pods import is_available, is_finished, is_ready, phase, pod_from_template
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError

RESOURCE = "statefulsets.apps"
API_VERSION, KIND = "apps/v1", "StatefulSet"
POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
REVISION_LABEL = "controller-revision-hash"


def ordinal_of(name: str, pod: Obj) -> int:
    """The number at the end of a pod's name; -1 if it is not one of the set's names."""
    prefix, _, number = pod["metadata"]["name"].rpartition("-")
    return int(number) if prefix == name and number.isdigit() else -1


def revision_name(stateful_set: Obj) -> str:
    """The revision that the present template stands for."""
    return f"{stateful_set['metadata']['name']}-{template_hash(stateful_set['spec']['template'])}"


def stateful_pod(stateful_set: Obj, ordinal: int, revision: str) -> Obj:
    """The pod of one ordinal."""
    name, spec = stateful_set["metadata"]["name"], stateful_set["spec"]
    pod_name = f"{name}-{ordinal}"
    template = thaw(spec["template"])
    pod = pod_from_template(template, controller_reference(stateful_set, API_VERSION, KIND), name=pod_name)
    labels = {**pod["metadata"].get("labels", {}), POD_NAME_LABEL: pod_name, POD_INDEX_LABEL: str(ordinal)}
    pod["metadata"]["labels"] = labels | {REVISION_LABEL: revision}
    pod["spec"] |= {"hostname": pod_name, "subdomain": spec.get("serviceName") or ""}
    claims = spec.get("volumeClaimTemplates") or ()
    if claims:
        names = {claim["metadata"]["name"] for claim in claims}
        volumes = [volume for volume in pod["spec"].get("volumes") or () if volume["name"] not in names]
        volumes += [
            {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{pod_name}"}} for claim in sorted(names)
        ]
        pod["spec"]["volumes"] = volumes
    return pod


class StatefulSetController(Controller):
    """Creates, replaces and deletes the pods of StatefulSets."""

    component = "statefulset-controller"

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._sets = api.cache(RESOURCE)
        self._claims = Claims(api, owners=RESOURCE, owned="pods", api_version=API_VERSION, kind=KIND)
        self.watch(RESOURCE)
        api.cache("pods").subscribe(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        for pod in (old, new):
            owner = owner_in_cache(self._sets, KIND, pod) if pod is not None else None
            if owner is not None:
                self.enqueue(owner)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        stateful_set = self._sets.get(name, namespace)
        if stateful_set is None:
            return
        selector = stateful_set["spec"].get("selector")
        pods = {ordinal_of(name, pod): pod for pod in await self._claims.of(stateful_set, selector)}
        pods.pop(-1, None)
        if not is_being_deleted(stateful_set):
            await self._move(stateful_set, pods)
            pods = {ordinal_of(name, pod): pod for pod in await self._claims.of(stateful_set, selector)}
        await self._write_status(stateful_set, list(pods.values()), key)

    async def _move(self, stateful_set: Obj, pods: dict[int, Obj]) -> None:
        """As many steps as the pod management policy allows now."""
        spec = stateful_set["spec"]
        first = get_path(spec, "ordinals", "start", default=0)
        wanted = range(first, first + spec.get("replicas", 1))
        in_order = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        update_revision = revision_name(stateful_set)
        current_revision = get_path(stateful_set, "status", "currentRevision", default=update_revision)
        partition = get_path(spec, "updateStrategy", "rollingUpdate", "partition", default=0)
        min_ready_s, now = spec.get("minReadySeconds") or 0, self.api.now()
        for ordinal in wanted:
            pod = pods.get(ordinal)
            if pod is not None and is_finished(pod) and not is_being_deleted(pod):
                namespace, set_name = pod["metadata"]["namespace"], stateful_set["metadata"]["name"]
                event = f"StatefulSet {namespace}/{set_name} is recreating failed Pod {pod['metadata']['name']}"
                self.recorder.event(stateful_set, "Warning", "RecreatingFailedPod", event)
                await self._delete(stateful_set, pod)
                return
            if pod is None:
                old_one = ordinal - first < partition and current_revision != update_revision
                await self._create(stateful_set, ordinal, current_revision if old_one else update_revision)
                if in_order:
                    return
            elif in_order and (is_being_deleted(pod) or not is_available(pod, min_ready_s, now)):
                return
        surplus = sorted((o for o in pods if o not in wanted), reverse=True)
        for ordinal in surplus:
            if not is_being_deleted(pods[ordinal]):
                await self._delete(stateful_set, pods[ordinal])
            if in_order:
                return
        if surplus or get_path(spec, "updateStrategy", "type", default="RollingUpdate") == "OnDelete":
            return
        for ordinal in reversed(wanted):
            pod = pods.get(ordinal)
            if ordinal - first < partition or pod is None:
                return
            if is_being_deleted(pod):
                return
            if pod["metadata"].get("labels", {}).get(REVISION_LABEL) != update_revision:
                await self._delete(stateful_set, pod)
                return
            if not is_ready(pod):
                return

    async def _create(self, stateful_set: Obj, ordinal: int, revision: str) -> None:
        namespace, name = stateful_set["metadata"]["namespace"], stateful_set["metadata"]["name"]
        pod = stateful_pod(stateful_set, ordinal, revision)
        pod_name = pod["metadata"]["name"]
        try:
            for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
                await self._claim(template, pod_name, namespace)
            await self.api.create("pods", pod, namespace)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return
            message = f"create Pod {pod_name} in StatefulSet {name} failed error: {error.message}"
            self.recorder.event(stateful_set, "Warning", "FailedCreate", message)
            raise
        message = f"create Pod {pod_name} in StatefulSet {name} successful"
        self.recorder.event(stateful_set, "Normal", "SuccessfulCreate", message)

    async def _claim(self, template: Obj, pod_name: str, namespace: str) -> None:
        metadata = {**template["metadata"], "name": f"{template['metadata']['name']}-{pod_name}"}
        claim = {**template, "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
        claim.pop("status", None)
        try:
            await self.api.create("persistentvolumeclaims", claim, namespace)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _delete(self, stateful_set: Obj, pod: Obj) -> None:
        await self.api.delete("pods", pod)
        message = f"delete Pod {pod['metadata']['name']} in StatefulSet {stateful_set['metadata']['name']} successful"
        self.recorder.event(stateful_set, "Normal", "SuccessfulDelete", message)

    async def _write_status(self, stateful_set: Obj, pods: list[Obj], key: Key) -> None:
        spec, old = stateful_set["spec"], stateful_set.get("status") or {}
        update_revision = revision_name(stateful_set)
        current_revision = old.get("currentRevision") or update_revision
        min_ready_s, now = spec.get("minReadySeconds") or 0, self.api.now()
        alive = [pod for pod in pods if not is_being_deleted(pod) and phase(pod)]

        def on(revision: str) -> int:
            return sum(pod["metadata"].get("labels", {}).get(REVISION_LABEL) == revision for pod in alive)

        ready = sum(phase(pod) == "Running" and is_ready(pod) for pod in pods)
        available = sum(phase(pod) == "Running" and is_available(pod, min_ready_s, now) for pod in pods)
        updated, replicas = on(update_revision), len(pods)
        if updated == replicas == spec.get("replicas", 1) == ready:
            current_revision = update_revision  # the rollout is done
        counts = {"readyReplicas": ready, "currentReplicas": on(current_revision), "updatedReplicas": updated}
        status: Obj = {"observedGeneration": stateful_set["metadata"].get("generation", 0), "replicas": replicas}
        status |= {name: count for name, count in counts.items() if count}
        status |= {"currentRevision": current_revision, "updateRevision": update_revision, "collisionCount": 0}
        status["availableReplicas"] = available
        await self.api.update_status(RESOURCE, stateful_set, status)
        if min_ready_s and available < ready:
            self.queue.add_after(key, 1.0)
