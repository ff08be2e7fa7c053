"""The models of a course, as loaded from its files and rendered for one draw of the variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from meshlab.course.blocks import Predict, Quiz
from meshlab.errors import UsageError

Judge = Literal["state", "process", "answer"]
Scope = Literal["namespace", "mesh", "cluster"]


@dataclass(frozen=True, slots=True)
class CheckCall:
    """One check by name with its parameters: ``{traffic.split: {from: client, ...}}``."""

    name: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that the learner is asked for, or (a guard) must not break."""

    id: str
    text: str
    checks: tuple[CheckCall, ...]
    guard: bool = False
    guarded_by: tuple[str, ...] = ()
    points: Decimal = Decimal(0)
    within_s: float = 20.0
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """A plausible mistake, and the verdict that it must get: something done (apply or run), answered, or both."""

    id: str
    fails: str
    code: str
    says: tuple[str, ...] = ()
    apply: str = ""
    run: str = ""
    answer: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Client:
    """Who sends the traffic of a check: a workload of the exercise, under a ServiceAccount."""

    namespace: str
    service_account: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What the cluster must offer."""

    mesh: str = ""
    memory_mib: int = 0
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exercise:
    """One exercise, with its variables drawn and rendered.

    ``namespaces`` maps roles to namespace names; ``folder`` holds the files that ``setup``, ``teardown``, ``solutions``
    and ``wrong`` name, which are still templates: read them through `render_file`. ``before`` must hold before anything
    is created, ``starts`` once it stands. ``teardown`` are scripts that undo what the learner may have done outside the
    exercise's namespaces. ``answers`` are the right ones by task, handed in together with each solution.
    """

    id: str
    version: int
    title: str
    folder: Path
    lesson: str
    tasks: tuple[Task, ...]
    mesh: str = "istio"
    family: str = ""
    minutes: int = 0
    domains: tuple[str, ...] = ()
    scope: Scope = "namespace"
    judge: Judge = "state"
    needs: Needs = field(default_factory=Needs)
    namespaces: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    before: tuple[CheckCall, ...] = ()
    setup: tuple[str, ...] = ()
    starts: tuple[CheckCall, ...] = ()
    teardown: tuple[str, ...] = ()
    clients: Mapping[str, Client] = field(default_factory=dict)
    solutions: tuple[str, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    wrong: tuple[WrongAnswer, ...] = ()
    debrief: str = ""
    debrief_notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def possible(self) -> Decimal:
        """The points of all tasks together."""
        return sum((task.points for task in self.tasks), Decimal(0))

    @property
    def main_namespace(self) -> str:
        """Where the exercise keeps its own record: the first role's namespace."""
        return next(iter(self.namespaces.values()))

    def task(self, task_id: str) -> Task | None:
        """The task with that id."""
        return next((task for task in self.tasks if task.id == task_id), None)


BlockRole = Literal["show", "run", "output", "file", "predict", "quiz", "exercise", "diagram", "instructor"]


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a lesson."""

    role: BlockRole
    language: str
    attributes: Mapping[str, str]
    content: str
    data: Any
    """The parsed YAML of a ``predict`` or ``quiz`` block, which `question` is made of; else None."""
    line: int
    """1-based line in the file."""
    marked: bool = True
    """Whether the fence names its role; one that does not is shown, and may have been forgotten."""
    question: Predict | Quiz | None = None
    """What a ``predict`` or ``quiz`` block asks; else None."""

    @property
    def id(self) -> str:
        """The block's id, empty if it needs none."""
        return self.attributes.get("id", "")


@dataclass(frozen=True, slots=True)
class Step:
    """One level-2 heading of a lesson: its Markdown, and the fenced blocks inside in order."""

    id: str
    title: str
    markdown: str
    blocks: tuple[Block, ...]
    minutes: int = 0
    line: int = 0
    has_id: bool = True
    """Whether the lesson gives the step its id; else it is made of the title, and changes with it."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One lesson."""

    id: str
    title: str
    path: Path
    minutes: int
    objectives: Sequence[str]
    exercises: Sequence[str]
    intro: str
    steps: tuple[Step, ...]
    sources: Sequence[str] = ()
    checked: Mapping[str, Any] = field(default_factory=dict)
    aliases: Sequence[str] = ()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of all steps, in order."""
        return tuple(block for step in self.steps for block in step.blocks)

    def step(self, step_id: str) -> Step:
        """The step with that id.

        Raises:
            UsageError: the lesson has none.
        """
        for step in self.steps:
            if step.id == step_id:
                return step
        known = ", ".join(step.id for step in self.steps)
        raise UsageError(f'lesson {self.id} has no step "{step_id}"', title="Unknown step", hint=f"its steps: {known}")

    def block(self, role: BlockRole, block_id: str) -> Block:
        """The block of a role with that id.

        Raises:
            UsageError: the lesson has none.
        """
        known = [block for block in self.blocks if block.role == role]
        for block in known:
            if block.id == block_id:
                return block
        hint = f"it has: {', '.join(block.id for block in known)}" if known else ""
        raise UsageError(f'lesson {self.id} has no {role} block "{block_id}"', title="Unknown block", hint=hint)
