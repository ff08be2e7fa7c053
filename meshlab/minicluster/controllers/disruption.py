"""PodDisruptionBudgets: the status that says how many pods may be evicted now. The API server's eviction reads it."""

from __future__ import annotations

from meshlab.minicluster.controllers.cache import CachedApi, get_path
from meshlab.minicluster.controllers.deployment.arithmetic import int_or_percent
from meshlab.minicluster.controllers.ownership import controller_of, is_being_deleted, owner_in_cache
from meshlab.minicluster.controllers.pods import is_finished, is_ready
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.controllers.timestamps import format_time, parse_time
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.labels import selects

RESOURCE = "poddisruptionbudgets.policy"
DISRUPTED_FOR_S = 120
SCALED = {"ReplicaSet": "replicasets.apps", "StatefulSet": "statefulsets.apps"}


class DisruptionController(Controller):
    """Writes the status of PodDisruptionBudgets."""

    component = "controllermanager"

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._budgets = api.cache(RESOURCE)
        self._budgets.in_namespace("")
        self._pods = api.cache("pods")
        self._pods.in_namespace("")
        self._owners = {kind: api.cache(resource) for kind, resource in SCALED.items()}
        self.watch(RESOURCE)
        self._pods.subscribe(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        some = new if new is not None else old or {}
        for budget in self._budgets.in_namespace(some["metadata"]["namespace"]):
            if any(
                p is not None and selects(budget["spec"].get("selector"), p["metadata"].get("labels"))
                for p in (old, new)
            ):
                self.enqueue(budget)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        budget = self._budgets.get(name, namespace)
        if budget is None:
            return
        pods = [
            pod
            for pod in self._pods.in_namespace(namespace)
            if not is_finished(pod) and selects(budget["spec"].get("selector"), pod["metadata"].get("labels"))
        ]
        now = self.api.now()
        disrupted = {
            pod: stamp
            for pod, stamp in get_path(budget, "status", "disruptedPods", default={}).items()
            if parse_time(stamp) + DISRUPTED_FOR_S > now and self._pods.get(pod, namespace) is not None
        }
        spec, expected = budget["spec"], self._expected(pods)
        healthy = sum(
            is_ready(pod) and not is_being_deleted(pod) and pod["metadata"]["name"] not in disrupted for pod in pods
        )
        if spec.get("maxUnavailable") is not None:
            desired = max(0, expected - int_or_percent(spec["maxUnavailable"], expected, round_up=True, default=0))
        else:
            desired = int_or_percent(spec.get("minAvailable"), expected, round_up=True, default=1)
            if isinstance(spec.get("minAvailable"), int):
                expected = len(pods)
        allowed = max(0, healthy - desired) if expected > 0 else 0
        old = budget.get("status") or {}
        status: Obj = {
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "disruptionsAllowed": allowed,
            "expectedPods": expected,
            "observedGeneration": budget["metadata"].get("generation", 0),
            "conditions": [_condition(old, allowed, budget["metadata"].get("generation", 0), now)],
        }
        if disrupted:
            status["disruptedPods"] = disrupted
            self.queue.add_after(key, DISRUPTED_FOR_S)
        await self.api.update_status(RESOURCE, budget, status)

    def _expected(self, pods: list[Obj]) -> int:
        """The sum of what the pods' owners ask for; a pod without a scalable owner counts itself."""
        owners: dict[str, int] = {}
        alone = 0
        for pod in pods:
            reference = controller_of(pod)
            cache = self._owners.get(reference["kind"]) if reference is not None else None
            owner = (
                owner_in_cache(cache, reference["kind"], pod) if cache is not None and reference is not None else None
            )
            if owner is None:
                alone += 1
            else:
                owners[owner["metadata"]["uid"]] = owner["spec"].get("replicas", 1)
        return sum(owners.values()) + alone


def _condition(old: Obj, allowed: int, generation: int, now: float) -> Obj:
    status = "True" if allowed > 0 else "False"
    known = next((c for c in old.get("conditions") or () if c["type"] == "DisruptionAllowed"), None)
    since = known["lastTransitionTime"] if known is not None and known["status"] == status else format_time(now)
    return {
        "type": "DisruptionAllowed",
        "status": status,
        "lastTransitionTime": since,
        "reason": "SufficientPods" if allowed > 0 else "InsufficientPods",
        "message": "",
        "observedGeneration": generation,
    }
