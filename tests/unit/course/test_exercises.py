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


def test_a_course_packed_for_learners_lacks_solutions(tmp_path: Path) -> None:
    assert loaded(tmp_path, solutions=["solution/gone.sh"]).solutions == ()


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
    "within": ({"tasks": [GOAL | {"within": "20"}]}, 'tasks.0.within: must be a duration such as "20s"'),
    "task twice": ({"tasks": [GOAL, GOAL]}, "tasks.1.id: split stands here a second time"),
    "guarded by a goal": (
        {"tasks": [GOAL, GOAL | {"id": "two", "guarded_by": ["split"]}]},
        "tasks.1.guarded_by: split is not a guard of this exercise",
    ),
    "wrong answer of nothing": (
        {"wrong": [{"id": "w", "fails": "split", "code": "x.y"}]},
        "wrong.0: needs exactly one of apply, run and answer",
    ),
    "wrong answer twice": (
        {"wrong": [{"id": "w", "fails": "split", "code": "x.y", "apply": "a", "run": "b"}]},
        "wrong.0: needs exactly one of apply, run and answer",
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
