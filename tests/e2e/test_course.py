"""The canary from the command line, by the contract: exit codes, reports, an empty home, and `course test`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from tests.support.lab import Lab, eventually

ROOT = Path(__file__).parent.parent.parent
SCHEMAS = ROOT / "docs" / "schemas"
EXERCISES = ROOT / "exercises"


def test_the_canary_from_start_to_full_marks(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    # `start` brings up the lab and installs what the exercise needs.
    assert "80 %" in lab.meshlab("start", "canary").stdout
    # What must be brought by the learner cannot be practised where it is already.
    refused = lab.meshlab("start", "install-demo", check=False)
    assert refused.returncode == 2
    assert "istioctl uninstall --purge" in refused.stderr
    starter = lab.meshlab("check", "canary", "-o", "json", check=False)
    assert starter.returncode == 1
    report = json.loads(starter.stdout)
    jsonschema.validate(report, json.loads((SCHEMAS / "report.json").read_text()))
    assert report["score"] == {
        "earned": 0, "possible": 10, "unjudged": 0, "late_s": 0, "deductions": [], "final": True,
    }  # fmt: skip
    hints = [lab.meshlab("hint", "canary").stdout for _ in range(4)]
    assert ["hint 1 of 3" in hints[0], "hint 2 of 3" in hints[1], "hint 3 of 3" in hints[3]] == [True] * 3
    lab.meshlab("solve", "canary")
    assert lab.meshlab("check", "canary").returncode == 0

    assert _verdicts(lab, "canary") == [("PASS", "http.all-succeed"), ("PASS", "split.agrees")]

    lab.meshlab("reset", "canary", "-y")
    junit = lab.meshlab("check", "canary", "-o", "junit", check=False)
    assert junit.returncode == 1
    suite = ElementTree.fromstring(junit.stdout)[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    progress = json.loads(lab.meshlab("progress", "-o", "json").stdout)
    assert progress["intact"]
    assert progress["exercises"][0]["changed_since"]
    lab.meshlab("reset", "canary", "--remove", "-y")
    assert lab.meshlab("check", "canary", check=False).returncode == 2

    status = lab.status()
    jsonschema.validate(status, json.loads((SCHEMAS / "status.json").read_text()))


@pytest.mark.full
@pytest.mark.timeout(600)
def test_another_machine_with_nothing_but_the_kubeconfig_gives_the_same_verdicts(make_lab: Callable[[], Lab]) -> None:
    lab, other = make_lab(), make_lab()
    lab.up()
    kubeconfig = other.home / "kubeconfig"
    kubeconfig.write_text(Path(lab.status()["kubeconfig"]).read_text())
    kubeconfig.chmod(0o644)
    exercises = [path.parent.name for path in sorted(EXERCISES.glob("*/exercise.yaml"))]
    # What installs the mesh comes first: the others need it.
    for exercise in sorted(exercises, key=lambda name: name != "install-demo"):
        lab.meshlab("start", exercise)
        at_start = _verdicts(lab, exercise)
        assert {outcome for outcome, _ in at_start} & {"FAIL", "PENDING"}
        assert _verdicts(other, exercise, "--kubeconfig", str(kubeconfig)) == at_start
        lab.meshlab("solve", exercise)
        solved = _verdicts(lab, exercise)
        assert {outcome for outcome, _ in solved} == {"PASS"}
        assert _verdicts(other, exercise, "--kubeconfig", str(kubeconfig)) == solved


def _verdicts(lab: Lab, exercise: str, *options: str) -> list[tuple[str, str]]:
    report = json.loads(lab.meshlab(*options, "check", exercise, "-o", "json", check=False).stdout)
    return [(verdict["verdict"], verdict["code"]) for verdict in report["exercises"][0]["verdicts"]]


@pytest.mark.full
@pytest.mark.timeout(900)
def test_course_test_ten_times_without_a_flake(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    process = lab.popen(sys.executable, "-m", "meshlab.cli.main", "course", "test", "canary", "--times", "10")
    assert process.wait(800) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 130)])
def test_course_test_that_is_interrupted_takes_its_lab_with_it(
    make_lab: Callable[[], Lab], number: signal.Signals, code: int
) -> None:
    lab = make_lab()
    labs = lab.home / ".local" / "state" / "meshlab" / "labs"
    process = lab.popen(sys.executable, "-m", "meshlab.cli.main", "course", "test", "canary", stderr=subprocess.PIPE)
    (info,) = eventually(lambda: list(labs.glob("test-*/lab.json")), within_s=30)
    pid = json.loads(info.read_text())["pid"]
    process.send_signal(number)
    assert (process.communicate(timeout=50)[1], process.returncode) == ("", code)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), what=f"process {pid} ends")
    assert list(labs.iterdir()) == []
