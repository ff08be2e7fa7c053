"""``meshlab check --watch``: each change of a verdict as a line, until everything passes."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator

from meshlab.course.ids import timestamp
from meshlab.errors import MeshlabError, UsageError
from meshlab.grading.live import LiveCheck, LiveStatus, TaskStatus
from meshlab.grading.session import Session
from meshlab.grading.verdicts import MARKS


class Lines:
    """What one status has to say that the ones before it did not.

    Args:
        task: speak of this task and its guards only; of all if empty.
        as_json: one object per line.
    """

    def __init__(self, task: str, *, as_json: bool) -> None:
        self._task = task
        self._as_json = as_json
        self._said: dict[str, tuple[str, ...]] = {}

    def of(self, status: LiveStatus) -> Iterator[str]:
        """The lines; none if nothing changed."""
        yield from self._error(status.error)
        for task in self.selected(status):
            verdict = task.verdict
            if verdict is None or status.exercise is None:
                continue
            mark = (verdict.outcome, verdict.code, verdict.why)
            if self._said.get(task.task.id) == mark:
                continue
            self._said[task.task.id] = mark
            yield self._verdict_json(task, status.exercise.id) if self._as_json else _verdict_text(task)

    def passes(self, status: LiveStatus) -> bool:
        """Whether all that is spoken of passes, in one run."""
        if not self._task:
            return status.done
        tasks = self.selected(status)
        passed = all(task.verdict is not None and task.verdict.outcome == "PASS" for task in tasks)
        return bool(tasks) and passed and not status.looking

    def selected(self, status: LiveStatus) -> list[TaskStatus]:
        """The tasks that are spoken of.

        Raises:
            UsageError: the exercise has no task of that name.
        """
        if not self._task or status.exercise is None:
            return list(status.tasks)
        asked = status.exercise.task(self._task)
        if asked is None:
            known = ", ".join(task.id for task in status.exercise.tasks)
            raise UsageError(f'exercise {status.exercise.id} has no task "{self._task}"', hint=f"its tasks: {known}")
        return [task for task in status.tasks if task.task.id in (asked.id, *asked.guarded_by)]

    def _error(self, error: MeshlabError | None) -> Iterator[str]:
        said = (error.title, error.message) if error else ()
        if said == self._said.get("", ()):
            return
        self._said[""] = said
        if error is None:
            # Verdicts that were kept are worth repeating after a gap.
            self._said = {"": ()}
        elif self._as_json:
            yield json.dumps({"at": timestamp(), **error.to_json()})
        else:
            yield f"! {error.title}: {error.message}"

    def _verdict_json(self, task: TaskStatus, exercise_id: str) -> str:
        assert task.verdict is not None
        points = {"earned": float(task.earned), "possible": float(task.task.points)}
        line = {"at": timestamp(), "exercise": exercise_id, "task": task.task.id, "guard": task.task.guard}
        return json.dumps({**line, **task.verdict.to_json(), "points": points})


def watch(
    open_session: Callable[[], Session], exercise_id: str, task: str, *, as_json: bool, say: Callable[[str], None]
) -> LiveStatus:
    """Print lines until everything passes; the last status is returned.

    Raises:
        UsageError: the exercise was not started, or not any more.
    """
    statuses: queue.SimpleQueue[LiveStatus] = queue.SimpleQueue()
    lines = Lines(task, as_json=as_json)
    live = LiveCheck(open_session, exercise_id, statuses.put)
    live.start()
    try:
        while True:
            status = statuses.get()
            if isinstance(status.error, UsageError):
                raise status.error
            for line in lines.of(status):
                say(line)
            if lines.passes(status):
                return status
    finally:
        live.stop()


def _verdict_text(task: TaskStatus) -> str:
    verdict = task.verdict
    assert verdict is not None
    words = [f"{MARKS[verdict.outcome]} {verdict.outcome:<12} {task.task.id}", f"[{verdict.code}]", verdict.found]
    if verdict.why and verdict.outcome != "PASS":
        words.append(f"({verdict.why})")
    if task.guarded:
        words.append("(its guard does not hold)")
    return "  ".join(words)
