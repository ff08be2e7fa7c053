from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from meshlab.grading.engine import ExerciseResult, run_exercise
from meshlab.grading.reports import ReportContext, build_junit, build_report, exit_code
from meshlab.grading.verdicts import Verdict, failed
from tests.fakes.grading import (
    ERROR,
    FAIL,
    INCONCLUSIVE,
    NO_CLUSTER,
    PASS,
    PENDING,
    ScriptedCheck,
    exercise,
    registry,
    results,
    task,
)
from tests.support import schemas

CONTEXT = ReportContext("r-1", "default@1#sha256:0", {"cluster": "v1.37.1", "mesh": "istio 1.31.0"}, "a-1")


@pytest.mark.parametrize(("verdicts", "code"), [
    ([], 0),
    ([PASS, PASS], 0),
    ([PASS, PENDING], 4),
    ([PASS, INCONCLUSIVE], 4),
    ([INCONCLUSIVE, FAIL], 1),
    ([FAIL, PASS], 1),
    ([FAIL, ERROR, PENDING], 3),
])  # fmt: skip
def test_exit_codes_have_a_precedence(verdicts: list[Verdict], code: int) -> None:
    separate = [results(one=verdict) for verdict in verdicts]
    assert exit_code(separate) == code
    assert exit_code([results(**{f"t{index}": verdict for index, verdict in enumerate(verdicts)})]) == code


@pytest.mark.parametrize("verdict", [PASS, FAIL, PENDING, INCONCLUSIVE, ERROR])
def test_every_verdict_fits_the_schema(verdict: Verdict) -> None:
    report = build_report([results(one=verdict, two=PASS)], CONTEXT)
    schemas.validate(json.loads(json.dumps(report)), "report")
    assert report["exercises"][0]["verdicts"][0]["verdict"] == verdict.outcome


def test_a_real_run_fits_the_schema() -> None:
    asked = exercise(task("serves", guard=True), task("split", "one+two", guarded_by=("serves",)))
    checks = registry(serves=ScriptedCheck(PASS), one=ScriptedCheck(PASS), two=ScriptedCheck(OSError("x")))
    report = build_report([run_exercise(NO_CLUSTER, asked, checks)], CONTEXT)
    schemas.validate(report, "report")
    assert [entry["code"] for entry in report["exercises"][0]["verdicts"]] == ["a.right", "check.crashed"]


def test_an_empty_report_fits_the_schema() -> None:
    schemas.validate(build_report([], CONTEXT), "report")


def test_the_score_says_whether_it_may_be_recorded() -> None:
    final = build_report([results(one=PASS, two=FAIL)], CONTEXT)["score"]
    assert (final["earned"], final["possible"], final["unjudged"], final["final"]) == (10, 20, 0, True)
    for undecided in (ERROR, PENDING, INCONCLUSIVE):
        score = build_report([results(one=PASS, two=undecided)], CONTEXT)["score"]
        assert (score["earned"], score["possible"], score["unjudged"], score["final"]) == (10, 20, 10, False)


def test_several_exercises_add_up() -> None:
    report = build_report([results(one=PASS), results(one=FAIL, two=PASS)], CONTEXT)
    assert (report["score"]["earned"], report["score"]["possible"]) == (20, 30)
    assert [entry["done"] for entry in report["exercises"]] == [True, False]


def junit(*judged: ExerciseResult) -> ElementTree.Element:
    text = build_junit(judged, CONTEXT, "01REPORT")
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>')
    return ElementTree.fromstring(text)


def test_junit_has_a_suite_per_exercise_and_a_case_per_task() -> None:
    root = junit(results(one=PASS, two=FAIL, three=ERROR, four=PENDING, five=INCONCLUSIVE), results(one=PASS))
    first, second = root
    assert {name: first.get(name) for name in ("id", "name", "package", "tests", "failures", "errors", "time")} == {
        "id": "0", "name": "canary", "package": "meshlab", "tests": "5", "failures": "1", "errors": "3", "time": "2.500",
    }  # fmt: skip
    assert (second.get("id"), second.get("tests"), second.get("failures")) == ("1", "1", "0")
    # Both published schemas prescribe this order of a suite's children.
    assert [child.tag for child in first] == ["properties", *["testcase"] * 5, "system-out", "system-err"]
    cases = first.findall("testcase")
    assert [case.get("name") for case in cases] == [
        f"canary/{name}" for name in ("one", "two", "three", "four", "five")
    ]
    assert {case.get("classname") for case in cases} == {"meshlab.canary"}
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["error"], ["error"], ["error"]]


def test_junit_carries_who_and_how_many_points() -> None:
    properties = {
        entry.get("name"): entry.get("value") for entry in junit(results(one=PASS, two=FAIL)).iter("property")
    }
    assert properties == {
        "meshlab.report": "01REPORT",
        "meshlab.course": "default@1#sha256:0",
        "meshlab.learner": "r-1",
        "meshlab.points": "10/20",
    }


def test_a_failure_carries_the_four_sentences() -> None:
    failure = junit(results(one=FAIL)).find(".//failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("a.wrong", "it is not")
    assert failure.text == "rung: pushed\nfound: it is not\nwanted: it is\nwhy: so it is\ntry: look there"


def test_an_error_says_that_nothing_was_judged() -> None:
    texts = [entry.text or "" for entry in junit(results(one=ERROR, two=PENDING)).iter("error")]
    assert texts[0].startswith("not judged: the lab failed, no points are lost\n")
    assert texts[1].startswith("not judged: not decided in time\n")


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x0b", "\r", "\ud800", "\ufffe", "\uffff"])
def test_what_pods_print_cannot_break_the_xml(character: str) -> None:
    found = f'[{character}] <&> "ä" \U0001f600\tx\n'
    verdict = failed("a.b", "observed", found=found, wanted="", why=found, hint="")
    failure = junit(results(one=verdict)).find(".//failure")
    assert failure is not None
    assert failure.get("message") == found.replace(character, "")
    assert "[] <&>" in (failure.text or "")
