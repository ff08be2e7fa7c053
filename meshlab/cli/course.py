"""The course on the command line: reading it, working on its exercises, and (for authors) linting and testing it."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from meshlab.errors import UsageError

if TYPE_CHECKING:
    from meshlab.course.catalogue import Course
    from meshlab.grading.engine import ExerciseResult, TaskResult
    from meshlab.grading.session import Session

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_MARKS = {"PASS": "✔", "FAIL": "✘", "PENDING": "…", "INCONCLUSIVE": "?", "ERROR": "!"}
_LADDER = ("declared", "accepted", "pushed", "observed")


def register(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Declare this group's commands."""

    def add(name: str, text: str, run: Any, *, output: tuple[str, ...] = ()) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, parents=[common], help=text, description=text)
        if output:
            parser.add_argument("-o", "--output", choices=output, default=output[0])
        parser.set_defaults(run=run)
        return parser

    add("lessons", "list the lessons", run_lessons, output=("text", "json"))
    lesson = add("lesson", "read a lesson", run_lesson, output=("text", "json"))
    lesson.add_argument("lesson", metavar="LESSON")
    add("exercises", "list the exercises", run_exercises, output=("text", "json"))

    start = add("start", "set an exercise up on the cluster", run_start)
    start.add_argument("exercise", metavar="EXERCISE")

    check = add("check", "judge an exercise by what the mesh really does", run_check, output=("text", "json", "junit"))
    check.add_argument("exercise", metavar="EXERCISE[/TASK]")
    looks = check.add_mutually_exclusive_group()
    looks.add_argument("--wait", type=_seconds, metavar="SECONDS", help="look again until all passes or time is over")
    looks.add_argument("--watch", action="store_true", help="print each change of a verdict, until all passes")

    hint = add("hint", "the next hint", run_hint)
    hint.add_argument("exercise", metavar="EXERCISE[/TASK]")

    solve = add("solve", "show the solution and apply it", run_solve)
    solve.add_argument("exercise", metavar="EXERCISE")
    solve.add_argument("--show", action="store_true", help="show it only")
    solve.add_argument("-y", "--yes", action="store_true", help="do not ask")

    reset = add("reset", "put an exercise back to its start", run_reset)
    reset.add_argument("exercise", metavar="EXERCISE")
    reset.add_argument("--remove", action="store_true", help="take it away: the cluster is as it was before start")
    reset.add_argument("-y", "--yes", action="store_true", help="do not ask")

    answer = add("answer", "hand in an answer", run_answer)
    answer.add_argument("task", metavar="EXERCISE/TASK")
    answer.add_argument("value", metavar="VALUE|@FILE")

    add("progress", "what was done so far", run_progress, output=("text", "json"))

    course = commands.add_parser("course", parents=[common], help="for authors: lint and test a course")
    verbs = course.add_subparsers(metavar="VERB", required=True)
    lint = verbs.add_parser("lint", parents=[common], help="examine the course's files")
    lint.set_defaults(run=run_lint)
    test = verbs.add_parser("test", parents=[common], help="prove every exercise on a throw-away lab")
    test.add_argument("exercises", nargs="*", metavar="EXERCISE")
    test.add_argument("--jobs", type=int, default=1, metavar="N", help="how many labs at once")
    test.add_argument("--times", type=int, default=1, metavar="N", help="repeat, to find flakes")
    test.set_defaults(run=run_test)


def run_lessons(arguments: argparse.Namespace) -> int:
    """List the lessons."""
    course = _course(arguments)
    if arguments.output == "json":
        lessons = [
            {
                "id": lesson.id,
                "title": lesson.title,
                "minutes": lesson.minutes,
                "objectives": list(lesson.objectives),
                "exercises": list(lesson.exercises),
                "steps": [{"id": step.id, "title": step.title, "minutes": step.minutes} for step in lesson.steps],
            }
            for lesson in course.lessons.values()
        ]
        print(json.dumps({"lessons": lessons}, indent=2))
        return 0
    for lesson in course.lessons.values():
        print(f"{lesson.id:<20} {lesson.minutes:>3} min  {lesson.title}")
    return 0


def run_lesson(arguments: argparse.Namespace) -> int:
    """Print a lesson as its source says it; the screen of the TUI is another way to read it."""
    from meshlab.cli import render

    lesson = _course(arguments).lesson(arguments.lesson)
    if arguments.output == "json":
        print(json.dumps(render.lesson_json(lesson), indent=2))
    else:
        render.lesson_text(lesson)
    return 0


def run_exercises(arguments: argparse.Namespace) -> int:
    """List the exercises."""
    from meshlab.course.exercises import load

    course = _course(arguments)
    listed = []
    for source in course.exercise_files.values():
        exercise = load(source, {name: choices[0] for name, choices in source.choices.items()})
        listed.append(
            {
                "id": exercise.id,
                "title": exercise.title,
                "version": exercise.version,
                "lesson": exercise.lesson,
                "mesh": exercise.mesh,
                "minutes": exercise.minutes,
                "points": float(exercise.possible),
                "scope": exercise.scope,
                "judge": exercise.judge,
                "domains": list(exercise.domains),
                "tasks": [{"id": task.id, "guard": task.guard} for task in exercise.tasks],
            }
        )
    if arguments.output == "json":
        print(json.dumps({"exercises": listed}, indent=2))
        return 0
    for entry in listed:
        print(f"{entry['id']:<20} {entry['minutes']:>3} min  {entry['points']:>3g} points  {entry['title']}")
    return 0


def run_start(arguments: argparse.Namespace) -> int:
    """Set an exercise up, starting the lab and installing the mesh if it is the embedded one."""
    from meshlab.cli.lab import provider_of

    _course(arguments).exercise_file(arguments.exercise)
    provider = provider_of(arguments)
    provider.ensure(_say)
    session = _session(arguments)
    session.prepare(arguments.exercise, provider, _say)
    with _progress_line_cleared():
        started = session.start(arguments.exercise)
    exercise = started.exercise
    if started.already:
        _say(f"{exercise.id} is under way already; meshlab reset {exercise.id} puts it back to its start")
    print(f"{exercise.title}  ({exercise.minutes} min, {exercise.possible.normalize():f} points)")
    for task in exercise.tasks:
        kind = "must stay true" if task.guard else f"{task.points.normalize():f} points"
        print(f"  {task.id}: {task.text.strip()}  [{kind}]")
    print(f"\nRead:  meshlab lesson {exercise.lesson}\nCheck: meshlab check {exercise.id}")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Judge an exercise; see the contract for exit codes."""
    from meshlab.grading import reports

    exercise_id, _, task = arguments.exercise.partition("/")
    if arguments.watch:
        return _watch(arguments, exercise_id, task)
    session = _session(arguments)
    text = arguments.output == "text"
    result, record = session.check(
        exercise_id,
        task=task or None,
        wait_s=arguments.wait,
        on_result=_print_task if text else lambda result: None,
    )
    context = session.report_context(record)
    report = reports.build_report([result], context)
    if arguments.output == "json":
        print(json.dumps(report, indent=2))
    elif arguments.output == "junit":
        print(reports.build_junit([result], context, report["report"]), end="")
    else:
        _print_score(result, report)
    return reports.exit_code([result])


def _watch(arguments: argparse.Namespace, exercise_id: str, task: str) -> int:
    from meshlab.cli import watch
    from meshlab.cli.lab import provider_of
    from meshlab.grading.session import open_session

    if arguments.output == "junit":
        raise UsageError("a JUnit report is made at the end", hint="--watch goes with -o text or -o json")
    course, provider = _course(arguments), provider_of(arguments)
    course.exercise_file(exercise_id)
    as_json = arguments.output == "json"
    status = watch.watch(
        lambda: open_session(course, provider),
        exercise_id,
        task,
        as_json=as_json,
        say=lambda line: print(line, flush=True),
    )
    if not as_json:
        print(f"\n{status.earned:g} of {status.possible:g} points")
        for text in status.debrief:
            print(f"\n{text}")
    return 0


def run_hint(arguments: argparse.Namespace) -> int:
    """Print the next hint."""
    exercise_id, _, task = arguments.exercise.partition("/")
    hint = _session(arguments).hint(exercise_id, task or None)
    print(f"{hint.task.id}, hint {hint.tier} of {hint.tiers}: {hint.text}")
    return 0


def run_solve(arguments: argparse.Namespace) -> int:
    """Show the solution and apply it; asks first if nothing was tried yet."""
    session = _session(arguments)
    if not session.tried(arguments.exercise):
        _confirm(arguments, "You have not checked this exercise yet. Show the solution all the same?")
    for file in session.solution(arguments.exercise):
        print(f"# {file.name}\n{file.text.rstrip()}\n")
    if arguments.show:
        return 0
    print(session.apply_solution(arguments.exercise), end="")
    return 0


def run_reset(arguments: argparse.Namespace) -> int:
    """Put an exercise back to its start; asks first, naming what will go."""
    session = _session(arguments)
    doomed = session.to_be_deleted(arguments.exercise)
    if doomed:
        _say("will be deleted: " + ", ".join(doomed))
    _confirm(arguments, f"Put {arguments.exercise} back to its start?")
    with _progress_line_cleared():
        session.reset(arguments.exercise, remove=arguments.remove)
    print(f"{arguments.exercise} is " + ("taken away" if arguments.remove else "as it was at the start"))
    return 0


def run_answer(arguments: argparse.Namespace) -> int:
    """Hand in an answer."""
    exercise_id, slash, task = arguments.task.partition("/")
    if not slash or not task:
        raise UsageError(f'"{arguments.task}" does not name a task', hint="answer EXERCISE/TASK VALUE|@FILE")
    _session(arguments).answer(exercise_id, task, arguments.value)
    print(f"answer to {arguments.task} is handed in; meshlab check {exercise_id} judges it")
    return 0


def run_progress(arguments: argparse.Namespace) -> int:
    """Print what was done so far."""
    from meshlab.course.progress import Progress

    progress = Progress()
    summary = progress.summary()
    broken = progress.verify()
    progress.close()
    if arguments.output == "json":
        print(json.dumps({"learner": progress.learner, "intact": broken is None, "exercises": summary}, indent=2))
        return 0
    if broken is not None:
        _say(f"the record was changed by hand: event {broken} does not continue the ones before it")
    if not summary:
        print("nothing was started yet; meshlab exercises lists what there is")
    for entry in summary:
        state = "done" if entry["done"] else "started"
        if entry["changed_since"]:
            state = "done, and since changed"
        print(f"{entry['exercise']:<20} {state:<24} {entry['checks']} checks, {entry['hints']} hints")
    return 0


def run_lint(arguments: argparse.Namespace) -> int:
    """Examine the course's files; exit code 1 if something is wrong."""
    from meshlab.grading.lint import lint_course

    findings = lint_course(_course(arguments))
    for finding in findings:
        print(finding)
    if not findings:
        print("the course is well-formed")
    return 1 if findings else 0


def run_test(arguments: argparse.Namespace) -> int:
    """Prove exercises on throw-away labs; exit code 1 if one fails, 3 if a lab does."""
    from meshlab.cluster.providers.throwaway import throwaway_lab
    from meshlab.grading.coursetest import run_course_tests

    course = _course(arguments)
    for exercise_id in arguments.exercises:
        course.exercise_file(exercise_id)
    return run_course_tests(
        course,
        arguments.exercises or list(course.exercise_files),
        jobs=arguments.jobs,
        times=arguments.times,
        open_lab=throwaway_lab,
        say=print,
    )


def _course(arguments: argparse.Namespace) -> Course:
    from meshlab.course.catalogue import find_course

    return find_course(arguments.course)


def _session(arguments: argparse.Namespace) -> Session:
    from meshlab.cli.lab import provider_of
    from meshlab.grading.session import open_session

    course = _course(arguments)
    exercise = getattr(arguments, "exercise", "").partition("/")[0]
    if exercise:
        # A mistyped id must not cost a connection first.
        course.exercise_file(exercise)
    return open_session(course, provider_of(arguments), _progress_line)


def _seconds(text: str) -> float:
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of seconds') from None
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError("must be a number of seconds, not negative")
    return value


def _confirm(arguments: argparse.Namespace, question: str) -> None:
    """Ask a person; a script (no terminal) has said what it wants already."""
    if arguments.yes or not sys.stdin.isatty():
        return
    print(f"{question} (y/N) ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was changed", title="Not confirmed", hint="--yes does not ask")


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _progress_line(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[2K  {text}", end="\r", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _progress_line_cleared() -> Iterator[None]:
    """Leave no rest of a progress line under what is printed next, be it a result or an error."""
    try:
        yield
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def _print_task(result: TaskResult) -> None:
    verdict = result.verdict
    print(f"{_MARKS[verdict.outcome]} {verdict.outcome:<12} {result.task.id}  [{verdict.code}]")
    reached = _LADDER.index(verdict.rung)
    passed = verdict.outcome == "PASS"
    rungs = [
        f"{name} {'✔' if index < reached or (passed and index == reached) else _MARKS[verdict.outcome]}"
        for index, name in enumerate(_LADDER[: reached + 1])
    ]
    print(f"    ladder  {' > '.join(rungs)}")
    pairs = (("found", verdict.found), ("wanted", verdict.wanted), ("why", verdict.why), ("try", verdict.hint))
    for name, text in pairs:
        if text and not (passed and name == "wanted"):
            print(f"    {name:<7} {text}")


def _print_score(result: ExerciseResult, report: dict[str, Any]) -> None:
    score = report["score"]
    print(f"\n{score['earned']:g} of {score['possible']:g} points", end="")
    print("" if score["final"] else f" ({score['unjudged']:g} not judged)")
    for text in result.debrief if result.done else ():
        print(f"\n{text}")
