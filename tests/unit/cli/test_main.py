from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshlab import __version__
from meshlab.cli import lessons as lesson_commands
from meshlab.cli.lab import split_passthrough
from meshlab.cli.main import main, print_error
from meshlab.cli.parser import build_parser
from meshlab.errors import UsageError
from tests.support import schemas

COURSE = Path(__file__).parent.parent.parent.parent


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


@pytest.mark.parametrize(
    ("line", "head", "passed_on"),
    [
        ("kubectl get pods -A", "kubectl", "get pods -A"),
        ("--lab two kubectl get pods", "--lab two kubectl", "get pods"),
        ("--lab=two istioctl --help", "--lab=two istioctl", "--help"),
        ("--kubeconfig f --context c kubectl --context d", "--kubeconfig f --context c kubectl", "--context d"),
        ("kubectl exec x -- kubectl", "kubectl", "exec x -- kubectl"),
        ("kubectl", "kubectl", ""),
        ("check kubectl", "check kubectl", ""),
        ("--lab kubectl status", "--lab kubectl status", ""),
        ("status -o json", "status -o json", ""),
        ("", "", ""),
    ],
)
def test_a_tool_gets_its_arguments_untouched(line: str, head: str, passed_on: str) -> None:
    assert split_passthrough(line.split()) == (head.split(), passed_on.split())


@pytest.mark.parametrize(
    "line", ["--lab two status", "status --lab two", "--lab two status -o json", "--lab one status --lab two"]
)
def test_common_options_may_stand_before_and_after_the_command(line: str) -> None:
    assert build_parser().parse_args(line.split()).lab == "two"


@pytest.mark.parametrize(
    "line",
    [
        "up", "down --delete", "status", "env", "shell", "kubectl", "istioctl", "doctor --fidelity", "lessons -o json",
        "lesson canary", "exercises", "start canary", "check canary/split --wait 10s -o junit", "hint canary",
        "solve canary --show -y", "reset canary --remove --yes", "answer canary/task 503", "progress -o json",
        "course lint", "course test canary --jobs 2 --times 3",
        "check canary --watch", "lesson canary --step route", "quiz canary", "quiz canary/weights a c", "next -o json",
        "predict canary/no-subsets c", "predict canary/no-subsets --saw -", "goto exercise/canary", "data path",
        "data export", "data erase -y", "course new course DIR", "course new lesson retries",
        "course new exercise retry --lesson retries",
    ],
)  # fmt: skip
def test_every_command_knows_what_to_run(line: str) -> None:
    assert callable(build_parser().parse_args(line.split()).run)


@pytest.mark.parametrize(
    "line",
    [
        "chek canary", "check", "check canary -o xml", "check canary --wait soon", "check canary --wait -1",
        "check canary --wait nan", "check canary --wait inf", "course", "course tests", "start a b", "up --delete",
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_exit_code_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "--help'" in said.err


@pytest.mark.parametrize(("text", "seconds"), [("10", 10), ("2.5s", 2.5), ("0", 0)])
def test_seconds_may_carry_their_unit(text: str, seconds: float) -> None:
    assert build_parser().parse_args(["check", "canary", "--wait", text]).wait == seconds


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"meshlab {__version__}\n")


def test_no_command_is_the_screen_which_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "the course needs a terminal" in capsys.readouterr().err


def test_an_error_for_people_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(UsageError("it does not exist", hint="make it"), as_json=False)
    assert capsys.readouterr() == ("", "Wrong usage: it does not exist\n  -> make it\n")
    print_error(UsageError("it does not exist"), as_json=False)
    assert capsys.readouterr() == ("", "Wrong usage: it does not exist\n")


def test_an_error_for_programs_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(UsageError("it does not exist", hint="make it"), as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out) == {
        "error": "UsageError", "title": "Wrong usage", "message": "it does not exist", "hint": "make it", "exitCode": 2,
    }  # fmt: skip
    assert said.err == ""


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ("check canray -o json", 2, "UnknownExercise"),
        ("check canary -o json", 3, "LabNotRunning"),
        ("--lab A check canary -o json", 2, "UsageError"),
        ("--context c check canary -o json", 2, "UsageError"),
        ("--kubeconfig /absent check canary -o json", 3, "ClusterUnreachable"),
        ("--course /absent lessons -o json", 2, "CourseError"),
        ("lesson canry -o json", 2, "UsageError"),
    ],
)
def test_mistakes_have_their_exit_code_and_fit_the_schema(
    line: str, code: int, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--course", str(COURSE), *line.split()]) == code
    said = json.loads(capsys.readouterr().out)
    schemas.validate(said, "error")
    assert (said["error"], said["exitCode"]) == (error, code)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("env", 3, "start it with: meshlab up"),
        ("--lab two env", 3, "start it with: meshlab --lab two up"),
        ("kubectl get pods", 3, "lab default is not running"),
        ("--kubeconfig f up", 2, "up starts the embedded lab"),
        ("answer canary 503", 2, "answer EXERCISE/TASK VALUE|@FILE"),
        ("start canray", 2, "did you mean canary?"),
        ("lesson canary --step rout", 2, "its steps: "),
        ("quiz canary/wights", 2, "it has: weights, scale"),
        ("quiz canary b", 2, "LESSON/QUESTION"),
        ("quiz canary/weights q", 2, "choices: a, b, c"),
        ("predict canary/no-subsets z", 2, "choices: a, b, c, d"),
        ("predict canary/no-subsets --saw 503", 2, "meshlab predict canary/no-subsets CHOICE"),
        ("goto module/canary", 2, "ID, lesson/ID or exercise/ID"),
        ("goto nowhere", 2, "meshlab lessons lists them"),
        ("course new lesson canary", 2, "lesson canary exists already"),
        ("course new lesson Re_tries", 2, "lower-case words joined by dashes"),
    ],
)
def test_mistakes_are_explained(line: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_interrupting_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(lesson_commands, "run_lessons", interrupted)
    assert main(["lessons"]) == 130


@pytest.mark.parametrize(
    "line",
    [
        "down",
        "status",
        "progress",
        "exercises",
        "lessons",
        "lesson canary",
        "quiz canary",
        "next",
        "goto lesson/canary",
        "data path",
        "course lint",
    ],
)
def test_what_works_without_a_lab(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 0
    said = capsys.readouterr()
    assert said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("line", "schema"),
    [
        ("lessons", "lessons"),
        ("lesson canary", "lesson"),
        ("lesson canary --step route", "lesson"),
        ("quiz canary", "quiz"),
        ("next", "next"),
        ("exercises", "exercises"),
        ("progress", "progress"),
        ("status", "status"),
    ],
)
def test_json_fits_its_schema(line: str, schema: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*line.split(), "-o", "json"]) == 0
    schemas.validate(json.loads(capsys.readouterr().out), schema)


def test_deleting_a_lab_removes_its_state(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = home / "XDG_STATE_HOME" / "meshlab" / "labs" / "two"
    state.mkdir(parents=True)
    assert main(["--lab", "two", "down"]) == 0
    assert state.exists()
    assert main(["--lab", "two", "down", "--delete"]) == 0
    assert not state.exists()
    assert capsys.readouterr().out.endswith("Lab two was not running, its state is deleted\n")
