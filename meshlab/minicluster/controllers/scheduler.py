"""The scheduler: gives every pod that asks for none a node, or says in upstream's words why there is none.

A lab's node is one process host, so only what a person can see decides: node name, cordon, node selector and
required node affinity, taints. Requests of CPU and memory are not weighed against the host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from meshlab.minicluster.controllers.cache import CachedApi, get_path
from meshlab.minicluster.controllers.ownership import is_being_deleted
from meshlab.minicluster.controllers.pods import condition, is_finished
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.controllers.timestamps import format_time
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.labels import node_selector_matches

NAME = "default-scheduler"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
NOT_HELPFUL = "Preemption is not helpful for scheduling."


def tolerates(tolerations: Iterable[Obj], taint: Obj) -> bool:
    """Whether any toleration matches the taint (``Toleration.ToleratesTaint``)."""
    for toleration in tolerations:
        if toleration.get("effect") and toleration["effect"] != taint["effect"]:
            continue
        if toleration.get("key") and toleration["key"] != taint["key"]:
            continue
        operator = toleration.get("operator") or "Equal"
        if operator == "Exists" or (operator == "Equal" and toleration.get("value", "") == taint.get("value", "")):
            return True
    return False


def obstacle(pod: Obj, node: Obj) -> str:
    """Why the pod cannot run on the node, as ``FailedScheduling`` words it; empty if it can."""
    spec, node_spec = pod["spec"], node.get("spec") or {}
    tolerations = spec.get("tolerations") or ()
    if node_spec.get("unschedulable") and not tolerates(
        tolerations, {"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule"}
    ):
        return "node(s) were unschedulable"
    for taint in node_spec.get("taints") or ():
        if taint["effect"] in ("NoSchedule", "NoExecute") and not tolerates(tolerations, taint):
            return "node(s) had untolerated taint(s)"
    labels, name = node["metadata"].get("labels") or {}, node["metadata"]["name"]
    selector = spec.get("nodeSelector") or {}
    required = get_path(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    if any(labels.get(key) != value for key, value in selector.items()) or (
        required is not None and not node_selector_matches(required, labels, name)
    ):
        return "node(s) didn't match Pod's node affinity/selector"
    return ""


def explain(obstacles: list[str]) -> str:
    """The text of FailedScheduling, for one obstacle per node."""
    if not obstacles:
        return "no nodes available to schedule pods"
    total = len(obstacles)
    counted = ", ".join(sorted(f"{count} {why}" for why, count in Counter(obstacles).items()))
    return (
        f"0/{total} nodes are available: {counted}. no new claims to deallocate, "
        f"preemption: 0/{total} nodes are available: {total} {NOT_HELPFUL}"
    )


class Scheduler(Controller):
    """Binds pods to nodes."""

    component = NAME
    workers = 8

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._pods = api.cache("pods")
        self._nodes = api.cache("nodes")
        self._unscheduled: set[Key] = set()
        self._pods.subscribe(self._pod_changed)
        self._nodes.subscribe(self._node_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and _needs_node(new):
            self.enqueue(new)
        else:
            gone = new if new is not None else old or {}
            metadata = gone["metadata"]
            self._unscheduled.discard((metadata["namespace"], metadata["name"]))

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        def facts(node: Obj | None) -> object:
            return (node["metadata"].get("labels"), node.get("spec")) if node is not None else None

        if new is not None and facts(old) != facts(new):
            for key in list(self._unscheduled):
                self.queue.add(key)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        pod = self._pods.get(name, namespace)
        if pod is None or not _needs_node(pod):
            self._unscheduled.discard(key)
            return
        self._unscheduled.add(key)
        if pod["spec"].get("schedulingGates"):
            await self._refuse(pod, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
            return
        obstacles = []
        for node in self._nodes.all():
            why = obstacle(pod, node)
            if not why:
                await self._bind(pod, node["metadata"]["name"])
                self._unscheduled.discard(key)
                return
            obstacles.append(why)
        message = explain(obstacles)
        known = condition(pod, "PodScheduled")
        if known is None or known.get("message") != message:
            await self._refuse(pod, "Unschedulable", message)
            self.recorder.event(pod, "Warning", "FailedScheduling", message)

    async def _bind(self, pod: Obj, node: str) -> None:
        metadata = pod["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": metadata["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self.api.live.create("pods", binding, namespace, subresource="binding")
        except StatusError as error:
            if error.code == 404:
                return
            raise
        self.recorder.event(pod, "Normal", "Scheduled", f"Successfully assigned {namespace}/{name} to {node}")

    async def _refuse(self, pod: Obj, reason: str, message: str) -> None:
        known = condition(pod, "PodScheduled")
        if known is not None and (known.get("reason"), known.get("message")) == (reason, message):
            return
        new = {
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": None,
            "lastTransitionTime": format_time(self.api.now()),
            "reason": reason,
            "message": message,
        }
        status = pod.get("status") or {}
        others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
        await self.api.update_status("pods", pod, {**status, "conditions": [*others, new]})


def _needs_node(pod: Obj) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and (spec.get("schedulerName") or NAME) == NAME
        and not is_being_deleted(pod)
        and not is_finished(pod)
    )
