"""DaemonSets: one pod on every node that takes it, replaced in place when the template changes.

Like upstream, a pod is tied to its node by node affinity on ``metadata.name`` and bound by the scheduler.
"""

from __future__ import annotations

from meshlab.minicluster.controllers.cache import CachedApi, get_path, thaw
from meshlab.minicluster.controllers.deployment.arithmetic import int_or_percent
from meshlab.minicluster.controllers.hashing import template_hash
from meshlab.minicluster.controllers.ownership import (
    Claims,
    controller_reference,
    is_being_deleted,
    owner_in_cache,
)
from meshlab.minicluster.controllers.podcontrol import PodControl
from meshlab.minicluster.controllers.pods import is_available, is_finished, is_ready, pod_from_template
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.controllers.scheduler import obstacle
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError

RESOURCE = "daemonsets.apps"
API_VERSION, KIND = "apps/v1", "DaemonSet"
HASH_LABEL = "controller-revision-hash"
_ALWAYS_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


def daemon_pod(daemon_set: Obj, node: str) -> Obj:
    """The pod of a DaemonSet for one node."""
    spec = daemon_set["spec"]
    name = daemon_set["metadata"]["name"]
    pod = pod_from_template(
        thaw(spec["template"]), controller_reference(daemon_set, API_VERSION, KIND), generate_name=f"{name}-"
    )
    labels = {**pod["metadata"].get("labels", {}), HASH_LABEL: template_hash(spec["template"])}
    pod["metadata"]["labels"] = labels | {"pod-template-generation": str(daemon_set["metadata"].get("generation", 1))}
    pod_spec = pod["spec"]
    affinity = pod_spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [{**term, "matchFields": [field]} for term in terms]
    pod_spec["tolerations"] = [
        *(pod_spec.get("tolerations") or ()),
        *({"key": key, "operator": "Exists", "effect": effect} for key, effect in _ALWAYS_TOLERATED),
    ]
    return pod


def node_of(pod: Obj) -> str:
    """The node that the pod runs on or is meant for."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    path = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    for term in get_path(pod["spec"], *path, default=[]):
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name" and field.get("values"):
                return str(field["values"][0])
    return ""


class DaemonSetController(Controller):
    """Keeps one pod of each DaemonSet on each node."""

    component = "daemonset-controller"

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._sets = api.cache(RESOURCE)
        self._nodes = api.cache("nodes")
        self._claims = Claims(api, owners=RESOURCE, owned="pods", api_version=API_VERSION, kind=KIND)
        self._pods = PodControl(api, self.recorder)
        self.watch(RESOURCE)
        api.cache("pods").subscribe(self._pod_changed)
        self._nodes.subscribe(self._node_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        for pod in (old, new):
            owner = owner_in_cache(self._sets, KIND, pod) if pod is not None else None
            if owner is not None:
                self.enqueue(owner)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        def facts(node: Obj | None) -> object:
            return (node["metadata"].get("labels"), node.get("spec")) if node is not None else None

        if facts(old) != facts(new):
            for daemon_set in self._sets.all():
                self.enqueue(daemon_set)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        daemon_set = self._sets.get(name, namespace)
        if daemon_set is None:
            return
        selector = daemon_set["spec"].get("selector")
        pods = await self._claims.of(daemon_set, selector)
        failure = None
        nodes = self._fitting_nodes(daemon_set)
        if not is_being_deleted(daemon_set):
            failure = await self._move(daemon_set, pods, nodes)
            pods = await self._claims.of(daemon_set, selector)
        await self._write_status(daemon_set, pods, nodes, key)
        if failure is not None:
            raise failure

    def _fitting_nodes(self, daemon_set: Obj) -> set[str]:
        return {
            node["metadata"]["name"]
            for node in self._nodes.all()
            if not obstacle(daemon_pod(daemon_set, node["metadata"]["name"]), node)
        }

    async def _move(self, daemon_set: Obj, pods: list[Obj], nodes: set[str]) -> StatusError | None:
        by_node: dict[str, list[Obj]] = {}
        victims = []
        for pod in pods:
            if is_being_deleted(pod):
                by_node.setdefault(node_of(pod), []).append(pod)
            elif is_finished(pod) or node_of(pod) not in nodes or by_node.get(node_of(pod)):
                victims.append(pod)
            else:
                by_node.setdefault(node_of(pod), []).append(pod)
        missing = [node for node in nodes if node not in by_node]
        failure = await self._pods.create(daemon_set, [daemon_pod(daemon_set, node) for node in missing])
        victims += self._outdated(daemon_set, [pod for group in by_node.values() for pod in group], len(nodes))
        return await self._pods.delete(daemon_set, victims) or failure

    def _outdated(self, daemon_set: Obj, pods: list[Obj], desired: int) -> list[Obj]:
        """Pods of an older template that may be replaced now."""
        strategy = daemon_set["spec"].get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return []
        revision = template_hash(daemon_set["spec"]["template"])
        limit = get_path(strategy, "rollingUpdate", "maxUnavailable")
        budget = max(1, int_or_percent(limit, desired, round_up=True, default=1))
        min_ready_s, now = daemon_set["spec"].get("minReadySeconds") or 0, self.api.now()
        alive = [pod for pod in pods if not is_being_deleted(pod)]
        old = [pod for pod in alive if pod["metadata"].get("labels", {}).get(HASH_LABEL) != revision]
        broken = [pod for pod in old if not is_available(pod, min_ready_s, now)]
        unavailable = len(pods) - sum(is_available(pod, min_ready_s, now) for pod in alive)
        working = [pod for pod in old if is_available(pod, min_ready_s, now)]
        return broken + working[: max(0, budget - unavailable)]

    async def _write_status(self, daemon_set: Obj, pods: list[Obj], nodes: set[str], key: Key) -> None:
        spec = daemon_set["spec"]
        revision = template_hash(spec["template"])
        min_ready_s, now = spec.get("minReadySeconds") or 0, self.api.now()
        alive = [pod for pod in pods if not is_being_deleted(pod)]
        here = [pod for pod in alive if node_of(pod) in nodes]
        ready = sum(is_ready(pod) for pod in here)
        available = sum(is_available(pod, min_ready_s, now) for pod in here)
        status: Obj = {
            "currentNumberScheduled": len({node_of(pod) for pod in here}),
            "numberMisscheduled": len(alive) - len(here),
            "desiredNumberScheduled": len(nodes),
            "numberReady": ready,
            "observedGeneration": daemon_set["metadata"].get("generation", 0),
        }
        counts = {
            "updatedNumberScheduled": sum(
                pod["metadata"].get("labels", {}).get(HASH_LABEL) == revision for pod in here
            ),
            "numberAvailable": available,
            "numberUnavailable": len(nodes) - available,
        }
        status |= {field: count for field, count in counts.items() if count > 0}
        await self.api.update_status(RESOURCE, daemon_set, status)
        if min_ready_s and available < ready:
            self.queue.add_after(key, 1.0)
