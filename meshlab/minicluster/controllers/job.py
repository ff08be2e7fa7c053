"""Jobs: pods that run until enough of them have succeeded.

``completions``, ``parallelism``, ``backoffLimit``, ``activeDeadlineSeconds``, ``suspend``, ``Indexed`` completion and
``ttlSecondsAfterFinished``. Pods carry no tracking finalizer, so the work of a succeeded pod that somebody deletes
before its Job ends is done again.
"""

from __future__ import annotations

from meshlab.minicluster.controllers.cache import CachedApi, thaw
from meshlab.minicluster.controllers.ownership import (
    Claims,
    controller_reference,
    is_being_deleted,
    owner_in_cache,
)
from meshlab.minicluster.controllers.podcontrol import PodControl
from meshlab.minicluster.controllers.pods import condition, is_active, is_ready, phase, pod_from_template
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.controllers.timestamps import format_time, parse_time
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError

RESOURCE = "jobs.batch"
API_VERSION, KIND = "batch/v1", "Job"
INDEX = "batch.kubernetes.io/job-completion-index"
BACKOFF_S = 10.0
MAX_BACKOFF_S = 600.0


def is_done(job: Obj) -> bool:
    """Whether the Job is complete or failed."""
    return any((c := condition(job, type_)) is not None and c["status"] == "True" for type_ in ("Complete", "Failed"))


def index_ranges(indexes: set[int]) -> str:
    """``1,3-5``: numbers as ``completedIndexes`` writes them."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def index_of(pod: Obj) -> int | None:
    """The completion index of a pod of an Indexed Job."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(text) if text.isdigit() else None


def failures_of(pods: list[Obj]) -> int:
    """What counts against ``backoffLimit``: failed pods, and container restarts of the others."""
    restarts: int = sum(
        status.get("restartCount", 0)
        for pod in pods
        if phase(pod) in ("Pending", "Running") and pod["spec"].get("restartPolicy") == "OnFailure"
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
    )
    return sum(phase(pod) == "Failed" for pod in pods) + restarts


class JobController(Controller):
    """Runs the pods of Jobs and counts how they end."""

    component = "job-controller"

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._jobs = api.cache(RESOURCE)
        self._claims = Claims(api, owners=RESOURCE, owned="pods", api_version=API_VERSION, kind=KIND)
        self._pods = PodControl(api, self.recorder)
        self.watch(RESOURCE)
        api.cache("pods").subscribe(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        for pod in (old, new):
            owner = owner_in_cache(self._jobs, KIND, pod) if pod is not None else None
            if owner is not None:
                self.enqueue(owner)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        job = self._jobs.get(name, namespace)
        if (
            job is None
            or is_being_deleted(job)
            or job["spec"].get("managedBy", KIND) not in (KIND, "kubernetes.io/job-controller")
        ):
            return
        if is_done(job):
            await self._expire(job, key)
            return
        pods = await self._claims.of(job, job["spec"].get("selector"))
        end = self._verdict(job, pods)
        failure = await self._end(job, pods) if end is not None else await self._move(job, pods, key)
        pods = await self._claims.of(job, job["spec"].get("selector"))
        await self._write_status(job, pods, end)
        if failure is not None:
            raise failure

    def _verdict(self, job: Obj, pods: list[Obj]) -> tuple[str, str, str] | None:
        """(type, reason, message) of the condition that ends the Job, if it has ended."""
        spec, status = job["spec"], job.get("status") or {}
        if failures_of(pods) > spec.get("backoffLimit", 6):
            return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline, started = spec.get("activeDeadlineSeconds"), parse_time(status.get("startTime"))
        if deadline is not None and started and not spec.get("suspend"):
            left = started + deadline - self.api.now()
            if left <= 0:
                return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
            self.queue.add_after((job["metadata"]["namespace"], job["metadata"]["name"]), left)
        succeeded = _succeeded(job, pods)
        completions = spec.get("completions")
        if completions is None:
            active = sum(is_active(pod) for pod in pods)
            done = succeeded > 0 and active == 0
        else:
            done = succeeded >= completions
        return ("Complete", "CompletionsReached", "Reached expected number of succeeded pods") if done else None

    async def _end(self, job: Obj, pods: list[Obj]) -> StatusError | None:
        return await self._pods.delete(job, [pod for pod in pods if is_active(pod)])

    async def _move(self, job: Obj, pods: list[Obj], key: Key) -> StatusError | None:
        spec = job["spec"]
        active = [pod for pod in pods if is_active(pod)]
        if spec.get("suspend"):
            return await self._pods.delete(job, active)
        parallelism, completions = spec.get("parallelism", 1), spec.get("completions")
        succeeded = _succeeded(job, pods)
        if completions is None:
            wanted = parallelism if succeeded == 0 else len(active)
        else:
            wanted = min(parallelism, completions - succeeded)
        if len(active) > wanted:
            return await self._pods.delete(job, active[wanted:])
        missing = wanted - len(active)
        if missing <= 0:
            return None
        wait_s = self._backoff(pods)
        if wait_s > 0:
            self.queue.add_after(key, wait_s)
            return None
        return await self._pods.create(job, self._new_pods(job, pods, missing))

    def _backoff(self, pods: list[Obj]) -> float:
        """How long to wait after the last failure: 10 s, doubled with each."""
        ends = [_ended_at(pod) for pod in pods if phase(pod) == "Failed"]
        if not ends:
            return 0.0
        delay: float = min(BACKOFF_S * 2 ** (len(ends) - 1), MAX_BACKOFF_S)
        return max(ends) + delay - self.api.now()

    def _new_pods(self, job: Obj, pods: list[Obj], count: int) -> list[Obj]:
        spec, name = job["spec"], job["metadata"]["name"]
        reference = controller_reference(job, API_VERSION, KIND)
        if spec.get("completionMode") != "Indexed":
            return [pod_from_template(spec["template"], reference, generate_name=f"{name}-")] * count
        taken = {index_of(pod) for pod in pods if is_active(pod) or phase(pod) == "Succeeded"}
        free = [index for index in range(spec.get("completions") or 0) if index not in taken][:count]
        return [self._indexed_pod(job, index, reference) for index in free]

    def _indexed_pod(self, job: Obj, index: int, reference: Obj) -> Obj:
        name = job["metadata"]["name"]
        pod = pod_from_template(thaw(job["spec"]["template"]), reference, generate_name=f"{name}-{index}-")
        for field in ("labels", "annotations"):
            pod["metadata"][field] = {**pod["metadata"].get(field, {}), INDEX: str(index)}
        pod["spec"]["hostname"] = f"{name}-{index}"
        source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
        for container in (*pod["spec"].get("containers", ()), *pod["spec"].get("initContainers", ())):
            container["env"] = [*container.get("env", ()), {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]
        return pod

    async def _write_status(self, job: Obj, pods: list[Obj], end: tuple[str, str, str] | None) -> None:
        old, now = job.get("status") or {}, format_time(self.api.now())
        suspended = bool(job["spec"].get("suspend"))
        conditions = [c for c in old.get("conditions") or () if c["type"] != "Suspended"]
        was = condition(job, "Suspended")
        if was is not None or suspended:
            conditions.append(self._suspension(job, was, suspended, now))
        status: Obj = {}
        if old.get("startTime") and not suspended:
            status["startTime"] = old["startTime"]
        elif not suspended:
            status["startTime"] = now
        active = [pod for pod in pods if is_active(pod)]
        counts = {
            "active": len(active),
            "succeeded": _succeeded(job, pods),
            "failed": max(old.get("failed", 0), sum(phase(pod) == "Failed" for pod in pods)),
        }
        status |= {name: count for name, count in counts.items() if count}
        status["ready"] = sum(is_ready(pod) for pod in active)
        status["terminating"] = sum(is_being_deleted(pod) and phase(pod) in ("Pending", "Running") for pod in pods)
        status["uncountedTerminatedPods"] = {}
        if job["spec"].get("completionMode") == "Indexed":
            status["completedIndexes"] = index_ranges(_completed_indexes(pods))
        if end is not None:
            type_, reason, message = end
            stages = ("SuccessCriteriaMet", "Complete") if type_ == "Complete" else ("FailureTarget", "Failed")
            conditions += [
                {
                    "type": stage,
                    "status": "True",
                    "lastProbeTime": now,
                    "lastTransitionTime": now,
                    "reason": reason,
                    "message": message,
                }
                for stage in stages
            ]
            if type_ == "Complete":
                status["completionTime"] = now
        if conditions:
            status["conditions"] = conditions
        await self.api.update_status(RESOURCE, job, status)
        if end is not None:
            if end[0] == "Complete":
                self.recorder.event(job, "Normal", "Completed", "Job completed")
            else:
                self.recorder.event(job, "Warning", end[1], end[2])

    def _suspension(self, job: Obj, was: Obj | None, suspended: bool, now: str) -> Obj:
        status = "True" if suspended else "False"
        if was is not None and was["status"] == status:
            return was
        self.recorder.event(
            job, "Normal", "Suspended" if suspended else "Resumed", "Job suspended" if suspended else "Job resumed"
        )
        return {
            "type": "Suspended",
            "status": status,
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": "JobSuspended" if suspended else "JobResumed",
            "message": "Job suspended" if suspended else "Job resumed",
        }

    async def _expire(self, job: Obj, key: Key) -> None:
        """Delete a finished Job after ``ttlSecondsAfterFinished``."""
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None:
            return
        ended = condition(job, "Complete") or condition(job, "Failed") or {}
        left = parse_time(ended.get("lastTransitionTime")) + ttl - self.api.now()
        if left > 0:
            self.queue.add_after(key, left)
        else:
            await self.api.delete(RESOURCE, job, propagation="Foreground")


def _completed_indexes(pods: list[Obj]) -> set[int]:
    return {index for pod in pods if phase(pod) == "Succeeded" and (index := index_of(pod)) is not None}


def _succeeded(job: Obj, pods: list[Obj]) -> int:
    if job["spec"].get("completionMode") == "Indexed":
        return len(_completed_indexes(pods))
    return sum(phase(pod) == "Succeeded" for pod in pods)


def _ended_at(pod: Obj) -> float:
    ends = [
        parse_time(((status.get("state") or {}).get("terminated") or {}).get("finishedAt"))
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    return max(ends, default=0.0)
