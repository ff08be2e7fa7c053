"""Reads ``exercise.yaml`` into an `Exercise`, for one draw of its variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from meshlab.course.model import CheckCall, Client, Exercise, Needs, Task, WrongAnswer
from meshlab.course.variables import render, values_for
from meshlab.course.yamlfile import KeyPath, YamlFile, parse, read_text

SCHEMA = "meshlab.exercise/1"

_KEYS = [
    "schema",
    "id",
    "version",
    "title",
    "lesson",
    "mesh",
    "family",
    "minutes",
    "domains",
    "scope",
    "judge",
    "needs",
    "namespaces",
    "vars",
    "setup",
    "starts",
    "clients",
    "tasks",
    "solutions",
    "wrong",
    "debrief",
]
_REQUIRED = ["schema", "id", "version", "title", "lesson", "tasks"]
_TASK_KEYS = ["id", "guard", "text", "check", "guarded_by", "points", "within", "hints"]
_WRONG_KEYS = ["id", "apply", "run", "answer", "fails", "code", "says"]
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m)")
_DEFAULT_WITHIN = "20s"


@dataclass(frozen=True, slots=True)
class ExerciseFile:
    """An ``exercise.yaml`` that was read but not rendered: its variables and their choices are known, no draw yet."""

    id: str
    version: int
    title: str
    path: Path
    text: str
    choices: Mapping[str, tuple[str, ...]]
    namespaces: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where the exercise's other files lie."""
        return self.path.parent


def read(path: Path) -> ExerciseFile:
    """Read an exercise as far as it is the same for every draw.

    Raises:
        CourseError: the file is malformed.
    """
    text = read_text(path)
    file = parse(text, path)
    top = file.mapping((), _KEYS, _REQUIRED)
    if top["schema"] != SCHEMA:
        raise file.fail(("schema",), f"must be {SCHEMA}")
    identifier = file.get(("id",), str)
    if not _ID.fullmatch(identifier):
        raise file.fail(("id",), "must be lower-case words joined by dashes")
    return ExerciseFile(
        id=identifier,
        version=file.get(("version",), int),
        title=file.get(("title",), str),
        path=path,
        text=text,
        choices=_choices(file),
        namespaces=_namespaces(file, identifier),
    )


def load(source: ExerciseFile, variables: Mapping[str, str], namespaces: Mapping[str, str] | None = None) -> Exercise:
    """The exercise for one draw.

    Args:
        source: what `read` returned.
        variables: a value for each of the exercise's variables.
        namespaces: other names for its roles, as a shared cluster needs them.

    Raises:
        CourseError: the file is malformed; the message names file, line and key.
    """
    roles = dict(source.namespaces) | dict(namespaces or {})
    text = render(source.text, values_for(variables, roles), where=str(source.path))
    file = parse(text, source.path)
    file.mapping((), _KEYS, _REQUIRED)
    tasks = tuple(_task(file, index) for index in range(len(file.get(("tasks",), list))))
    _check_tasks(file, tasks)
    if file.at(("needs",)) is not None:
        file.mapping(("needs",), ["mesh", "memory_mib", "capabilities"])
    if file.at(("debrief",)) is not None:
        file.mapping(("debrief",), ["always", "notes"])
    return Exercise(
        id=source.id,
        version=source.version,
        title=file.get(("title",), str),
        folder=source.folder,
        lesson=file.get(("lesson",), str),
        tasks=tasks,
        mesh=file.get(("mesh",), str, "istio"),
        family=file.get(("family",), str, source.id),
        minutes=file.get(("minutes",), int, 0),
        domains=file.strings(("domains",)),
        scope=_one_of(file, ("scope",), ("namespace", "mesh", "cluster")),
        judge=_one_of(file, ("judge",), ("state", "process", "answer")),
        needs=Needs(
            mesh=file.get(("needs", "mesh"), str, ""),
            memory_mib=file.get(("needs", "memory_mib"), int, 0),
            capabilities=file.strings(("needs", "capabilities")),
        ),
        namespaces=roles,
        variables=dict(variables),
        setup=_files(file, ("setup",)),
        starts=_calls(file, ("starts",)) if file.at(("starts",)) else (),
        clients=_clients(file, roles),
        solutions=_files(file, ("solutions",), may_be_absent=True),
        wrong=tuple(_wrong(file, index, tasks) for index in range(len(file.get(("wrong",), list, [])))),
        debrief=file.get(("debrief", "always"), str, ""),
        debrief_notes=file.get(("debrief", "notes"), dict, {}),
    )


def render_file(exercise: Exercise, name: str) -> str:
    """A file of the exercise's folder, with its placeholders replaced.

    Raises:
        CourseError: it cannot be read, or a placeholder names nothing.
    """
    path = exercise.folder / name
    return render(read_text(path), values_for(exercise.variables, exercise.namespaces), where=str(path))


def _choices(file: YamlFile) -> dict[str, tuple[str, ...]]:
    choices = {}
    for name in file.get(("vars",), dict, {}):
        file.mapping(("vars", name), ["pick"], ["pick"])
        options = file.strings(("vars", name, "pick"))
        if not options:
            raise file.fail(("vars", name, "pick"), "needs at least one choice")
        choices[name] = options
    return choices


def _namespaces(file: YamlFile, identifier: str) -> dict[str, str]:
    given = file.get(("namespaces",), dict, {"app": f"mesh-{identifier}"})
    if not given:
        raise file.fail(("namespaces",), "needs at least one role")
    names = {}
    for role in given:
        default = f"mesh-{identifier}" if len(given) == 1 else f"mesh-{identifier}-{role}"
        names[role] = file.get(("namespaces", role), str, default)
    return names


def _one_of(file: YamlFile, where: KeyPath, allowed: tuple[str, ...]) -> Any:
    value = file.get(where, str, allowed[0])
    if value not in allowed:
        raise file.fail(where, f"must be one of {', '.join(allowed)}")
    return value


def _files(file: YamlFile, where: KeyPath, *, may_be_absent: bool = False) -> tuple[str, ...]:
    """Names of files in the exercise's folder; a course packed for learners lacks solutions and wrong answers."""
    names = file.strings(where)
    folder = file.path.parent
    if may_be_absent and not any((folder / name).exists() for name in names):
        return ()
    for index, name in enumerate(names):
        if not (folder / name).is_file():
            raise file.fail((*where, index), f"there is no file {name} in {folder}")
    return names


def _calls(file: YamlFile, where: KeyPath) -> tuple[CheckCall, ...]:
    """One check or a list of them, each ``{name: {parameters}}``."""
    value = file.get(where, (dict, list))
    places = [where] if isinstance(value, dict) else [(*where, index) for index in range(len(value or []))]
    calls = []
    for place in places:
        entry = file.get(place, dict)
        if not entry or len(entry) != 1:
            raise file.fail(place, "must be one check with its parameters: {name: {...}}")
        name, params = next(iter(entry.items()))
        if params is not None and not isinstance(params, dict):
            raise file.fail((*place, name), "parameters must be a mapping")
        calls.append(CheckCall(name, params or {}))
    if not calls:
        raise file.fail(where, "needs at least one check")
    return tuple(calls)


def _task(file: YamlFile, index: int) -> Task:
    where: KeyPath = ("tasks", index)
    task = file.mapping(where, _TASK_KEYS, ["id", "text", "check"])
    guard = file.get((*where, "guard"), bool, False)
    try:
        points = Decimal(str(task.get("points", 0)))
    except InvalidOperation as error:
        raise file.fail((*where, "points"), "must be a number") from error
    if not points.is_finite():
        raise file.fail((*where, "points"), "must be a number")
    if guard and points:
        raise file.fail((*where, "points"), "a guard holds at the start and earns nothing")
    if not guard and points <= 0:
        raise file.fail(where, "a goal needs points (or guard: true)")
    within = file.get((*where, "within"), str, _DEFAULT_WITHIN)
    duration = _DURATION.fullmatch(within)
    if duration is None:
        raise file.fail((*where, "within"), 'must be a duration such as "20s"')
    return Task(
        id=file.get((*where, "id"), str),
        text=file.get((*where, "text"), str),
        checks=_calls(file, (*where, "check")),
        guard=guard,
        guarded_by=file.strings((*where, "guarded_by")),
        points=points,
        within_s=float(duration[1]) * (60 if duration[2] == "m" else 1),
        hints=file.strings((*where, "hints")),
    )


def _check_tasks(file: YamlFile, tasks: tuple[Task, ...]) -> None:
    if not tasks:
        raise file.fail(("tasks",), "needs at least one task")
    guards = {task.id for task in tasks if task.guard}
    seen: set[str] = set()
    for index, task in enumerate(tasks):
        if task.id in seen:
            raise file.fail(("tasks", index, "id"), f"{task.id} stands here a second time")
        seen.add(task.id)
        for guard in task.guarded_by:
            if guard not in guards:
                raise file.fail(("tasks", index, "guarded_by"), f"{guard} is not a guard of this exercise")


def _clients(file: YamlFile, roles: Mapping[str, str]) -> dict[str, Client]:
    clients = {}
    for name in file.get(("clients",), dict, {}):
        where: KeyPath = ("clients", name)
        file.mapping(where, ["namespace", "service_account"], ["service_account"])
        role = file.get((*where, "namespace"), str, next(iter(roles)))
        if role not in roles:
            raise file.fail((*where, "namespace"), f"{role} is not a role", f"roles: {', '.join(roles)}")
        clients[name] = Client(roles[role], file.get((*where, "service_account"), str))
    return clients


def _wrong(file: YamlFile, index: int, tasks: tuple[Task, ...]) -> WrongAnswer:
    where: KeyPath = ("wrong", index)
    entry = file.mapping(where, _WRONG_KEYS, ["id", "fails", "code"])
    given = [key for key in ("apply", "run", "answer") if key in entry]
    if len(given) != 1:
        raise file.fail(where, "needs exactly one of apply, run and answer")
    fails = file.get((*where, "fails"), str)
    if fails not in {task.id for task in tasks}:
        raise file.fail((*where, "fails"), f"{fails} is not a task")
    return WrongAnswer(
        id=file.get((*where, "id"), str),
        fails=fails,
        code=file.get((*where, "code"), str),
        says=file.strings((*where, "says")),
        apply=file.get((*where, "apply"), str, ""),
        run=file.get((*where, "run"), str, ""),
        answer=file.get((*where, "answer"), dict, {}),
    )
