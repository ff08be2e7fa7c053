from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshlab.course.exercises import load, read, render_file
from meshlab.course.model import CheckCall, Exercise
from meshlab.errors import CourseError

GOAL = {"id": "split", "text": "Split {{key}}", "points": 10, "check": {"traffic.split": {"by": "{{key}}"}}}
GUARD = {"id": "serves", "guard": True, "text": "Serves", "check": {"http.status": {"want": 200}}}


def content(**changed: Any) -> dict[str, Any]:
    """A good exercise, with keys changed; a value of None takes the key away."""
    base: dict[str, Any] = {
        "schema": "meshlab.exercise/1",
        "id": "canary",
        "version": 1,
        "title": "A canary",
        "lesson": "canary",
        "vars": {"key": {"pick": ["track", "release"]}},
        "tasks": [GUARD, GOAL],
    }
    return {key: value for key, value in (base | changed).items() if value is not None}


def written(tmp_path: Path, **changed: Any) -> Path:
    path = tmp_path / "exercise.yaml"
    path.write_text(yaml.safe_dump(content(**changed), sort_keys=False))
    return path


def loaded(tmp_path: Path, **changed: Any) -> Exercise:
    return load(read(written(tmp_path, **changed)), {"key": "track"})


def problem(tmp_path: Path, **changed: Any) -> str:
    """What is wrong, without file and line."""
    with pytest.raises(CourseError) as caught:
        loaded(tmp_path, **changed)
    place, _, text = caught.value.message.partition(": ")
    path, _, line = place.rpartition(":")
    assert path == str(tmp_path / "exercise.yaml")
    assert int(line) >= 1
    return text


def test_a_small_exercise_has_sensible_defaults(tmp_path: Path) -> None:
    exercise = loaded(tmp_path)
    assert exercise.possible == 10
    assert exercise.namespaces == {"app": "mesh-canary"}
    assert exercise.main_namespace == "mesh-canary"
    assert (exercise.scope, exercise.judge, exercise.mesh, exercise.family) == ("namespace", "state", "istio", "canary")
    assert exercise.task("split") is exercise.tasks[1]
    assert exercise.task("absent") is None
    assert [task.within_s for task in exercise.tasks] == [20, 20]


def test_variables_reach_texts_and_parameters(tmp_path: Path) -> None:
    goal = loaded(tmp_path).tasks[1]
    assert goal.text == "Split track"
    assert goal.checks == (CheckCall("traffic.split", {"by": "track"}),)


def test_everything_else_is_read(tmp_path: Path) -> None:
    for name in ("app.yaml", "good.sh", "bad.yaml"):
        (tmp_path / name).write_text("x: {{key}} in {{ns.app}}\n")
    exercise = loaded(
        tmp_path,
        needs={"mesh": "istio/demo", "memory_mib": 180, "capabilities": ["proxy.http"]},
        namespaces={"app": "default", "other": None},
        clients={"client": {"namespace": "other", "service_account": "sa"}, "near": {"service_account": "sb"}},
        setup=["app.yaml"],
        solutions=["good.sh"],
        wrong=[{"id": "w", "apply": "bad.yaml", "fails": "split", "code": "split.x", "says": ["y"]}],
        starts=[{"http.status": {"want": 200}}, {"http.all_succeed": None}],
        debrief={"always": "Well.", "notes": {"vs.old": "Old."}},
        tasks=[GUARD, GOAL | {"guarded_by": ["serves"], "within": "1.5m", "points": 2.5, "hints": ["a", "b"]}],
    )
    assert exercise.namespaces == {"app": "default", "other": "mesh-canary-other"}
    assert exercise.clients["client"].namespace == "mesh-canary-other"
    assert exercise.clients["near"].namespace == "default"
    assert (exercise.needs.mesh, exercise.needs.memory_mib, exercise.needs.capabilities) == (
        "istio/demo",
        180,
        ("proxy.http",),
    )
    assert exercise.wrong[0].says == ("y",)
    assert [call.name for call in exercise.starts] == ["http.status", "http.all_succeed"]
    assert exercise.starts[1].params == {}
    assert (exercise.tasks[1].within_s, exercise.tasks[1].points) == (90, Decimal("2.5"))
    assert exercise.debrief_notes == {"vs.old": "Old."}
    assert render_file(exercise, "app.yaml") == "x: track in default\n"


def test_other_namespaces_may_stand_for_the_roles(tmp_path: Path) -> None:
    exercise = load(read(written(tmp_path)), {"key": "track"}, {"app": "team-1"})
    assert exercise.main_namespace == "team-1"


def test_a_course_packed_for_learners_lacks_solutions_and_wrong_answers(tmp_path: Path) -> None:
    exercise = loaded(
        tmp_path,
        solutions=["solution/gone.sh"],
        wrong=[
            {"id": "w", "fails": "split", "code": "x.y", "apply": "wrong/gone.yaml"},
            {"id": "said", "fails": "split", "code": "x.y", "answer": {"split": 20}},
        ],
    )
    assert exercise.solutions == ()
    assert [(wrong.id, wrong.answer) for wrong in exercise.wrong] == [("said", {"split": "20"})]


def test_one_missing_file_among_several_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "here.yaml").write_text("")
    wrong = [{"id": name, "fails": "split", "code": "x.y", "apply": f"{name}.yaml"} for name in ("here", "gone")]
    assert problem(tmp_path, wrong=wrong) == f"wrong.1.apply: there is no file gone.yaml in {tmp_path}"


REFUSED = {
    "schema": ({"schema": "meshlab.exercise/2"}, "schema: must be meshlab.exercise/1"),
    "unknown key": ({"titel": "x"}, "titel: unknown key"),
    "no tasks": ({"tasks": None}, 'key "tasks" is missing'),
    "empty tasks": ({"tasks": []}, "tasks: needs at least one task"),
    "id": ({"id": "Canary One"}, "id: must be lower-case words joined by dashes"),
    "version": ({"version": "1"}, "version: must be a number, not a string"),
    "vars": ({"vars": {"key": ["a"]}}, "vars.key: must be a mapping, not a list"),
    "no choice": ({"vars": {"key": {"pick": []}}}, "vars.key.pick: needs at least one choice"),
    "choice": ({"vars": {"key": {"pick": [80]}}}, "vars.key.pick.0: must be a string, not a number"),
    "no role": ({"namespaces": {}}, "namespaces: needs at least one role"),
    "namespace": ({"namespaces": {"app": 5}}, "namespaces.app: must be a string, not a number"),
    "scope": ({"scope": "galaxy"}, "scope: must be one of namespace, mesh, cluster"),
    "judge": ({"judge": "jury"}, "judge: must be one of state, process, answer"),
    "needs": ({"needs": {"ram": 1}}, "needs.ram: unknown key"),
    "needs memory": ({"needs": {"memory_mib": "1"}}, "needs.memory_mib: must be a number, not a string"),
    "debrief": ({"debrief": "Well."}, "debrief: must be a mapping, not a string"),
    "setup": ({"setup": ["gone.yaml"]}, "setup.0: there is no file gone.yaml in {folder}"),
    "role of client": (
        {"clients": {"c": {"namespace": "web", "service_account": "x"}}},
        "clients.c.namespace: web is not a role",
    ),
    "client": ({"clients": {"c": {}}}, 'clients.c: key "service_account" is missing'),
    "task key": ({"tasks": [GOAL | {"hint": "x"}]}, "tasks.0.hint: unknown key"),
    "task without check": ({"tasks": [GOAL | {"check": None}]}, 'tasks.0: key "check" is missing'),
    "two checks in one": (
        {"tasks": [GOAL | {"check": {"a.b": {}, "c.d": {}}}]},
        "tasks.0.check: must be one check with its parameters: {{name: {{...}}}}",
    ),
    "parameters": ({"tasks": [GOAL | {"check": {"a.b": [1]}}]}, "tasks.0.check.a.b: parameters must be a mapping"),
    "no check": ({"tasks": [GOAL | {"check": []}]}, "tasks.0.check: needs at least one check"),
    "guard with points": (
        {"tasks": [GUARD | {"points": 1}]},
        "tasks.0.points: a guard holds at the start and earns nothing",
    ),
    "goal without points": (
        {"tasks": [GOAL | {"points": 0}]},
        "tasks.0: a goal needs points (or guard: true)",
    ),
    "points": ({"tasks": [GOAL | {"points": "ten"}]}, "tasks.0.points: must be a number"),
    "no number": ({"tasks": [GOAL | {"points": float("nan")}]}, "tasks.0.points: must be a number"),
    "within": ({"tasks": [GOAL | {"within": "20"}]}, 'tasks.0.within: must be a duration such as "20s", at most 600s'),
    "task twice": ({"tasks": [GOAL, GOAL]}, "tasks.1.id: split stands here a second time"),
    "points in thirds": (
        {"tasks": [GOAL | {"points": 3.333}]},
        "tasks.0.points: must be at most 1000, with at most two decimal places",
    ),
    "points beyond measure": (
        {"tasks": [GOAL | {"points": "1e99"}]},
        "tasks.0.points: must be at most 1000, with at most two decimal places",
    ),
    "points of truth": ({"tasks": [GOAL | {"points": True}]}, "tasks.0.points: must be a number"),
    "within a day": (
        {"tasks": [GOAL | {"within": "999m"}]},
        'tasks.0.within: must be a duration such as "20s", at most 600s',
    ),
    "no text": ({"tasks": [GOAL | {"text": "  "}]}, "tasks.0.text: must say what is asked for"),
    "task id": ({"tasks": [GOAL | {"id": "Split it"}]}, "tasks.0.id: must be lower-case words joined by dashes"),
    "version 0": ({"version": 0}, "version: must be a number from 1 to 9999"),
    "check name": ({"tasks": [GOAL | {"check": {"split": {}}}]}, "tasks.0.check.split: a check is named family.what"),
    "setup elsewhere": (
        {"setup": ["../app.yaml"]},
        "setup.0: must name a file of this folder, not '../app.yaml'",
    ),
    "setup of a long name": ({"setup": ["x" * 400]}, "setup.0: there is no file " + "x" * 400 + " in {folder}"),
    "name of a namespace": (
        {"namespaces": {"app": "Mesh_App"}},
        "namespaces.app: 'Mesh_App' is no name for a namespace",
    ),
    "role that is no text": ({"namespaces": {5: "x"}}, "namespaces.5: the key must be a string, not a number"),
    "variable": ({"vars": {"my key": {"pick": ["a"]}}}, "vars.my key: a variable is named with letters, digits and _"),
    "note": ({"debrief": {"notes": {"old": "x"}}}, "debrief.notes.old: a note is named as a code: family.what"),
    "note text": ({"debrief": {"notes": {"vs.old": ["x"]}}}, "debrief.notes.vs.old: must be a string, not a list"),
    "answer to nothing": (
        {"wrong": [{"id": "w", "fails": "split", "code": "x.y", "answer": {"splat": 3}}]},
        "wrong.0.answer.splat: splat is not a task",
    ),
    "empty answer": (
        {"wrong": [{"id": "w", "fails": "split", "code": "x.y", "answer": {}}]},
        "wrong.0.answer: needs an answer to at least one task",
    ),
    "code": (
        {"wrong": [{"id": "w", "fails": "split", "code": "bad", "apply": "a"}]},
        "wrong.0.code: must be a verdict's code: family.what",
    ),
    "same wrong answer": (
        {"wrong": [{"id": "w", "fails": "split", "code": "x.y", "answer": {"split": 3}}] * 2},
        "wrong.1.id: w stands here a second time",
    ),
    "guarded by a goal": (
        {"tasks": [GOAL, GOAL | {"id": "two", "guarded_by": ["split"]}]},
        "tasks.1.guarded_by: split is not a guard of this exercise",
    ),
    "wrong answer of nothing": (
        {"wrong": [{"id": "w", "fails": "split", "code": "x.y"}]},
        "wrong.0: needs apply or run, an answer, or one of the two and an answer",
    ),
    "wrong answer twice": (
        {"wrong": [{"id": "w", "fails": "split", "code": "x.y", "apply": "a", "run": "b"}]},
        "wrong.0: needs apply or run, an answer, or one of the two and an answer",
    ),
    "wrong answer fails nothing": (
        {"wrong": [{"id": "w", "fails": "splits", "code": "x.y", "apply": "a"}]},
        "wrong.0.fails: splits is not a task",
    ),
    "wrong answer fails a list": (
        {"wrong": [{"id": "w", "fails": ["split"], "code": "x.y", "apply": "a"}]},
        "wrong.0.fails: must be a string, not a list",
    ),
}


@pytest.mark.parametrize(("changed", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    assert problem(tmp_path, **changed) == said.format(folder=tmp_path)


def test_a_complaint_names_the_line(tmp_path: Path) -> None:
    path = written(tmp_path, tasks=[GUARD, GOAL | {"points": "ten"}])
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "points: ten" in text)
    with pytest.raises(CourseError, match=rf"exercise\.yaml:{line}: tasks\.1\.points"):
        load(read(path), {"key": "track"})


def test_a_placeholder_that_is_no_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"\{\{key\}\} is not a variable"):
        load(read(written(tmp_path)), {})


def test_a_file_of_the_exercise_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"gone\.yaml: No such file"):
        render_file(loaded(tmp_path), "gone.yaml")
