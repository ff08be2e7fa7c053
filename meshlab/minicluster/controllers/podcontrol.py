"""Creation and deletion of pods on behalf of a workload object, with the events that upstream emits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.kubeapi import Obj, StatusError

BURST = 500
"""At most this many pods are created or deleted in one reconcile."""


def namespace_is_terminating(error: StatusError) -> bool:
    """Whether a creation was refused because its namespace is going away; retrying would be useless."""
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


class PodControl:
    """Creates and deletes pods for the objects of one controller."""

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        self._api = api
        self._recorder = recorder

    async def create(self, owner: Obj, pods: Sequence[Obj]) -> StatusError | None:
        """Create pods in batches of 1, 2, 4 ... so that a refusal is met once, not a hundred times.

        Returns:
            The error that stopped it, or None if all were created (or the namespace is terminating).
        """
        start, size = 0, 1
        while start < len(pods):
            batch = pods[start : start + size]
            errors = [error for error in await asyncio.gather(*(self._create(owner, p) for p in batch)) if error]
            if errors:
                return None if namespace_is_terminating(errors[0]) else errors[0]
            start, size = start + size, size * 2
        return None

    async def _create(self, owner: Obj, pod: Obj) -> StatusError | None:
        try:
            created = await self._api.create("pods", pod, owner["metadata"]["namespace"])
        except StatusError as error:
            if not namespace_is_terminating(error):
                self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return error
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")
        return None

    async def delete(self, owner: Obj, pods: Sequence[Obj]) -> StatusError | None:
        """Delete pods side by side; returns the first error."""
        errors = await asyncio.gather(*(self._delete(owner, pod) for pod in pods))
        return next((error for error in errors if error), None)

    async def _delete(self, owner: Obj, pod: Obj) -> StatusError | None:
        try:
            await self._api.delete("pods", pod)
        except StatusError as error:
            self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            return error
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        return None
