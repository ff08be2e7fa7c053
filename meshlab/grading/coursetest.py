"""``meshlab course test``: proves of every exercise that its verdicts can be trusted.

For each of two draws of its variables, on a throw-away lab: the setup proves its own precondition; the starter earns 0
without an ERROR; every solution earns all points; every wrong answer fails that task with that code and those words;
``reset`` gives the starter again; and taking the exercise away leaves the cluster as it was. Then the blocks of its
lesson run in order and must print what the lesson says, so that lessons cannot rot either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

from meshlab.cluster.facade import Cluster
from meshlab.course.catalogue import Course
from meshlab.course.exercises import load
from meshlab.course.lessons import load_lesson
from meshlab.course.model import Exercise, WrongAnswer
from meshlab.course.variables import values_for
from meshlab.errors import LabError, MeshlabError
from meshlab.grading import scripts
from meshlab.grading.engine import ExerciseResult, run_exercise
from meshlab.grading.lessontest import run_lesson
from meshlab.grading.lint import SEEDS, variables_for
from meshlab.grading.registry import load_checks
from meshlab.grading.reports import EXIT_FAIL, EXIT_LAB
from meshlab.grading.workbench import AttemptRecord, Workbench

OpenLab = Callable[[str], AbstractContextManager[Cluster]]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What went wrong in one step of one exercise's test."""

    exercise: str
    seed: int
    step: str
    text: str

    def __str__(self) -> str:
        return f"{self.exercise} (seed {self.seed}), {self.step}: {self.text}"


def run_course_tests(
    course: Course, identifiers: Sequence[str], *, jobs: int, times: int, open_lab: OpenLab, say: Say
) -> int:
    """Test exercises, each on a lab of its own; returns the exit code."""

    def one(identifier: str) -> tuple[list[Finding], LabError | None]:
        source = course.exercise_file(identifier)
        needs = load(source, variables_for(source, 0)).needs
        findings: list[Finding] = []
        try:
            with open_lab(needs.mesh) as cluster:
                for _ in range(times):
                    for seed in range(SEEDS):
                        findings += test_exercise(course, identifier, seed, cluster, say)
                findings += test_lesson(course, identifier, cluster, say)
        except LabError as error:
            return findings, error
        return findings, None

    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        outcomes = list(pool.map(one, identifiers))
    findings = [finding for found, _ in outcomes for finding in found]
    lab_errors = [error for _, error in outcomes if error is not None]
    for finding in findings:
        say(f"✘ {finding}")
    for error in lab_errors:
        say(f"! {error.message}" + (f"\n  -> {error.hint}" if error.hint else ""))
    passed = len(identifiers) - len({finding.exercise for finding in findings}) - len(lab_errors)
    say(f"{passed} of {len(identifiers)} exercises pass")
    if lab_errors:
        return EXIT_LAB
    return EXIT_FAIL if findings else 0


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
    steps = 0
    try:
        for step, problems in _steps(
            exercise, record, bench, cluster, lambda: run_exercise(cluster, exercise, registry)
        ):
            steps += 1
            findings += [Finding(identifier, seed, step, problem) for problem in problems]
            bench.reset(exercise, record)
    finally:
        bench.remove(exercise, record)
    left = _census(bench, exercise) ^ before
    if left:
        findings.append(Finding(identifier, seed, "cleanup", f"the cluster differs: {', '.join(sorted(left))}"))
    mark = "✘" if findings else "✔"
    say(f"{mark} {identifier} (seed {seed}): {steps} steps in {time.monotonic() - started:.1f} s")
    return findings


def test_lesson(course: Course, identifier: str, cluster: Cluster, say: Say) -> list[Finding]:
    """Run the blocks of the exercise's lesson in order, where the exercise stands at its start."""
    source = course.exercise_file(identifier)
    exercise = load(source, variables_for(source, 0))
    lesson = load_lesson(course.lesson(exercise.lesson).path, values_for(exercise.variables, exercise.namespaces))
    bench = Workbench(cluster, load_checks(course.root / "checks"))
    record = bench.start(exercise, learner="course-test", round_=1)
    try:
        problems = run_lesson(lesson, cluster)
    finally:
        bench.remove(exercise, record)
    say(f"{'✘' if problems else '✔'} lesson {lesson.id}")
    return [Finding(identifier, 0, f"lesson {lesson.id}", problem) for problem in problems]


def _steps(
    exercise: Exercise, record: AttemptRecord, bench: Workbench, cluster: Cluster, judge: Callable[[], ExerciseResult]
) -> Iterator[tuple[str, list[str]]]:
    yield "starter", _starter_problems(judge())
    for name in exercise.solutions:
        scripts.run(exercise, name, cluster)
        yield f"solution {name}", _solution_problems(judge())
    for wrong in exercise.wrong:
        _give_wrong_answer(exercise, wrong, bench, cluster)
        yield f"wrong answer {wrong.id}", _wrong_problems(judge(), wrong)
    # The sequence above ended with a reset: the starter must be what it was.
    yield "after reset", _starter_problems(judge())


def _give_wrong_answer(exercise: Exercise, wrong: WrongAnswer, bench: Workbench, cluster: Cluster) -> None:
    if wrong.apply:
        scripts.apply(exercise, wrong.apply, cluster)
    elif wrong.run:
        scripts.run(exercise, wrong.run, cluster)
    for task, value in wrong.answer.items():
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


def _wrong_problems(result: ExerciseResult, wrong: WrongAnswer) -> list[str]:
    task = next(entry for entry in result.tasks if entry.task.id == wrong.fails)
    verdict = task.verdict
    if verdict.outcome != "FAIL" or verdict.code != wrong.code:
        return [f"{wrong.fails} should be FAIL {wrong.code}, is {verdict.outcome} {verdict.code}: {verdict.found}"]
    words = " ".join([verdict.found, verdict.why, verdict.hint])
    return [f'the verdict on {wrong.fails} does not say "{word}": {words}' for word in wrong.says if word not in words]


def _census(bench: Workbench, exercise: Exercise) -> set[str]:
    """Every object in the exercise's namespaces, to be compared before and after."""
    try:
        return bench.census(exercise)
    except MeshlabError as error:
        raise LabError(f"the cluster cannot be listed: {error.message}") from error
