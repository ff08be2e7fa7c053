"""The learner's desk: what the screen does with the course and the cluster, off the screen's own thread.

Two lanes, one thread each, because the parts below block: *reading* touches only files (the course, the progress file)
and stays quick while *acting* sets up an exercise or waits for the cluster. Each lane opens what it needs in its own
thread and keeps it; a SQLite connection and a session belong to one thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from meshlab.course.catalogue import Course
from meshlab.errors import LabError, MeshlabError

if TYPE_CHECKING:
    from meshlab.cluster.mesh import MeshInfo
    from meshlab.cluster.providers.choice import Provider
    from meshlab.course.reading import Reading
    from meshlab.grading.live import LiveCheck, LiveStatus
    from meshlab.grading.session import Session

T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(slots=True)
class _Lane:
    """One thread, and how many calls wait for it or run in it."""

    name: str
    calls: int = 0
    executor: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"desk-{self.name}")

    async def run(self, call: Callable[[], T]) -> T:
        self.calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.executor, call)
        finally:
            self.calls -= 1


class Desk:
    """Reads and acts for one learner.

    Args:
        course: the course.
        provider: where its exercises run.
        on_stage: told in a few words what is being done; called in the acting thread.
    """

    def __init__(self, course: Course, provider: Provider, on_stage: Say) -> None:
        self.course = course
        self.provider = provider
        self.on_stage = on_stage
        self._reading: Reading | None = None
        self._session: Session | None = None
        self._read_lane = _Lane("reading")
        self._act_lane = _Lane("acting")

    @property
    def is_acting(self) -> bool:
        """Whether something is being done to the cluster that should not be cut off."""
        return self._act_lane.calls > 0

    async def read(self, call: Callable[[Reading], T]) -> T:
        """Read the course's records, or add to them.

        Raises:
            MeshlabError: as the call does; or the progress file cannot be kept.
        """
        return await self._read_lane.run(lambda: call(self._open_reading()))

    async def act(self, call: Callable[[Session], T]) -> T:
        """Do something to the cluster.

        Raises:
            MeshlabError: as the call does; or there is no cluster.
        """

        def acted() -> T:
            try:
                return call(self._open_session())
            except LabError:
                # The next call finds the cluster anew: it may have come back under another address.
                self._close_session()
                raise

        return await self._act_lane.run(acted)

    async def bring_up(self) -> None:
        """Bring the cluster up if that is ours to do, and connect to it.

        Raises:
            MeshlabError: it does not come up.
        """

        def up() -> None:
            self._close_session()
            self.provider.ensure(self.on_stage)
            self._open_session()

        await self._act_lane.run(up)

    async def compute(self, call: Callable[[], T]) -> T:
        """Run something that blocks, in turn with what is done to the cluster."""
        return await self._act_lane.run(call)

    async def mesh(self) -> MeshInfo | None:
        """The cluster's mesh as it is now.

        Raises:
            MeshlabError: there is no cluster.
        """
        from meshlab.cluster.mesh import detect_mesh

        return await self.act(lambda session: detect_mesh(session.cluster))

    def live_check(self, exercise_id: str, report: Callable[[LiveStatus], None]) -> LiveCheck:
        """A live check with a session of its own, not started yet; ``report`` is called in its thread."""
        from meshlab.grading.live import LiveCheck
        from meshlab.grading.session import open_session

        return LiveCheck(lambda: open_session(self.course, self.provider), exercise_id, report)

    async def close(self) -> None:
        """Let both lanes finish what they do, and close what they opened."""

        def close_reading() -> None:
            if self._reading is not None:
                self._reading.progress.close()

        await self._read_lane.run(close_reading)
        await self._act_lane.run(self._close_session)
        for lane in (self._read_lane, self._act_lane):
            lane.executor.shutdown(wait=False)

    def _open_reading(self) -> Reading:
        if self._reading is None:
            from meshlab.course.progress import Progress
            from meshlab.course.reading import Reading

            progress = Progress(lab=self.provider.name, course=lambda: self.course.reference)
            self._reading = Reading(self.course, progress)
        return self._reading

    def _open_session(self) -> Session:
        if self._session is None:
            from meshlab.grading.session import open_session

            self._session = open_session(self.course, self.provider, self.on_stage)
        return self._session

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def explain(error: BaseException) -> MeshlabError:
    """Any failure as something that a person can read; a defect of ours says that it is one."""
    if isinstance(error, MeshlabError):
        return error
    return MeshlabError(
        f"{type(error).__name__}: {error}",
        title="A defect of meshlab",
        hint="please report it; the course goes on",
    )
