"""Working on exercises: set one up, judge it, get help with it, put it back, answer it."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from meshlab.cli.console import adder, confirm, course_of, progress_line_cleared, say, session_of
from meshlab.errors import UsageError

if TYPE_CHECKING:
    from meshlab.cli.console import Commands
    from meshlab.grading.engine import ExerciseResult, TaskResult


def register(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Declare this group's commands."""
    add = adder(commands, common)

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


def run_exercises(arguments: argparse.Namespace) -> int:
    """List the exercises."""
    course = course_of(arguments)
    listed = []
    for identifier in course.exercise_files:
        exercise = course.sample(identifier)
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

    course_of(arguments).exercise_file(arguments.exercise)
    provider = provider_of(arguments)
    provider.ensure(say)
    session = session_of(arguments)
    session.prepare(arguments.exercise, provider, say)
    with progress_line_cleared():
        started = session.start(arguments.exercise)
    exercise = started.exercise
    if started.already:
        say(f"{exercise.id} is under way already; meshlab reset {exercise.id} puts it back to its start")
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
    session = session_of(arguments)
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
    course, provider = course_of(arguments), provider_of(arguments)
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
    hint = session_of(arguments).hint(exercise_id, task or None)
    print(f"{hint.task.id}, hint {hint.tier} of {hint.tiers}: {hint.text}")
    return 0


def run_solve(arguments: argparse.Namespace) -> int:
    """Show the solution and apply it; asks first if nothing was tried yet."""
    session = session_of(arguments)
    if not session.tried(arguments.exercise):
        confirm(arguments, "You have not checked this exercise yet. Show the solution all the same?")
    for file in session.solution(arguments.exercise):
        print(f"# {file.name}\n{file.text.rstrip()}\n")
    if arguments.show:
        return 0
    print(session.apply_solution(arguments.exercise), end="")
    return 0


def run_reset(arguments: argparse.Namespace) -> int:
    """Put an exercise back to its start; asks first, naming what will go."""
    session = session_of(arguments)
    doomed = session.to_be_deleted(arguments.exercise)
    if doomed:
        say("will be deleted: " + ", ".join(doomed))
    confirm(arguments, f"Put {arguments.exercise} back to its start?")
    with progress_line_cleared():
        session.reset(arguments.exercise, remove=arguments.remove)
    print(f"{arguments.exercise} is " + ("taken away" if arguments.remove else "as it was at the start"))
    return 0


def run_answer(arguments: argparse.Namespace) -> int:
    """Hand in an answer."""
    exercise_id, slash, task = arguments.task.partition("/")
    if not slash or not task:
        raise UsageError(f'"{arguments.task}" does not name a task', hint="answer EXERCISE/TASK VALUE|@FILE")
    session_of(arguments).answer(exercise_id, task, arguments.value)
    print(f"answer to {arguments.task} is handed in; meshlab check {exercise_id} judges it")
    return 0


def _seconds(text: str) -> float:
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of seconds') from None
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError("must be a number of seconds, not negative")
    return value


def _print_task(result: TaskResult) -> None:
    from meshlab.grading.verdicts import MARKS, ladder, sentences

    verdict = result.verdict
    print(f"{MARKS[verdict.outcome]} {verdict.outcome:<12} {result.task.id}  [{verdict.code}]")
    rungs = [f"{rung} {MARKS[outcome]}" for rung, outcome in ladder(verdict) if outcome is not None]
    print(f"    ladder  {' > '.join(rungs)}")
    for label, text in sentences(verdict):
        if verdict.outcome != "PASS" or label != "wanted":
            print(f"    {label:<7} {text}")


def _print_score(result: ExerciseResult, report: dict[str, Any]) -> None:
    score = report["score"]
    print(f"\n{score['earned']:g} of {score['possible']:g} points", end="")
    print("" if score["final"] else f" ({score['unjudged']:g} not judged)")
    for text in result.debrief if result.done else ():
        print(f"\n{text}")
