"""Reads ``exercise.yaml`` into an `Exercise`, for one draw of its variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from meshlab.course.model import CheckCall, Client, Exercise, Needs, Task, WrongAnswer
from meshlab.course.variables import render, values_for
from meshlab.course.yamlfile import DURATION, IDENTIFIER, KeyPath, YamlFile, parse, read_text

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
    "before",
    "setup",
    "starts",
    "teardown",
    "clients",
    "tasks",
    "solutions",
    "answers",
    "wrong",
    "debrief",
]
_REQUIRED = ["schema", "id", "version", "title", "lesson", "tasks"]
_TASK_KEYS = ["id", "guard", "text", "check", "guarded_by", "points", "within", "hints"]
_WRONG_KEYS = ["id", "apply", "run", "answer", "fails", "code", "says"]
_CODE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
_CHECK_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MOST_POINTS = 1000
_LONGEST_WITHIN_S = 600
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
    identifier = file.identifier(("id",))
    return ExerciseFile(
        id=identifier,
        version=file.count(("version",), least=1),
        title=file.line(("title",)),
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
        title=file.line(("title",)),
        folder=source.folder,
        lesson=file.identifier(("lesson",)),
        tasks=tasks,
        mesh=file.get(("mesh",), str, "istio"),
        family=file.get(("family",), str, source.id),
        minutes=file.count(("minutes",)),
        domains=file.strings(("domains",)),
        scope=_one_of(file, ("scope",), ("namespace", "mesh", "cluster")),
        judge=_one_of(file, ("judge",), ("state", "process", "answer")),
        needs=Needs(
            mesh=file.get(("needs", "mesh"), str, ""),
            memory_mib=file.count(("needs", "memory_mib"), most=1_000_000),
            capabilities=file.strings(("needs", "capabilities")),
        ),
        namespaces=roles,
        variables=dict(variables),
        before=_calls(file, ("before",)) if file.at(("before",)) else (),
        setup=_files(file, ("setup",)),
        teardown=_files(file, ("teardown",)),
        starts=_calls(file, ("starts",)) if file.at(("starts",)) else (),
        clients=_clients(file, roles),
        solutions=_files(file, ("solutions",), may_be_absent=True),
        answers=_answers(file, ("answers",), tasks),
        wrong=tuple(wrong for wrong in _wrong(file, tasks) if _is_packed_with(source.folder, wrong)),
        debrief=file.get(("debrief", "always"), str, ""),
        debrief_notes=_notes(file),
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
    for name in file.keys(("vars",)):
        if not _VARIABLE.fullmatch(name):
            raise file.fail(("vars", name), "a variable is named with letters, digits and _")
        file.mapping(("vars", name), ["pick"], ["pick"])
        options = file.strings(("vars", name, "pick"))
        if not options:
            raise file.fail(("vars", name, "pick"), "needs at least one choice")
        choices[name] = options
    return choices


def _namespaces(file: YamlFile, identifier: str) -> dict[str, str]:
    if file.at(("namespaces",)) is None:
        return {"app": f"mesh-{identifier}"}
    given = file.keys(("namespaces",))
    if not given:
        raise file.fail(("namespaces",), "needs at least one role")
    names = {}
    for role in given:
        if not IDENTIFIER.fullmatch(role):
            raise file.fail(("namespaces", role), "a role is named with lower-case words joined by dashes")
        default = f"mesh-{identifier}" if len(given) == 1 else f"mesh-{identifier}-{role}"
        names[role] = file.get(("namespaces", role), str, default)
        if not _NAMESPACE.fullmatch(names[role]):
            raise file.fail(("namespaces", role), f"{names[role]!r} is no name for a namespace")
    return names


def _notes(file: YamlFile) -> dict[str, str]:
    """What to say when a check reports a note, by the note's code."""
    for note in file.keys(("debrief", "notes")):
        if not _CODE.fullmatch(note):
            raise file.fail(("debrief", "notes", note), "a note is named as a code: family.what")
        file.get(("debrief", "notes", note), str)
    return {note: text.strip() for note, text in file.texts(("debrief", "notes")).items()}


def _one_of(file: YamlFile, where: KeyPath, allowed: tuple[str, ...]) -> Any:
    value = file.get(where, str, allowed[0])
    if value not in allowed:
        raise file.fail(where, f"must be one of {', '.join(allowed)}")
    return value


def _files(file: YamlFile, where: KeyPath, *, may_be_absent: bool = False) -> tuple[str, ...]:
    """Names of files in the exercise's folder; a course packed for learners lacks solutions and wrong answers."""
    names = file.strings(where)
    if may_be_absent and not any(_is_there(file.path.parent, name) for name in names):
        return ()
    return tuple(_file(file, (*where, index)) for index in range(len(names)))


def _file(file: YamlFile, where: KeyPath, *, must_be_there: bool = True) -> str:
    """The name of one file, which lies in the exercise's folder and nowhere else."""
    name, folder = file.get(where, str), file.path.parent
    if not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise file.fail(where, f"must name a file of this folder, not {name!r}")
    if must_be_there and not _is_there(folder, name):
        raise file.fail(where, f"there is no file {name} in {folder}")
    return str(name)


def _is_there(folder: Path, name: str) -> bool:
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):
        # Too long a name, or a byte that no file can carry.
        return False


def _calls(file: YamlFile, where: KeyPath) -> tuple[CheckCall, ...]:
    """One check or a list of them, each ``{name: {parameters}}``."""
    value = file.get(where, (dict, list))
    places = [where] if isinstance(value, dict) else [(*where, index) for index in range(len(value or []))]
    calls = []
    for place in places:
        entry = file.get(place, dict)
        if not entry or len(entry) != 1:
            raise file.fail(place, "must be one check with its parameters: {name: {...}}")
        name, params = file.keys(place)[0], next(iter(entry.values()))
        if not _CHECK_NAME.fullmatch(name):
            raise file.fail((*place, name), "a check is named family.what")
        if params is not None and not isinstance(params, dict):
            raise file.fail((*place, name), "parameters must be a mapping")
        file.keys((*place, name))
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
    if not points.is_finite() or isinstance(task.get("points"), bool):
        raise file.fail((*where, "points"), "must be a number")
    if points > _MOST_POINTS or points != round(points, 2):
        raise file.fail((*where, "points"), f"must be at most {_MOST_POINTS}, with at most two decimal places")
    if guard and points:
        raise file.fail((*where, "points"), "a guard holds at the start and earns nothing")
    if not guard and points <= 0:
        raise file.fail(where, "a goal needs points (or guard: true)")
    within = DURATION.fullmatch(file.get((*where, "within"), str, _DEFAULT_WITHIN))
    within_s = float(within[1]) * (60 if within[2] == "m" else 1) if within else 0.0
    if not 0 < within_s <= _LONGEST_WITHIN_S:
        raise file.fail((*where, "within"), f'must be a duration such as "20s", at most {_LONGEST_WITHIN_S}s')
    text = str(file.get((*where, "text"), str)).strip()
    if not text:
        raise file.fail((*where, "text"), "must say what is asked for")
    return Task(
        id=file.identifier((*where, "id")),
        text=text,
        checks=_calls(file, (*where, "check")),
        guard=guard,
        guarded_by=file.strings((*where, "guarded_by")),
        points=points,
        within_s=within_s,
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
    for name in file.keys(("clients",)):
        where: KeyPath = ("clients", name)
        file.mapping(where, ["namespace", "service_account"], ["service_account"])
        role = file.get((*where, "namespace"), str, next(iter(roles)))
        if role not in roles:
            raise file.fail((*where, "namespace"), f"{role} is not a role", f"roles: {', '.join(roles)}")
        clients[name] = Client(roles[role], file.get((*where, "service_account"), str))
    return clients


def _is_packed_with(folder: Path, wrong: WrongAnswer) -> bool:
    name = wrong.apply or wrong.run
    return not name or _is_there(folder, name)


def _wrong(file: YamlFile, tasks: tuple[Task, ...]) -> Iterator[WrongAnswer]:
    """The wrong answers, whether their files are there or the folder was packed without them."""
    count = len(file.get(("wrong",), list, []))
    named = [file.at(("wrong", index, key)) for index in range(count) for key in ("apply", "run")]
    names = [name for name in named if isinstance(name, str)]
    packed = bool(names) and not any(_is_there(file.path.parent, name) for name in names)
    seen: set[str] = set()
    for index in range(count):
        where: KeyPath = ("wrong", index)
        entry = file.mapping(where, _WRONG_KEYS, ["id", "fails", "code"])
        done = [key for key in ("apply", "run") if key in entry]
        if len(done) > 1 or not (done or "answer" in entry):
            raise file.fail(where, "needs apply or run, an answer, or one of the two and an answer")
        ids = [task.id for task in tasks]
        fails = file.get((*where, "fails"), str)
        if fails not in ids:
            raise file.fail((*where, "fails"), f"{fails} is not a task", f"tasks: {', '.join(ids)}")
        answer = _answers(file, (*where, "answer"), tasks)
        if "answer" in entry and not answer:
            raise file.fail((*where, "answer"), "needs an answer to at least one task")
        identifier, code = file.identifier((*where, "id")), file.get((*where, "code"), str)
        if identifier in seen:
            raise file.fail((*where, "id"), f"{identifier} stands here a second time")
        seen.add(identifier)
        if not _CODE.fullmatch(code):
            raise file.fail((*where, "code"), "must be a verdict's code: family.what")
        yield WrongAnswer(
            id=identifier,
            fails=fails,
            code=code,
            says=file.strings((*where, "says")),
            apply=_file(file, (*where, "apply"), must_be_there=not packed) if "apply" in done else "",
            run=_file(file, (*where, "run"), must_be_there=not packed) if "run" in done else "",
            answer=answer,
        )


def _answers(file: YamlFile, where: KeyPath, tasks: tuple[Task, ...]) -> dict[str, str]:
    """Answers by task, as a learner would hand them in."""
    answers = file.texts(where)
    ids = [task.id for task in tasks]
    for task in answers:
        if task not in ids:
            raise file.fail((*where, task), f"{task} is not a task", f"tasks: {', '.join(ids)}")
    return answers
