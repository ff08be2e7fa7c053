"""What leaves a grading run: the report as JSON, the same as JUnit XML, and as text for people.

Source of the JUnit shape: the schemas of Apache Ant and of Jenkins, both of which it satisfies. FAIL is a
``failure``; ERROR, PENDING and INCONCLUSIVE are ``error``, because several consumers show ``skipped`` as green.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from meshlab.course.ids import new_ulid, timestamp
from meshlab.grading.engine import ExerciseResult, TaskResult
from meshlab.grading.verdicts import sentences

EXIT_PASS, EXIT_FAIL, EXIT_LAB, EXIT_UNDECIDED = 0, 1, 3, 4

_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_UNDECIDED = ("PENDING", "INCONCLUSIVE")
_UNJUDGED = (*_UNDECIDED, "ERROR")


@dataclass(frozen=True, slots=True)
class ReportContext:
    """Who was judged, in which course, on which cluster."""

    learner: str
    course: str
    lab: dict[str, Any]
    attempt: str = ""
    trust: str = "self"
    assignment: str | None = None


def exit_code(results: Sequence[ExerciseResult]) -> int:
    """The exit code of a checking command: 3 before 1 before 4 before 0."""
    outcomes = {task.verdict.outcome for result in results for task in result.tasks}
    if "ERROR" in outcomes:
        return EXIT_LAB
    if "FAIL" in outcomes:
        return EXIT_FAIL
    return EXIT_UNDECIDED if outcomes & set(_UNDECIDED) else EXIT_PASS


def build_report(results: Sequence[ExerciseResult], context: ReportContext) -> dict[str, Any]:
    """The report; its schema is ``docs/schemas/report.json``.

    ``score.final`` says whether the score may be recorded: with anything unjudged it may not.
    """
    unjudged = sum(
        (task.task.points for result in results for task in result.tasks if task.verdict.outcome in _UNJUDGED),
        start=type(results[0].earned)(0) if results else 0,
    )
    undecided = any(task.verdict.outcome in _UNJUDGED for result in results for task in result.tasks)
    now = timestamp()
    return {
        "v": 1,
        "report": new_ulid(),
        "learner": context.learner,
        "assignment": context.assignment,
        "course": context.course,
        "lab": context.lab,
        "trust": context.trust,
        "submitted_at": now,
        "graded_at": now,
        "exercises": [
            {
                "id": result.exercise.id,
                "version": result.exercise.version,
                "attempt": context.attempt,
                "done": result.done,
                "verdicts": [task.to_json(result.exercise.id) for task in result.tasks],
            }
            for result in results
        ],
        "score": {
            "earned": float(sum(result.earned for result in results)),
            "possible": float(sum(result.exercise.possible for result in results)),
            "unjudged": float(unjudged),
            "late_s": 0,
            "deductions": [],
            "final": not undecided,
        },
        "supersedes": None,
        "signature": None,
    }


def build_junit(results: Sequence[ExerciseResult], context: ReportContext, report_id: str) -> str:
    """The report as JUnit XML: one suite per exercise, one case per task."""
    root = ElementTree.Element("testsuites")
    for index, result in enumerate(results):
        outcomes = [task.verdict.outcome for task in result.tasks]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            id=str(index),
            package="meshlab",
            name=result.exercise.id,
            timestamp=timestamp().partition(".")[0],
            hostname="lab",
            tests=str(len(outcomes)),
            failures=str(outcomes.count("FAIL")),
            errors=str(sum(outcome in _UNJUDGED for outcome in outcomes)),
            time=f"{sum(task.seconds for task in result.tasks):.3f}",
        )
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (
            ("meshlab.report", report_id),
            ("meshlab.course", context.course),
            ("meshlab.learner", context.learner),
            ("meshlab.points", f"{result.earned.normalize():f}/{result.exercise.possible.normalize():f}"),
        ):
            ElementTree.SubElement(properties, "property", name=name, value=value)
        for task in result.tasks:
            _test_case(suite, result.exercise.id, task)
        ElementTree.SubElement(suite, "system-out")
        ElementTree.SubElement(suite, "system-err")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _test_case(suite: ElementTree.Element, exercise_id: str, result: TaskResult) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"meshlab.{exercise_id}",
        name=f"{exercise_id}/{result.task.id}",
        time=f"{result.seconds:.3f}",
    )
    verdict = result.verdict
    if verdict.outcome == "PASS":
        return
    if verdict.outcome == "FAIL":
        failure = ElementTree.SubElement(case, "failure", type=verdict.code, message=_xml_text(verdict.found))
        failure.text = _xml_text("\n".join([f"rung: {verdict.rung}", *_sentences(result)]))
        return
    error = ElementTree.SubElement(case, "error", type=verdict.outcome, message=_xml_text(verdict.found))
    reason = "the lab failed, no points are lost" if verdict.outcome == "ERROR" else "not decided in time"
    error.text = _xml_text("\n".join([f"not judged: {reason}", *_sentences(result)]))


def _sentences(result: TaskResult) -> list[str]:
    return [f"{label}: {text}" for label, text in sentences(result.verdict)]


def _xml_text(text: str) -> str:
    """Without the characters that XML 1.0 cannot carry: pods may print anything."""
    return _NOT_XML.sub("", text)
