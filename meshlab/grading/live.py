"""Judges an exercise as it is being worked on: a verdict turns green without a key.

One thread judges, with a session of its own. It sleeps until a watched object changes, somebody nudges it, a task's own
clock (`Track`) says that it is time, or the cluster is lost; a look that a change overtakes is broken off and begun
anew. Everything that a screen needs is in each `LiveStatus`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from meshlab.cluster.facade import Cluster
from meshlab.course.model import Exercise, Task
from meshlab.errors import ClusterUnreachable, LabError, MeshlabError, UsageError
from meshlab.grading.attempt import AttemptRecord
from meshlab.grading.changes import Change, ChangeWatch, targets_of
from meshlab.grading.engine import UNREACHABLE, ExerciseResult, TaskResult, guards_hold, look_at_task, overdue
from meshlab.grading.mailbox import Mailbox
from meshlab.grading.registry import CheckContext, Overtaken
from meshlab.grading.session import Session
from meshlab.grading.track import Track
from meshlab.grading.verdicts import Verdict

logger = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 5.0
NOT_STARTED_POLL_S = 2.0
SETTLE_S = 1.0
OVERTAKEN_LIMIT = 3
"""So many looks in a row may be broken off; where things never stand still, the next goes on to its end."""
LAB_CODES = frozenset({UNREACHABLE, "lab.failed"})

_DECIDED = ("PASS", "FAIL", "INCONCLUSIVE")


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task as it stands.

    Attributes:
        task: the task.
        verdict: the last one; None while it was not judged yet.
        earned: points, none if a guard does not hold.
        guarded: one of its guards does not hold.
        checking: it is being looked at now.
        pending_s: for how long it has been PENDING for this cause; ``task.within_s - pending_s`` is left.
        changed_at: when outcome or code last changed, by the monotonic clock.
    """

    task: Task
    verdict: Verdict | None
    earned: Decimal
    guarded: bool
    checking: bool
    pending_s: float | None
    changed_at: float


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """An exercise as it stands.

    Attributes:
        exercise: as drawn; None while it is not known, since it was not started or the cluster never answered.
        record: the attempt; None likewise.
        tasks: in the exercise's order; the last verdicts stay while the cluster does not answer.
        done: all goals and guards held in one run, and still do.
        earned: points.
        possible: points.
        debrief: what is worth reading once it is done.
        error: why nothing can be judged now; it is tried again.
        looking: a look is under way.
    """

    exercise: Exercise | None
    record: AttemptRecord | None
    tasks: tuple[TaskStatus, ...]
    done: bool
    earned: Decimal
    possible: Decimal
    debrief: tuple[str, ...]
    error: MeshlabError | None
    looking: bool


class Board:
    """What is known of one attempt."""

    def __init__(self, exercise: Exercise, record: AttemptRecord, recorded: object, now: float) -> None:
        self.exercise = exercise
        self.record = record
        self.recorded = recorded
        """Verdicts and codes of the last run that was written down; None if none ever was."""
        self.tracks = [Track(task, now) for task in exercise.tasks]
        self.done = False

    @property
    def live(self) -> list[Track]:
        """The tasks that are looked at again: what an exercise about a process has shown once, stays shown."""
        sticky = self.exercise.judge == "process"
        return [track for track in self.tracks if not (sticky and _passes(track))]

    @property
    def result(self) -> ExerciseResult:
        """The verdicts that are there, with guards applied."""
        judged = [track.result for track in self.tracks if track.result is not None]
        return ExerciseResult(self.exercise, tuple(self._guarded(result) for result in judged))

    def guards_hold(self, task: Task) -> bool:
        """Whether the task's guards hold, as far as they were judged."""
        return guards_hold(task, {track.task.id: track.verdict for track in self.tracks if track.verdict})

    def _guarded(self, result: TaskResult) -> TaskResult:
        points = (
            result.task.points if result.verdict.outcome == "PASS" and self.guards_hold(result.task) else Decimal(0)
        )
        return replace(result, earned=points)

    def status(self, error: MeshlabError | None, looking: bool, now: float) -> LiveStatus:
        """All of it, for a screen."""
        result = self.result
        earned = {entry.task.id: entry.earned for entry in result.tasks}
        tasks = tuple(
            TaskStatus(
                track.task,
                track.verdict,
                earned.get(track.task.id, Decimal(0)),
                not self.guards_hold(track.task),
                track.checking,
                now - track.pending_since
                if track.pending_since is not None and track.verdict and track.verdict.outcome == "PENDING"
                else None,
                track.changed_at,
            )
            for track in self.tracks
        )
        # While a look is under way, one of its first tasks may have failed already.
        done = self.done and result.done
        debrief = result.debrief if done else ()
        return LiveStatus(
            self.exercise,
            self.record,
            tasks,
            done,
            result.earned,
            self.exercise.possible,
            debrief,
            error,
            looking,
        )


class LiveCheck:
    """Judges one exercise for as long as it runs.

    Args:
        open_session: opens a session for the judging thread; called again whenever the cluster was lost.
        exercise_id: the exercise; it need not be started yet.
        on_status: called in the judging thread at each change of what is known; it must not block.
        idle_look_s: how soon to look again, unasked, when everything passes; each such look doubles it.
    """

    def __init__(
        self,
        open_session: Callable[[], Session],
        exercise_id: str,
        on_status: Callable[[LiveStatus], None],
        *,
        idle_look_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_session = open_session
        self._exercise_id = exercise_id
        self._on_status = on_status
        self._idle_look_s = idle_look_s
        self._clock = clock
        self._mailbox = Mailbox(clock)
        self._thread = threading.Thread(target=self._run, name=f"live {exercise_id}", daemon=True)
        self._watch: ChangeWatch | None = None
        self._board: Board | None = None
        self._error: MeshlabError | None = None
        self._looking = False
        self._answered = False
        self._overtaken = 0

    def start(self) -> None:
        """Begin; the first status follows soon."""
        self._thread.start()

    def nudge(self, reason: str = "") -> None:
        """Look again soon: for instance a command in the terminal has ended. Many nudges make one look."""
        logger.debug("nudge: %s", reason)
        self._mailbox.put(nudged=True)

    def stop(self, timeout_s: float = 2) -> None:
        """End, and wait for the thread; no status comes after it."""
        self._mailbox.close()
        watch = self._watch
        if watch is not None:
            watch.interrupt()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._mailbox.closed:
            self._answered = False
            try:
                with closing(self._open_session()) as session:
                    self._follow(session)
            except MeshlabError as error:
                self._fail(error)
            except Exception as error:
                logger.exception("live check of %s", self._exercise_id)
                self._fail(MeshlabError(f"{type(error).__name__}: {error}", title="The live check failed"))
            retry_s = FIRST_RETRY_S if self._answered else min(retry_s * 2, LAST_RETRY_S)
            self._mailbox.take(self._clock() + retry_s)

    def _follow(self, session: Session) -> None:
        """Follow the exercise through its attempts, until stopped or the cluster is lost."""
        while not self._mailbox.closed:
            try:
                exercise, record = session.resume(self._exercise_id)
            except UsageError as error:
                self._answered, self._board = True, None
                self._fail(error)
                self._mailbox.take(self._clock() + NOT_STARTED_POLL_S)
                continue
            if self._board is None or self._board.record != record:
                self._board = Board(exercise, record, session.last_recorded(record), self._clock())
            if isinstance(self._error, UsageError):
                self._error = None
            with ChangeWatch(
                session.cluster, targets_of(exercise, session.registry), self._take_change, self._take_loss
            ) as watch:
                self._watch = watch
                try:
                    watch.settle(SETTLE_S)
                    self._judge(session, self._board)
                finally:
                    self._watch = None

    def _judge(self, session: Session, board: Board) -> None:
        """Look again and again, until the attempt changes or this is stopped."""
        tracks: Sequence[Track] = board.live
        while not self._mailbox.closed:
            moved = self._look(session, board, tracks)
            if moved and len(tracks) < len(board.live):
                # What traffic has decided for one task may be news for the others; and done is what holds in one run.
                tracks = board.live
                continue
            mail = self._mailbox.take(min((track.due(self._idle_look_s) for track in board.live), default=math.inf))
            if mail.reload:
                return
            if mail:
                for track in board.tracks:
                    track.disturb(changed=mail.changed)
            now = self._clock()
            due = [track for track in board.live if track.due(self._idle_look_s) <= now]
            # First what is still to do: that is what somebody waits for.
            tracks = sorted(board.live, key=_passes) if mail or board.done else due

    def _look(self, session: Session, board: Board, tracks: Sequence[Track]) -> bool:
        """Look once at some tasks, one after the other; returns whether a verdict changed.

        Raises:
            LabError: the lab failed; the verdicts stay as they are.
        """
        moved = False
        everything = len(tracks) == len(board.live)
        cluster = session.cluster.interruptible(self._is_overtaken)
        context = CheckContext(cluster, board.exercise, lacking=session.lacking, overtaken=self._is_overtaken)
        self._looking = True
        try:
            for track in tracks:
                track.checking = True
                self._publish()
                try:
                    result = look_at_task(context, track.task, session.registry)
                finally:
                    track.checking = False
                for check in result.checks:
                    _raise_if_lab_failed(check.verdict)
                self._answered, self._error = True, None
                moved |= track.take(result, self._clock(), partial(_overdue, session.cluster))
                self._looking = track is not tracks[-1]
                if not self._looking:
                    self._conclude(session, board, everything=everything)
                self._publish()
            self._overtaken = 0
        except Overtaken:
            # What comes next is decided by what overtook it.
            moved = False
            self._overtaken += 1
        finally:
            self._looking = False
        return moved

    def _conclude(self, session: Session, board: Board, *, everything: bool) -> None:
        """Say whether it is done, and write the run down if it tells something new."""
        result = board.result
        board.done = result.done and (everything or board.done)
        marks = {
            entry.task.id: {"verdict": entry.verdict.outcome, "code": entry.verdict.code} for entry in result.tasks
        }
        decided = all(entry.verdict.outcome in _DECIDED for entry in result.tasks)
        if not (everything and decided) or marks == board.recorded:
            return
        if board.recorded is not None or result.earned:
            session.record_run(result, board.record, live=True)
        # The start of an exercise, looked at because somebody opened it, is no attempt at solving it.
        board.recorded = marks

    def _is_overtaken(self) -> bool:
        return self._mailbox.closed or (self._mailbox.changed and self._overtaken < OVERTAKEN_LIMIT)

    def _take_change(self, change: Change) -> None:
        logger.debug("changed: %s", change)
        ours = change.resource == "configmaps" and change.name == AttemptRecord.name_for(self._exercise_id)
        self._mailbox.put(changed=True, reload=ours)

    def _take_loss(self) -> None:
        self._mailbox.put(nudged=True)

    def _fail(self, error: MeshlabError) -> None:
        self._error, self._looking = error, False
        if not self._mailbox.closed:
            self._publish()

    def _publish(self) -> None:
        if self._mailbox.closed:
            return
        if self._board is None:
            status = LiveStatus(None, None, (), False, Decimal(0), Decimal(0), (), self._error, self._looking)
        else:
            status = self._board.status(self._error, self._looking, self._clock())
        try:
            self._on_status(status)
        except Exception:
            logger.exception("whoever watches the live check of %s", self._exercise_id)


def _passes(track: Track) -> bool:
    return track.mark[0] == "PASS"


def _overdue(cluster: Cluster, verdict: Verdict, within_s: float) -> Verdict:
    decided = overdue(verdict, within_s, cluster)
    _raise_if_lab_failed(decided)
    return decided


def _raise_if_lab_failed(verdict: Verdict) -> None:
    if verdict.outcome == "ERROR" and verdict.code in LAB_CODES:
        kind = ClusterUnreachable if verdict.code == UNREACHABLE else LabError
        raise kind(verdict.found, hint=verdict.hint)
