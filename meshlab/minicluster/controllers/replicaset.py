"""ReplicaSets: as many pods as ``spec.replicas`` asks for."""

from __future__ import annotations

from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.controllers.ownership import (
    Claims,
    controller_of,
    controller_reference,
    is_being_deleted,
    owner_in_cache,
)
from meshlab.minicluster.controllers.podcontrol import BURST, PodControl
from meshlab.minicluster.controllers.pods import (
    first_to_delete,
    is_active,
    is_available,
    is_finished,
    is_ready,
    pod_from_template,
)
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.controllers.timestamps import format_time
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.labels import selects

RESOURCE = "replicasets.apps"
API_VERSION, KIND = "apps/v1", "ReplicaSet"


def replica_status(
    replica_set: Obj, pods: list[Obj], failure: StatusError | None, wanted_more: bool, now: float
) -> Obj:
    """The status of a ReplicaSet that has these pods.

    Args:
        replica_set: as read.
        pods: every pod it controls.
        failure: what kept it from creating or deleting pods this time.
        wanted_more: whether it was creating (rather than deleting) when it failed.
        now: seconds since the epoch.
    """
    spec, old = replica_set["spec"], replica_set.get("status") or {}
    active = [pod for pod in pods if is_active(pod)]
    template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    min_ready_s = spec.get("minReadySeconds") or 0
    counts = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(
            template_labels.items() <= (pod["metadata"].get("labels") or {}).items() for pod in active
        ),
        "readyReplicas": sum(is_ready(pod) for pod in active),
        "availableReplicas": sum(is_available(pod, min_ready_s, now) for pod in active),
    }
    status: Obj = {key: count for key, count in counts.items() if count or key == "replicas"}
    status["terminatingReplicas"] = sum(is_being_deleted(pod) and not is_finished(pod) for pod in pods)
    status["observedGeneration"] = replica_set["metadata"].get("generation", 0)
    conditions = [c for c in old.get("conditions") or () if c["type"] != "ReplicaFailure"]
    if failure is not None:
        known = next((c for c in old.get("conditions") or () if c["type"] == "ReplicaFailure"), None)
        conditions.append(
            known
            or {
                "type": "ReplicaFailure",
                "status": "True",
                "lastTransitionTime": format_time(now),
                "reason": "FailedCreate" if wanted_more else "FailedDelete",
                "message": failure.message,
            }
        )
    if conditions:
        status["conditions"] = conditions
    return status


class ReplicaSetController(Controller):
    """Creates and deletes the pods of ReplicaSets."""

    component = "replicaset-controller"

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._sets = api.cache(RESOURCE)
        self._sets.in_namespace("")
        self._claims = Claims(api, owners=RESOURCE, owned="pods", api_version=API_VERSION, kind=KIND)
        self._pods = PodControl(api, self.recorder)
        self.watch(RESOURCE)
        api.cache("pods").subscribe(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        for pod in (old, new):
            if pod is None:
                continue
            owner = owner_in_cache(self._sets, KIND, pod)
            if owner is not None:
                self.enqueue(owner)
        if new is not None and controller_of(new) is None:
            before = old["metadata"].get("labels") if old is not None and controller_of(old) is None else None
            labels = new["metadata"].get("labels")
            if labels and labels != before:
                for replica_set in self._sets.in_namespace(new["metadata"]["namespace"]):
                    if selects(replica_set["spec"].get("selector"), labels):
                        self.enqueue(replica_set)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        replica_set = self._sets.get(name, namespace)
        if replica_set is None:
            return
        spec = replica_set["spec"]
        pods = await self._claims.of(replica_set, spec.get("selector"))
        missing = spec.get("replicas", 1) - sum(is_active(pod) for pod in pods)
        failure: StatusError | None = None
        if missing and not is_being_deleted(replica_set):
            failure = await self._manage(replica_set, pods, missing)
            pods = await self._claims.of(replica_set, spec.get("selector"))
        now = self.api.now()
        status = replica_status(replica_set, pods, failure, missing > 0, now)
        await self.api.update_status(RESOURCE, replica_set, status)
        if failure is not None:
            raise failure
        min_ready_s = spec.get("minReadySeconds") or 0
        if min_ready_s and status.get("readyReplicas", 0) != status.get("availableReplicas", 0):
            self.queue.add_after(key, min(min_ready_s, 1.0))

    async def _manage(self, replica_set: Obj, pods: list[Obj], missing: int) -> StatusError | None:
        if missing > 0:
            reference = controller_reference(replica_set, API_VERSION, KIND)
            template = replica_set["spec"].get("template") or {}
            pod = pod_from_template(template, reference, generate_name=f"{replica_set['metadata']['name']}-")
            return await self._pods.create(replica_set, [pod] * min(missing, BURST))
        active = [pod for pod in pods if is_active(pod)]
        victims = first_to_delete(active, min(-missing, BURST), self.api.now())
        return await self._pods.delete(replica_set, victims)
