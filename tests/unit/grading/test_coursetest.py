"""Which labs a course test takes, and how lessons are followed; no cluster is needed to know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

from meshlab.cluster.facade import Cluster
from meshlab.course.catalogue import Course
from meshlab.course.lessons import load_lesson
from meshlab.grading.coursetest import units_of
from meshlab.grading.lessontest import run_lesson

ROOT = Path(__file__).parent.parent.parent.parent


class NoCluster:
    """A cluster that only has a kubeconfig."""

    kubeconfig = Path("/nonexistent")


def test_a_lesson_and_its_exercises_share_a_lab() -> None:
    units = {unit.lesson.id: unit for unit in units_of(Course(ROOT), [])}
    assert units["injection"].exercises == ("inject-namespace", "kube-inject")
    assert (units["install"].exercises, units["install"].mesh) == (("install-demo",), "")
    assert (units["why"].exercises, units["why"].mesh) == ((), "istio/demo")


def test_only_what_was_asked_for_is_tested() -> None:
    (unit,) = units_of(Course(ROOT), ["kube-inject"])
    assert (unit.lesson.id, unit.exercises) == ("injection", ("kube-inject",))


HEAD = "---\nschema: meshlab.lesson/1\nid: x\ntitle: X\nminutes: 1\n---\n## One <!-- step: one -->\n\n"
PREDICT = """
```yaml predict id=guess before=look
ask: What?
choices: {a: one, b: two}
observe: {run: look, match: '(\\d)', is: {b: "2"}}
because: So.
```
"""


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ("```sh run id=a\necho hello\n```\n```text output of=a\nhe...\n```\n", []),
        (
            "```sh run id=a\necho hello\n```\n```text output of=a\nbye\n```\n",
            ["line 12: a should print 'bye', prints 'hello'"],
        ),
        ("```text file=a.txt\nhello\n```\n```sh run id=a\ncat a.txt\n```\n```text output of=a\nhello\n```\n", []),
        ("```sh run id=a\nno-such-program\n```\n", ["line 9: no-such-program: sh: 1: no-such-program: not found"]),
        ("```sh run id=a timeout=0.1s\nsleep 9\n```\n", ["line 9: sleep 9: did not end within 0.1 s"]),
        ("```sh run id=a\nfalse\n```\n", []),
        (PREDICT + "```sh run id=look\necho 2\n```\n", []),
        (
            PREDICT + "```sh run id=look\necho 1\n```\n",
            ["line 16: predict guess: look shows none of {'b': '2'}, prints '1'"],
        ),
        # What has not settled yet is looked at again.
        ("```sh run id=a\necho x >> f; grep -c x f\n```\n```text output of=a\n3\n```\n", []),
    ],
)
def test_a_lesson_is_followed_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, problems: list[str]
) -> None:
    monkeypatch.setattr("meshlab.grading.lessontest.SETTLE_S", 1)
    # A PATH with a directory that nobody may read makes a shell say "Permission denied" of what it does not find.
    monkeypatch.setenv("PATH", os.defpath)
    path = tmp_path / "01-x.md"
    path.write_text(HEAD + body)
    found = run_lesson(load_lesson(path), cast(Cluster, NoCluster()))
    assert found == problems
