from __future__ import annotations

from pathlib import Path

import pytest

from meshlab.course.lessons import load_lesson
from meshlab.course.model import Lesson
from meshlab.errors import CourseError

FRONT = "---\nschema: meshlab.lesson/1\nid: canary\ntitle: A canary\nminutes: 12\n---\n"

BODY = """Before the steps.

## Two versions <!-- step: two minutes=3 -->

Text.

```sh run id=ask
curl http://myapp/
```

```text output of=ask
v...
```

## What is *left*?

```yaml predict id=p before=ask
ask: What comes?
choices: {a: nothing, b: "503"}
because: So it is.
```

```yaml
kind: Service
```

```yaml file="my vs.yaml"
kind: VirtualService
```

```yaml exercise id=canary
```
"""


def lesson(tmp_path: Path, text: str, values: dict[str, str] | None = None) -> Lesson:
    path = tmp_path / "08-canary.md"
    path.write_text(text)
    return load_lesson(path, values)


def problem(tmp_path: Path, text: str) -> str:
    with pytest.raises(CourseError) as caught:
        lesson(tmp_path, text)
    return caught.value.message.removeprefix(f"{tmp_path}/08-canary.md")


def test_steps_hold_their_blocks_in_order(tmp_path: Path) -> None:
    loaded = lesson(tmp_path, FRONT + BODY)
    assert (loaded.id, loaded.minutes, loaded.intro) == ("canary", 12, "Before the steps.")
    first, second = loaded.steps
    assert (first.id, first.title, first.minutes) == ("two", "Two versions", 3)
    assert (second.id, second.title, second.minutes) == ("what-is-left", "What is *left*?", 0)
    assert [block.role for block in first.blocks] == ["run", "output"]
    assert [block.role for block in second.blocks] == ["predict", "show", "file", "exercise"]
    assert first.blocks[0].attributes == {"id": "ask"}
    assert first.blocks[0].content == "curl http://myapp/\n"
    assert second.blocks[0].data["choices"] == {"a": "nothing", "b": "503"}
    assert second.blocks[2].attributes == {"file": "my vs.yaml"}


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    text = FRONT + BODY
    loaded = lesson(tmp_path, text)
    written = text.splitlines()
    assert written[loaded.steps[1].line - 1].startswith("## What is")
    assert written[loaded.steps[1].blocks[0].line - 1].startswith("```yaml predict")


def test_a_heading_inside_a_fence_is_no_step(tmp_path: Path) -> None:
    loaded = lesson(tmp_path, FRONT + "## One\n```sh\n## not a step\n```\n### also not\n")
    assert [step.id for step in loaded.steps] == ["one"]


def test_placeholders_are_replaced_only_with_values(tmp_path: Path) -> None:
    text = FRONT + "## One\n{{key}}\n"
    assert lesson(tmp_path, text).steps[0].markdown == "{{key}}"
    assert lesson(tmp_path, text, {"key": "track"}).steps[0].markdown == "track"
    with pytest.raises(CourseError, match="is not a variable"):
        lesson(tmp_path, text, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("## One\n", ":1: a lesson begins with front matter between two lines of ---"),
        (FRONT, ":7: a lesson needs at least one step (a level-2 heading)"),
        (FRONT.replace("/1", "/2") + "## One\n", ":2: schema: must be meshlab.lesson/1"),
        (FRONT.replace("title:", "titel:") + "## One\n", ":4: titel: unknown key"),
        (FRONT.replace("minutes: 12", "minutes: x") + "## One\n", ":5: minutes: must be a number, not a string"),
        (FRONT.replace("id: canary\n", "") + "## One\n", ':2: key "id" is missing'),
        (FRONT + "## One\n## One\n", ":8: step one stands here a second time"),
        (FRONT + "## One\n```sh run id='x\n```\n", ":8: the fence's words cannot be read: No closing quotation"),
        (FRONT + "## One\n\n```yaml exercise\n```\n", ":9: exercise: id= is missing"),
        (FRONT + "## One\n```yaml quiz id=q\nasks: x\n```\n", ":9: asks: unknown key"),
        (
            FRONT + "## One\n```yaml quiz id=q\nask: x\nchoices: [a]\n```\n",
            ":10: choices.0: must be a mapping, not a string",
        ),
        (
            FRONT + "## One\n```yaml predict id=q\nask: x\nchoices: [a]\nbecause: x\n```\n",
            ":10: choices: must be a mapping, not a list",
        ),
        (
            FRONT + "## One\n```yaml predict id=q\nask: x\nchoices: {a: b, c: d}\nbecause: x\nobserve: {run: y}\n```\n",
            ':12: observe: key "match" is missing',
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert problem(tmp_path, text) == said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"absent\.md: No such file"):
        load_lesson(tmp_path / "absent.md")
