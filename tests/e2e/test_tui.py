"""The screen as a person meets it: in a real terminal, with a real lab behind it, by keys and by nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from meshlab.cluster.labstatus import descendants
from tests.support.lab import Lab, eventually
from tests.support.person import Person
from tests.support.split import SPLIT

AtScreen = Callable[..., Person]

WEIGHT = """kubectl patch virtualservice myapp --type=json -p '[{"op":"replace","path":"PATH","value":%d}]'""".replace(
    "PATH", "/spec/http/0/route/0/weight"
)
"""Beside the 20 of v2, 80 is right, and 50 are 71.4 per cent."""
LOG_LINE = 'level=info msg=\\"a line of common length\\" path=/productpage code=200'
FLOOD = f"sh -c 'while :; do yes \"{LOG_LINE}\" | head -n 250; sleep 0.05; done'"
"""5,000 lines a second; in a shell of its own, because bash goes on if it is interrupted between two commands."""


@pytest.fixture
def canary(mesh: Lab) -> Lab:
    """A lab on which the canary is started, and done."""
    mesh.meshlab("start", "canary")
    mesh.meshlab("solve", "canary")
    return mesh


def test_a_person_does_the_canary_and_leaves(make_lab: Callable[[], Lab], at_screen: AtScreen) -> None:
    lab = make_lab()
    person = at_screen(lab, (100, 30))
    person.sees("Why a mesh", "Once a program called a function.")
    person.press("ctrl+p")
    person.sees("Search for commands")
    person.types("exercise: send a fifth")
    person.sees("press s to start it")
    key = person.finds(r"\((\w+)=v1\)", pane="Tasks")[1]
    person.press("s")
    person.sees("✘ split", "✔ serves")
    enter_the_shell(person)
    person.types(SPLIT.replace("KEY", key))
    person.sees("✔ Done", "10 of 10 points")

    screen = person.terminal.pid
    # The lab that it brought up is its child, too, and the only one that may stay.
    family = set(descendants(screen)) - set(descendants(lab.status()["pid"]))
    assert len(family) > 1, "the shell is a child of the screen"
    leave(person)
    eventually(lambda: not [pid for pid in family if is_alive(pid)], what="nothing of the screen is left")
    assert lab.status()["state"] == "Running"

    again = at_screen(lab, (100, 30))
    again.sees("✔ done: g goes on", "10 of 10 points", "10/60 points")


@pytest.mark.full
def test_a_lab_that_dies_is_brought_back_by_a_key(canary: Lab, at_screen: AtScreen) -> None:
    person = at_screen(canary, (160, 48), "pty")
    person.sees("10 of 10 points")
    os.kill(canary.status()["pid"], signal.SIGKILL)
    person.sees("no answer: u brings it up")
    person.press("u")
    person.sees("istio 1.31")
    enter_the_shell(person)
    person.types(WEIGHT % 50)
    person.sees("✘ split", "71.4")
    person.types(WEIGHT % 80)
    person.sees("✔ split")


@pytest.mark.full
def test_two_screens_follow_one_lab(canary: Lab, at_screen: AtScreen) -> None:
    first, second = at_screen(canary, (160, 48), "pty"), at_screen(canary, (200, 50), "pty")
    for person in (first, second):
        person.sees("10 of 10 points")
    enter_the_shell(first)
    first.types(WEIGHT % 50)
    for person in (first, second):
        person.sees("✘ split", "71.4")
    enter_the_shell(second)
    second.types(WEIGHT % 80)
    for person in (first, second):
        person.sees("✔ split")
    leave(first)
    second.types("echo still$((40 + 2))here")
    second.sees("still42here")


@pytest.mark.full
def test_verdicts_follow_through_a_flood_of_lines(canary: Lab, at_screen: AtScreen) -> None:
    person = at_screen(canary, (160, 48), "pty")
    person.sees("10 of 10 points")
    enter_the_shell(person)
    person.types(FLOOD)
    person.sees("level=info")
    canary.run("sh", "-c", WEIGHT % 50)
    person.sees("✘ split", "71.4", "level=info")
    canary.run("sh", "-c", WEIGHT % 80)
    person.sees("✔ split", "level=info")
    person.press("ctrl+c")
    person.types("clear; echo still$((40 + 2))here")
    person.sees("still42here")
    person.sees_no_more("level=info")


def enter_the_shell(person: Person) -> None:
    """Into the terminal pane; the footer says when one is there."""
    person.press("f6")
    person.sees("f6 Leave the terminal")


def leave(person: Person) -> None:
    """Out of the shell, and out of the program; in the shell, Ctrl+Q is the shell's."""
    person.press("ctrl+q", "f6")
    person.sees_no_more("f6 Leave the terminal")
    person.press("ctrl+q")
    person.leaves()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
