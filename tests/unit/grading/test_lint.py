from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from meshlab.course.catalogue import Course
from meshlab.grading.lint import lint_course

ROOT = Path(__file__).parent.parent.parent.parent

Edit = Callable[[str, str, str], None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The default course, reduced to its canary."""
    for name in ("exercises/canary", "checks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "lessons").mkdir()
    shutil.copy(ROOT / "lessons/08-canary.md", tmp_path / "lessons")
    return tmp_path


@pytest.fixture
def edit(root: Path) -> Edit:
    def replace(file: str, old: str, new: str) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))

    return replace


def findings(root: Path) -> list[str]:
    return [finding.removeprefix(f"{root}/") for finding in lint_course(Course(root))]


EXERCISE = "exercises/canary/exercise.yaml"
LESSON = "lessons/08-canary.md"


def test_the_canary_is_well_formed(root: Path) -> None:
    assert findings(root) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            EXERCISE,
            "ica.traffic.shifting",
            "ica.traffic.shiftin",
            "exercise.yaml:9: domains.1: no domain is called ica.traffic.shiftin (did you mean ica.traffic.shifting?)",
        ),
        (EXERCISE, "[proxy.http]", "[proxy.htp]", "no capability is called proxy.htp (did you mean proxy.http?)"),
        (EXERCISE, "minutes: 15", "minutes: 0", "exercise.yaml:8: minutes: say how many minutes it takes"),
        (
            EXERCISE,
            "solutions: [solution/module.sh, solution/weights-4-and-1.sh]",
            "",
            "without a solution nobody can prove",
        ),
        (EXERCISE, "run: wrong/scale.sh", "apply: wrong/scale.sh", "every wrong answer is a manifest"),
        (EXERCISE, "80 % of the requests", "most of the requests", "does not name 80, which traffic.split judges"),
        (LESSON, "minutes: 12", "minutes: 11", "08-canary.md:5: minutes: the steps take 12, the lesson says 11"),
        (LESSON, "minutes: 12", "minutes: 40", "minutes: the steps take 12 only, the lesson says 40"),
        (LESSON, "minutes: 12", "minutes: 0", "minutes: say how long it takes"),
        (
            LESSON,
            "```yaml exercise id=canary\n```",
            "",
            "08-canary.md:10: exercises: exercise canary has no card".replace("exercises: ", ""),
        ),
        (LESSON, "```text output of=ask\n", "```text\n", "this fence neither runs nor is marked"),
        (LESSON, "```text output of=ask\n", "```\n", "this fence names no language"),
        (LESSON, "run id=labels", "run id=labels in=clint", "in=clint is no client of the lesson's exercises"),
        (LESSON, "before=apply", "before=ask", "predict names ask, which stands before it"),
        (LESSON, "output of=ask\n", "output of=labels\n", "output of=labels names no run block before it"),
        (LESSON, "## Apply it alone <!-- step: alone minutes=2 -->", "", "step route takes about 5"),
        (EXERCISE, "lesson: canary", "lesson: canery", "lesson canery does not exist"),
        (LESSON, "exercises: [canary]", "exercises: []", "lesson canary does not name exercise canary"),
        (LESSON, "exercises: [canary]", "exercises: [canary, kenari]", "exercise kenari does not exist"),
        (EXERCISE, "traffic.split:", "traffic.splitt:", "no check is called traffic.splitt"),
        (EXERCISE, ", zone: 5", ", zon: 5", "check traffic.split has no parameter zon"),
        (EXERCISE, ", weights: {v1: 80, v2: 20}", "", "check traffic.split lacks the parameter weights"),
        (EXERCISE, "clients: {client:", "clients: {clint:", "sends from client, which is not under clients"),
        (EXERCISE, "to http://myapp/ reach", "reach", "does not name http://myapp/, which traffic.split judges"),
        (EXERCISE, "  - Which resource defines", "  # Which", "task split has 2 hints; three tiers are wanted"),
        (
            EXERCISE,
            "  - A route can only",
            "  - kubectl apply -n {{ns.app}} -f destinationrule.yaml #",
            "shares a line",
        ),
        (EXERCISE, "{{key}}=v1", "{{kei}}=v1", "{{kei}} is not a variable (known are: key, ns.app)"),
        (EXERCISE, "code: split.no-cluster", "cod: split.no-cluster", 'unknown key (did you mean "code"?)'),
        ("exercises/canary/wrong/vs-only.yaml", "{{ns.app}}", "{{ns.web}}", "vs-only.yaml:7: {{ns.web}} is not"),
        ("exercises/canary/setup/app.yaml", "{{key}}", "{{ky}}", "{{ky}} is not a variable"),
        (LESSON, "```sh run id=labels", "```sh run", "run: id= is missing"),
        (LESSON, "output of=ask\n", "output of=aks\n", "output of=aks names no run block"),
        (LESSON, "before=apply", "before=aply", "predict names aply, which is no run block"),
        (LESSON, "run: ask-code,", "run: ask-cod,", "predict names ask-cod, which is no run block"),
        (LESSON, "right: true, ", "", "no choice of this quiz is right"),
        (LESSON, "1 %, why", "1 %, right: true, why", "2 choices of this quiz are right; that is kind=many"),
        (LESSON, ', why: "They are not per cent; only their ratio counts."', "", 'choice "1 %" has no why'),
        (LESSON, "kind=one", "kind=any", "kind: must be one of one, many, number, order, not 'any'"),
        (LESSON, "kind=one", "kind=number", "choices: unknown key (known keys: answer"),
        (LESSON, "exercise id=canary", "exercise id=kanary", "kanary is not among the lesson's exercises"),
        (LESSON, " <!-- step: numbers minutes=2 -->", "", "step what-the-numbers-say has no id of its own"),
        (LESSON, "title: A canary", "title: {{name}} canary", "not YAML"),
        (LESSON, "A new version", "{{naem}} new version", "{{naem}} is not a variable"),
        (LESSON, "A new version", "\n" * 30 + "A new version", "a lesson has at most 150"),
    ],
)
def test_what_a_learner_would_stumble_over(root: Path, edit: Edit, file: str, old: str, new: str, said: str) -> None:
    edit(file, old, new)
    assert [finding for finding in findings(root) if said in finding], findings(root)


def test_two_wrong_answers_are_wanted(root: Path) -> None:
    path = root / EXERCISE
    text = path.read_text()
    start, end = text.index("wrong:\n"), text.index("debrief:")
    path.write_text(text[:start] + text[end:])
    assert findings(root) == [f"{EXERCISE}:1: wrong: at least two wrong answers are wanted"]


def test_a_broken_check_module_is_a_finding(root: Path) -> None:
    (root / "checks/broken.py").write_text("import absent_module\n")
    assert findings(root) == ["checks/broken.py: ModuleNotFoundError: No module named 'absent_module'"]


def test_both_seeds_are_examined(root: Path, edit: Edit) -> None:
    # The text quotes the first choice, so only the second draw shows that the judged label is not named.
    edit(EXERCISE, "({{key}}=v1) and 20 % reach v2 ({{key}}=v2)", "(release=v1) and 20 % reach v2 (release=v2)")
    (finding,) = findings(root)
    assert re.fullmatch(
        rf"{EXERCISE}:\d+: tasks.1.text: the text of task split does not name track, which traffic.split judges",
        finding,
    )


def test_a_name_that_two_exercises_draw_has_to_say_whose_it_is(root: Path, edit: Edit) -> None:
    shutil.copytree(root / "exercises/canary", root / "exercises/second")
    edit("exercises/second/exercise.yaml", "id: canary", "id: second")
    edit("exercises/second/exercise.yaml", "release, track, edition, build", "build, edition")
    edit(LESSON, "exercises: [canary]", "exercises: [canary, second]")
    edit(
        LESSON,
        "```yaml exercise id=canary\n```",
        "```yaml exercise id=canary\n```\n\n```yaml exercise id=second\n```\n\n{{key}} {{canary.key}} {{ns.app}}",
    )
    (finding,) = findings(root)
    assert finding.endswith("{{key}} is in 2 exercises: write {{EXERCISE.key}}")


def test_a_course_packed_for_learners_is_well_formed(root: Path) -> None:
    for folder in ("solution", "wrong"):
        shutil.rmtree(root / "exercises/canary" / folder)
    assert findings(root) == []


def test_findings_come_in_the_order_of_the_lines(root: Path, edit: Edit) -> None:
    for name in ("numbers", "alone", "subset"):
        text = (root / LESSON).read_text()
        mark = re.search(rf" <!-- step: {name} minutes=\d -->", text)
        assert mark is not None
        edit(LESSON, mark[0], "")
    lines = [int(finding.split(":")[1]) for finding in findings(root)]
    assert len(lines) == 3
    assert lines == sorted(lines)
