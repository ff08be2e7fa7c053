from __future__ import annotations

from collections import Counter

import pytest

from meshlab.course.variables import draw, render, values_for
from meshlab.errors import CourseError

CHOICES = {"key": ("release", "track", "edition", "build"), "code": ("503", "504")}


def drawn(**changed: object) -> dict[str, str]:
    who: dict[str, object] = {"key": b"k" * 32, "learner": "r-1", "exercise": "canary", "version": 1, "round_": 1}
    return draw(CHOICES, **(who | changed))  # type: ignore[arg-type]


def test_a_draw_is_the_same_every_time_and_on_every_machine() -> None:
    # Known answers: a change of the formula would give a learner another exercise in the middle of an attempt.
    assert [drawn(learner=f"r-{number}")["key"] for number in range(1, 6)] == [
        "edition",
        "track",
        "build",
        "edition",
        "track",
    ]


@pytest.mark.parametrize("changed", [{"learner": "r"}, {"exercise": "e"}, {"version": 2}, {"round_": 2}, {"key": b""}])
def test_everything_that_is_stirred_in_matters(changed: dict[str, object]) -> None:
    many = {f"v{number}": tuple("abcdefgh") for number in range(20)}
    who: dict[str, object] = {"key": b"k", "learner": "r-1", "exercise": "canary", "version": 1, "round_": 1}
    assert draw(many, **who) != draw(many, **(who | changed))  # type: ignore[arg-type]


def test_every_choice_is_drawn_about_equally_often() -> None:
    counts = Counter(drawn(learner=f"r-{number}")["key"] for number in range(4000))
    assert set(counts) == set(CHOICES["key"])
    assert all(850 < count < 1150 for count in counts.values())


def test_variables_and_namespaces_are_replaced() -> None:
    values = values_for({"key": "track"}, {"app": "mesh-canary"})
    assert render("{{key}} {{ key }} {{ns.app}}", values, where="f") == "track track mesh-canary"


def test_four_braces_are_two() -> None:
    assert render("{{{{key}} {{key}}", {"key": "x"}, where="f") == "{{key}} x"


def test_a_value_is_not_rendered_again() -> None:
    assert render("{{a}}", {"a": "{{b}}", "b": "x"}, where="f") == "{{b}}"


def test_a_typo_names_the_line_and_what_is_known() -> None:
    with pytest.raises(CourseError) as caught:
        render("one\ntwo {{kex}}\n", {"key": "x", "ns.app": "y"}, where="setup/app.yaml")
    assert caught.value.message == "setup/app.yaml:2: {{kex}} is not a variable"
    assert caught.value.hint == "known are: key, ns.app"


def test_other_braces_stay() -> None:
    assert render("{a} {{1}} '{{ not a name }}'", {}, where="f") == "{a} {{1}} '{{ not a name }}'"
