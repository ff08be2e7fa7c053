"""``meshlab course test``: proves that every exercise's verdicts can be trusted, and that every lesson is true.

For each of two draws of its variables, on a throw-away lab: the setup proves its own precondition; the starter
earns 0 without an ERROR; every solution earns all points; every wrong answer fails that task with that code and
those words; ``reset`` gives the starter again; and taking the exercise away leaves the cluster as it was. Then the
blocks of its lesson run in order, with all the lesson's exercises at their start, and must print what the lesson
says. A lesson without an exercise is run as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from meshlab.cluster.facade import Cluster
from meshlab.course.catalogue import Course
from meshlab.course.exercises import load
from meshlab.course.lessons import load_lesson
from meshlab.course.model import Exercise, Lesson, WrongAnswer
from meshlab.course.variables import values_for_lesson
from meshlab.errors import LabError, MeshlabError
from meshlab.grading import scripts
from meshlab.grading.attempt import AttemptRecord
from meshlab.grading.engine import ExerciseResult, run_exercise
from meshlab.grading.lessontest import run_lesson
from meshlab.grading.lint import SEEDS, variables_for
from meshlab.grading.registry import load_checks
from meshlab.grading.reports import EXIT_FAIL, EXIT_LAB
from meshlab.grading.workbench import Workbench

LESSON_MESH = "istio/demo"
"""What the lab of a lesson without exercises has."""

WRONG_WITHIN_S = 6.0
"""How long a wrong answer may stay PENDING here: it has no right to the whole time that a right one gets."""

OpenLab = Callable[[str], AbstractContextManager[Cluster]]
Say = Callable[[str], None]
Judge = Callable[[str | None], ExerciseResult]
"""Judges all tasks, or one with the guards that protect it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What went wrong in one step of one test."""

    subject: str
    """``exercise canary`` or ``lesson canary``."""
    seed: int
    step: str
    text: str

    def __str__(self) -> str:
        return f"{self.subject} (seed {self.seed}), {self.step}: {self.text}"


class Step(NamedTuple):
    """One thing that is done to an exercise, and what is wrong with the verdicts that it gets."""

    name: str
    prepare: Callable[[], None]
    problems: Callable[[], list[str]]


@dataclass(frozen=True, slots=True)
class Unit:
    """What is tested on one lab: a lesson, and those of its exercises that were asked for."""

    lesson: Lesson
    exercises: tuple[str, ...]
    mesh: str


def run_course_tests(
    course: Course, identifiers: Sequence[str], *, jobs: int, times: int, open_lab: OpenLab, say: Say
) -> int:
    """Test exercises with their lessons, each lesson on a lab of its own; returns the exit code.

    Args:
        course: the course.
        identifiers: exercises; none means the whole course, lessons without exercises as well.
        jobs: how many labs at once.
        times: how often each exercise is tested.
        open_lab: gives a lab with a mesh such as ``istio/demo``.
        say: told of every step.
    """
    units = units_of(course, identifiers)
    findings: list[Finding] = []
    lab_errors: list[LabError] = []
    proved: list[str] = []

    def one(unit: Unit) -> None:
        try:
            with open_lab(unit.mesh) as cluster:
                for exercise in unit.exercises:
                    for seed in [seed for _ in range(times) for seed in _seeds(course, exercise)]:
                        findings.extend(test_exercise(course, exercise, seed, cluster, say))
                    proved.append(f"exercise {exercise}")
                findings.extend(test_lesson(course, unit.lesson, cluster, say))
                proved.append(f"lesson {unit.lesson.id}")
        except LabError as error:
            lab_errors.append(error)

    pool = ThreadPoolExecutor(max_workers=max(1, jobs))
    try:
        list(pool.map(one, units))
    finally:
        # Who interrupts this does not wait for the tests under way: their labs are about to be taken away.
        pool.shutdown(wait=False, cancel_futures=True)
    for finding in findings:
        say(f"✘ {finding}")
    for error in lab_errors:
        say(f"! {error.message}" + (f"\n  -> {error.hint}" if error.hint else ""))
    passed = set(proved) - {finding.subject for finding in findings}
    say(f"{len(passed)} of {sum(1 + len(unit.exercises) for unit in units)} exercises and lessons pass")
    if lab_errors:
        return EXIT_LAB
    return EXIT_FAIL if findings else 0


def units_of(course: Course, identifiers: Sequence[str]) -> list[Unit]:
    """The lessons to test, in their order, each with the exercises asked for and the mesh that these need."""
    wanted = list(identifiers) or list(course.exercise_files)
    units = []
    for lesson in course.lessons.values():
        own = [name for name in lesson.exercises if name in wanted]
        if own or (not identifiers and not lesson.exercises):
            meshes = {course.sample(name).needs.mesh for name in own}
            units += [
                Unit(lesson, tuple(name for name in own if course.sample(name).needs.mesh == mesh), mesh)
                for mesh in sorted(meshes or {LESSON_MESH})
            ]
    return units


def test_exercise(course: Course, identifier: str, seed: int, cluster: Cluster, say: Say) -> list[Finding]:
    """Run the whole sequence once, for one draw."""
    source = course.exercise_file(identifier)
    exercise = load(source, variables_for(source, seed))
    registry = load_checks(course.root / "checks")
    bench = Workbench(cluster, registry)
    started = time.monotonic()
    before = _census(bench, exercise)
    record = bench.start(exercise, learner="course-test", round_=seed + 1)
    findings: list[Finding] = []

    def judged(only: str | None) -> ExerciseResult:
        return run_exercise(cluster, _impatient(exercise) if only else exercise, registry, only=only)

    steps = _steps(exercise, bench, cluster, judged)
    try:
        for number, step in enumerate(steps):
            if number:
                record = bench.reset(exercise, record)
            step.prepare()
            findings += [Finding(f"exercise {identifier}", seed, step.name, text) for text in step.problems()]
    finally:
        bench.remove(exercise, record)
    left = _census(bench, exercise) ^ before
    if left:
        text = f"the cluster differs: {', '.join(sorted(left))}"
        findings.append(Finding(f"exercise {identifier}", seed, "cleanup", text))
    mark = "✘" if findings else "✔"
    say(f"{mark} {identifier} (seed {seed}): {len(steps)} steps in {time.monotonic() - started:.1f} s")
    return findings


def test_lesson(course: Course, lesson: Lesson, cluster: Cluster, say: Say) -> list[Finding]:
    """Run the blocks of a lesson in order, where all its exercises stand at their start."""
    started = time.monotonic()
    sources = [course.exercise_file(name) for name in lesson.exercises]
    exercises = [load(source, variables_for(source, 0)) for source in sources]
    values = values_for_lesson({each.id: (each.variables, each.namespaces) for each in exercises})
    bench = Workbench(cluster, load_checks(course.root / "checks"))
    with ExitStack() as stack:
        for exercise in exercises:
            record: AttemptRecord = bench.start(exercise, learner="course-test", round_=1)
            stack.callback(bench.remove, exercise, record)
        problems = run_lesson(load_lesson(lesson.path, values), cluster)
    say(f"{'✘' if problems else '✔'} lesson {lesson.id} in {time.monotonic() - started:.1f} s")
    return [Finding(f"lesson {lesson.id}", 0, lesson.path.name, problem) for problem in problems]


def _impatient(exercise: Exercise) -> Exercise:
    """The exercise with less time for its tasks."""
    tasks = (replace(task, within_s=min(task.within_s, WRONG_WITHIN_S)) for task in exercise.tasks)
    return replace(exercise, tasks=tuple(tasks))


def _seeds(course: Course, identifier: str) -> range:
    """Two draws, as far as there is anything to be drawn."""
    return range(SEEDS if course.exercise_file(identifier).choices else 1)


def _steps(exercise: Exercise, bench: Workbench, cluster: Cluster, judge: Judge) -> list[Step]:
    """What is done in turn, each from the exercise's start."""

    def solve(script: str) -> None:
        scripts.run(exercise, script, cluster)
        _answer(exercise, exercise.answers, bench)

    def err(wrong: WrongAnswer) -> None:
        if wrong.apply:
            scripts.apply(exercise, wrong.apply, cluster)
        elif wrong.run:
            scripts.run(exercise, wrong.run, cluster)
        _answer(exercise, wrong.answer, bench)

    return [
        Step("starter", lambda: None, lambda: _starter_problems(judge(None))),
        *(
            Step(f"solution {name}", partial(solve, name), lambda: _solution_problems(judge(None)))
            for name in exercise.solutions
        ),
        *(
            Step(f"wrong answer {wrong.id}", partial(err, wrong), partial(_wrong_problems, judge, wrong))
            for wrong in exercise.wrong
        ),
        # After the last reset the starter must be what it was.
        Step("after reset", lambda: None, lambda: _starter_problems(judge(None))),
    ]


def _answer(exercise: Exercise, answers: Mapping[str, str], bench: Workbench) -> None:
    for task, value in answers.items():
        bench.answer(exercise, task, value)


def _starter_problems(result: ExerciseResult) -> list[str]:
    problems = []
    if result.earned != 0:
        problems.append(f"the starter earns {result.earned}")
    for task in result.tasks:
        if task.verdict.outcome == "ERROR":
            problems.append(f"{task.task.id} is ERROR {task.verdict.code}: {task.verdict.found}")
        if task.task.guard and task.verdict.outcome != "PASS":
            problems.append(f"guard {task.task.id} does not hold at the start: {task.verdict.found}")
    return problems


def _solution_problems(result: ExerciseResult) -> list[str]:
    return [
        f"{task.task.id} is {task.verdict.outcome} {task.verdict.code}: {task.verdict.found}; {task.verdict.why}"
        for task in result.tasks
        if task.verdict.outcome != "PASS"
    ]


def _wrong_problems(judge: Judge, wrong: WrongAnswer) -> list[str]:
    task = next(entry for entry in judge(wrong.fails).tasks if entry.task.id == wrong.fails)
    verdict = task.verdict
    if verdict.outcome != "FAIL" or verdict.code != wrong.code:
        return [f"{wrong.fails} should be FAIL {wrong.code}, is {verdict.outcome} {verdict.code}: {verdict.found}"]
    words = " ".join([verdict.found, verdict.why, verdict.hint])
    return [f'the verdict on {wrong.fails} does not say "{word}": {words}' for word in wrong.says if word not in words]


def _census(bench: Workbench, exercise: Exercise) -> set[str]:
    """Every object that the exercise may leave behind, to be compared before and after."""
    try:
        return bench.census(exercise)
    except MeshlabError as error:
        raise LabError(f"the cluster cannot be listed: {error.message}") from error
