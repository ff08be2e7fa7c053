"""The Deployment controller: reads, decides with the pure functions beside it, writes."""

from __future__ import annotations

from collections.abc import Sequence

from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.controllers.deployment.arithmetic import (
    REVISION,
    is_rolling_update,
    is_saturated,
    is_scaling,
    new_set_size,
    proportional_sizes,
    replicas_of,
    revision_of,
    scale_down_old,
)
from meshlab.minicluster.controllers.deployment.replicasets import (
    API_VERSION,
    KIND,
    find_new_set,
    new_replica_set,
    refreshed_new_set,
    resized,
    surplus_history,
    template_without_hash,
)
from meshlab.minicluster.controllers.deployment.status import (
    counted_status,
    has_deadline,
    is_complete,
    make_condition,
    rollout_status,
    seconds_left,
    set_condition,
)
from meshlab.minicluster.controllers.hashing import template_hash
from meshlab.minicluster.controllers.ownership import (
    Claims,
    controller_of,
    is_being_deleted,
    is_controlled_by,
    owner_in_cache,
)
from meshlab.minicluster.controllers.podcontrol import namespace_is_terminating
from meshlab.minicluster.controllers.pods import condition, is_finished
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.labels import selects

RESOURCE = "deployments.apps"
SETS = "replicasets.apps"


class DeploymentController(Controller):
    """Moves the pods of Deployments from old templates to new ones, by sizing ReplicaSets."""

    component = "deployment-controller"

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._deployments = api.cache(RESOURCE)
        self._deployments.in_namespace("")
        self._sets = api.cache(SETS)
        self._pods = api.cache("pods")
        self._pods.controlled_by("")
        self._claims = Claims(api, owners=RESOURCE, owned=SETS, api_version=API_VERSION, kind=KIND)
        self.watch(RESOURCE)
        self._sets.subscribe(self._set_changed)
        self._pods.subscribe(self._pod_changed)

    def _set_changed(self, old: Obj | None, new: Obj | None) -> None:
        for replica_set in (old, new):
            owner = owner_in_cache(self._deployments, KIND, replica_set) if replica_set is not None else None
            if owner is not None:
                self.enqueue(owner)
        if new is not None and controller_of(new) is None:
            for deployment in self._deployments.in_namespace(new["metadata"]["namespace"]):
                if selects(deployment["spec"].get("selector"), new["metadata"].get("labels")):
                    self.enqueue(deployment)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Recreate waits for the last old pod to vanish."""
        if old is None or new is not None:
            return
        replica_set = owner_in_cache(self._sets, "ReplicaSet", old)
        deployment = owner_in_cache(self._deployments, KIND, replica_set) if replica_set is not None else None
        if deployment is not None and not is_rolling_update(deployment):
            self.enqueue(deployment)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        deployment = self._deployments.get(name, namespace)
        if deployment is None:
            return
        selector = deployment["spec"].get("selector") or {}
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            self.recorder.event(
                deployment,
                "Warning",
                "SelectingAll",
                "This deployment is selecting all pods. A non-empty selector is required.",
            )
            return
        sets = await self._claims.of(deployment, selector)
        if is_being_deleted(deployment):
            await self._write_status(
                deployment, counted_status(deployment, sets, find_new_set(deployment, sets), self.api.now())
            )
            return
        deployment = await self._note_pause(deployment)
        if deployment["spec"].get("paused") or is_scaling(deployment, sets):
            await self._scale_only(deployment, sets)
        elif is_rolling_update(deployment):
            await self._roll(deployment, sets)
        else:
            await self._recreate(deployment, sets)

    # --- the three ways a Deployment moves ---

    async def _scale_only(self, deployment: Obj, sets: list[Obj]) -> None:
        deployment, new_set = await self._new_set(deployment, sets, create=False)
        await self._scale(deployment, self._fresh(sets), new_set)
        if deployment["spec"].get("paused"):
            await self._trim_history(deployment, self._fresh(sets), new_set)
        sets = self._fresh(sets)
        status = counted_status(deployment, sets, find_new_set(deployment, sets), self.api.now())
        await self._write_status(deployment, status)

    async def _roll(self, deployment: Obj, sets: list[Obj]) -> None:
        deployment, new_set = await self._new_set(deployment, sets, create=True)
        if new_set is None:
            return
        sets = self._with(self._fresh(sets), new_set)
        wanted = replicas_of(deployment)
        size = wanted if replicas_of(new_set) > wanted else new_set_size(deployment, sets, new_set)
        moved = size != replicas_of(new_set) and await self._resize(deployment, new_set, size)
        if not moved:
            old_sets = _others(sets, new_set)
            for name, old_size in scale_down_old(deployment, old_sets, new_set).items():
                old = next(each for each in old_sets if each["metadata"]["name"] == name)
                moved = await self._resize(deployment, old, old_size) or moved
        await self._finish(deployment, sets, trim=not moved)

    async def _recreate(self, deployment: Obj, sets: list[Obj]) -> None:
        deployment, new_set = await self._new_set(deployment, sets, create=False)
        sets = self._fresh(sets)
        moved = False
        for old in _others(sets, new_set):
            if replicas_of(old) > 0:
                moved = await self._resize(deployment, old, 0) or moved
        if moved or self._old_pods_run(sets, new_set):
            await self._finish(deployment, sets, trim=False)
            return
        if new_set is None:
            deployment, new_set = await self._new_set(deployment, sets, create=True)
            if new_set is None:
                return
            sets = self._with(self._fresh(sets), new_set)
        if replicas_of(new_set) != replicas_of(deployment):
            await self._resize(deployment, new_set, replicas_of(deployment))
        await self._finish(deployment, sets, trim=True)

    async def _finish(self, deployment: Obj, sets: list[Obj], *, trim: bool) -> None:
        sets = self._fresh(sets)
        new_set = find_new_set(deployment, sets)
        if trim and is_complete(deployment, deployment.get("status") or {}):
            await self._trim_history(deployment, sets, new_set)
            sets = self._fresh(sets)
        now = self.api.now()
        status = rollout_status(deployment, sets, new_set, now)
        await self._write_status(deployment, status)
        progressing = condition({"status": status}, "Progressing")
        if (
            has_deadline(deployment)
            and progressing is not None
            and progressing["reason"] not in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded")
        ):
            metadata = deployment["metadata"]
            delay_s = max(0.0, seconds_left(deployment, progressing, now)) + 1
            self.queue.add_after((metadata["namespace"], metadata["name"]), delay_s)

    # --- the new ReplicaSet ---

    async def _new_set(self, deployment: Obj, sets: list[Obj], *, create: bool) -> tuple[Obj, Obj | None]:
        """The ReplicaSet of the present template, made if asked for; also the Deployment as it is after the writes."""
        new_set = find_new_set(deployment, sets)
        revision = max((revision_of(each) for each in _others(sets, new_set)), default=0) + 1
        now = self.api.now()
        if new_set is not None:
            fresh = refreshed_new_set(deployment, new_set, revision)
            if fresh is not None:
                new_set = await self.api.update(SETS, fresh)
            name = new_set["metadata"]["name"]
            found = make_condition("Progressing", "True", "FoundNewReplicaSet", f'Found new replica set "{name}"', now)
            progressing = found if condition(deployment, "Progressing") is None else None
            return await self._note_revision(deployment, new_set, progressing), new_set
        if not create:
            return deployment, None
        new_set = await self._create_set(deployment, sets, revision)
        if new_set is None:
            return deployment, None
        name = new_set["metadata"]["name"]
        created = make_condition(
            "Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"', now
        )
        return await self._note_revision(deployment, new_set, created), new_set

    async def _create_set(self, deployment: Obj, sets: list[Obj], revision: int) -> Obj | None:
        namespace = deployment["metadata"]["namespace"]
        collisions = (deployment.get("status") or {}).get("collisionCount") or 0
        pod_template_hash = template_hash(deployment["spec"]["template"], collisions)
        replicas = new_set_size(deployment, sets, None)
        wanted = new_replica_set(deployment, pod_template_hash, replicas, revision)
        name = wanted["metadata"]["name"]
        try:
            created = await self.api.create(SETS, wanted, namespace)
        except StatusError as error:
            if namespace_is_terminating(error):
                return None
            if error.reason == "AlreadyExists":
                return await self._after_collision(deployment, name, namespace, collisions, error)
            message = f'Failed to create new replica set "{name}": {error.message}'
            if has_deadline(deployment):
                status = {**(deployment.get("status") or {})}
                set_condition(
                    status, make_condition("Progressing", "False", "ReplicaSetCreateError", message, self.api.now())
                )
                await self._write_status(deployment, status)
            self.recorder.event(deployment, "Warning", "ReplicaSetCreateError", message)
            raise
        if replicas:
            self._scaled(deployment, name, 0, replicas)
        return created

    async def _after_collision(
        self, deployment: Obj, name: str, namespace: str, collisions: int, error: StatusError
    ) -> Obj:
        existing = await self.api.live.get(SETS, name, namespace)
        same = template_without_hash(existing["spec"]["template"]) == template_without_hash(
            deployment["spec"]["template"]
        )
        if is_controlled_by(existing, deployment) and same:
            return existing
        status = {**(deployment.get("status") or {}), "collisionCount": collisions + 1}
        await self._write_status(deployment, status)
        raise error

    async def _note_revision(self, deployment: Obj, new_set: Obj, progressing: Obj | None) -> Obj:
        """Copy the revision to the Deployment, and say that the ReplicaSet was created or found.

        The annotation goes with the status, as upstream: otherwise it would count as a new generation.
        """
        metadata, status = deployment["metadata"], {**(deployment.get("status") or {})}
        annotations = {**(metadata.get("annotations") or {})}
        revision = (new_set["metadata"].get("annotations") or {}).get(REVISION)
        if revision:
            annotations[REVISION] = revision
        if progressing is not None and has_deadline(deployment):
            set_condition(status, progressing)
        if annotations == (metadata.get("annotations") or {}) and status == (deployment.get("status") or {}):
            return deployment
        fresh = {**deployment, "metadata": {**metadata, "annotations": annotations}, "status": status}
        return await self.api.update(RESOURCE, fresh, subresource="status")

    # --- sizes ---

    async def _scale(self, deployment: Obj, sets: list[Obj], new_set: Obj | None) -> None:
        """Give a changed ``spec.replicas`` to the ReplicaSets (upstream's ``scale``)."""
        active = [each for each in sets if replicas_of(each) > 0]
        if len(active) <= 1:
            only = active[0] if active else new_set or max(sets, key=revision_of, default=None)
            if only is not None and replicas_of(only) != replicas_of(deployment):
                await self._resize(deployment, only, replicas_of(deployment))
            elif only is not None:
                await self._resize(deployment, only, replicas_of(only))
            return
        if is_saturated(deployment, new_set):
            for old in _others(active, new_set):
                await self._resize(deployment, old, 0)
            return
        if is_rolling_update(deployment):
            for each, size in proportional_sizes(deployment, active):
                await self._resize(deployment, each, size)

    async def _resize(self, deployment: Obj, replica_set: Obj, size: int) -> bool:
        """Write a size and the size annotations; returns whether the size changed."""
        before = replicas_of(replica_set)
        changed = resized(deployment, replica_set, size)
        if changed is not None:
            await self.api.update(SETS, changed)
        if size == before:
            return False
        self._scaled(deployment, replica_set["metadata"]["name"], before, size)
        return True

    def _scaled(self, deployment: Obj, name: str, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {name} from {before} to {after}"
        self.recorder.event(deployment, "Normal", "ScalingReplicaSet", message)

    # --- conditions, history, pods ---

    async def _note_pause(self, deployment: Obj) -> Obj:
        if not has_deadline(deployment):
            return deployment
        progressing = condition(deployment, "Progressing")
        reason = progressing["reason"] if progressing is not None else ""
        if reason == "ProgressDeadlineExceeded":
            return deployment
        paused, noted = bool(deployment["spec"].get("paused")), reason == "DeploymentPaused"
        if paused == noted:
            return deployment
        fact = (
            ("DeploymentPaused", "Deployment is paused") if paused else ("DeploymentResumed", "Deployment is resumed")
        )
        status = {**(deployment.get("status") or {})}
        set_condition(status, make_condition("Progressing", "Unknown", *fact, self.api.now()))
        return await self._write_status(deployment, status)

    async def _trim_history(self, deployment: Obj, sets: list[Obj], new_set: Obj | None) -> None:
        for old in surplus_history(deployment, _others(sets, new_set)):
            await self.api.delete(SETS, old)

    def _old_pods_run(self, sets: list[Obj], new_set: Obj | None) -> bool:
        return any(
            not is_finished(pod)
            for old in _others(sets, new_set)
            for pod in self._pods.controlled_by(old["metadata"]["uid"])
        )

    async def _write_status(self, deployment: Obj, status: Obj) -> Obj:
        return await self.api.update_status(RESOURCE, deployment, status)

    def _fresh(self, sets: Sequence[Obj]) -> list[Obj]:
        """The same ReplicaSets as the cache has them now: our own writes are in it."""
        fresh = []
        for each in sets:
            metadata = each["metadata"]
            current = self._sets.get(metadata["name"], metadata["namespace"])
            if current is not None and current["metadata"]["uid"] == metadata["uid"]:
                fresh.append(current)
        return fresh

    def _with(self, sets: list[Obj], new_set: Obj) -> list[Obj]:
        uid = new_set["metadata"]["uid"]
        return sets if any(each["metadata"]["uid"] == uid for each in sets) else [*sets, new_set]


def _others(sets: Sequence[Obj], new_set: Obj | None) -> list[Obj]:
    uid = new_set["metadata"]["uid"] if new_set is not None else None
    return [each for each in sets if each["metadata"]["uid"] != uid]
