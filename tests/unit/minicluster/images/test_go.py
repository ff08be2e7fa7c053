from __future__ import annotations

import pytest

from meshlab.minicluster.images.go_flags import Flag, FlagError, parse_duration, parse_flags, usage
from meshlab.minicluster.images.http_server import go_duration
from meshlab.minicluster.images.httpbin.responses import BadInput, Limits, duration, to_json, weighted_choices

FLAGS = {
    "text": Flag("the text"),
    "port": Flag("the port", 80, "int"),
    "on": Flag("a switch", False, "bool"),
    "wait": Flag("a while", 1.0, "duration"),
}


def test_flags_in_all_their_forms() -> None:
    values, rest = parse_flags(FLAGS, ["-text", "a b", "--port=0x50", "-on", "-wait=1m30s", "x", "-on"])
    assert values == {"text": "a b", "port": 80, "on": True, "wait": 90.0}
    assert rest == ["x", "-on"]
    assert parse_flags(FLAGS, ["-on=false", "--", "-text"]) == (
        {"text": "", "port": 80, "on": False, "wait": 1.0},
        ["-text"],
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-nope"], "flag provided but not defined: -nope"),
        (["-text"], "flag needs an argument: -text"),
        (["-port=x"], 'invalid value "x" for flag -port: parse error'),
        (["-on=x"], 'invalid boolean value "x" for flag -on: parse error'),
        (["--=x"], "bad flag syntax: --=x"),
        (["-h"], "flag: help requested"),
    ],
)
def test_bad_flags(arguments: list[str], words: str) -> None:
    with pytest.raises(FlagError, match=words):
        parse_flags(FLAGS, arguments)


def test_usage_lists_the_flags() -> None:
    assert "  -port int\n    \tthe port (default 80)\n" in usage("x", FLAGS)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("1.5s", 1.5), ("250ms", 0.25), ("2h45m", 9900), ("-1s", -1), ("1us", 1e-6)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1x", "1s2", "--1s"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (35.165e-6, "35.165µs"),
        (0.0012, "1.2ms"),
        (3, "3s"),
        (90.5, "1m30.5s"),
        (3661, "1h1m1s"),
        (5e-9, "5ns"),
    ],
)
def test_durations_as_go_prints_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_weighted_choices() -> None:
    assert weighted_choices("200:3,500") == [(200, 3.0), (500, 1.0)]
    for bad in ("200:x,1", "a,200"):
        with pytest.raises(BadInput):
            weighted_choices(bad)


@pytest.mark.parametrize(("text", "seconds"), [("1", 1), ("0.5", 0.5), ("100ms", 0.1)])
def test_httpbin_durations(text: str, seconds: float) -> None:
    assert duration(text, "duration", Limits()) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["11", "-1", "x", "nan", "1h"])
def test_bad_httpbin_durations(text: str) -> None:
    with pytest.raises(BadInput, match="invalid duration"):
        duration(text, "duration", Limits())


def test_json_as_go_writes_it() -> None:
    assert to_json({"a": "<é>"}) == '{\n  "a": "<é>"\n}\n'.encode()
