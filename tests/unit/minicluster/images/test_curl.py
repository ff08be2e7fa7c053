from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshlab.minicluster.images.curl.globbing import BadGlob, expand
from meshlab.minicluster.images.curl.options import UsageError, parse
from meshlab.minicluster.images.curl.transfer import form_body
from meshlab.minicluster.images.curl.writeout import Value, render


@pytest.mark.parametrize(
    ("pattern", "urls"),
    [
        ("http://a/", ["http://a/"]),
        ("http://a/?n=[1-3]", ["http://a/?n=1", "http://a/?n=2", "http://a/?n=3"]),
        ("a[08-10]", ["a08", "a09", "a10"]),
        ("a[1-9:4]", ["a1", "a5", "a9"]),
        ("a[a-c]", ["aa", "ab", "ac"]),
        ("{x,y}[1-2]", ["x1", "x2", "y1", "y2"]),
        (r"a\[1-2\]", ["a[1-2]"]),
        ("http://[::1]:80/", ["http://[::1]:80/"]),
    ],
)
def test_globs(pattern: str, urls: list[str]) -> None:
    assert [url for url, _ in expand(pattern)] == urls


def test_globs_tell_their_parts() -> None:
    assert [parts for _, parts in expand("{x,y}[1-2]")] == [("x", "1"), ("x", "2"), ("y", "1"), ("y", "2")]


@pytest.mark.parametrize("pattern", ["a[1-", "a{b", "a]", "a[3-1]", "a[x]"])
def test_bad_globs(pattern: str) -> None:
    with pytest.raises(BadGlob):
        list(expand(pattern))


@given(st.text(alphabet=st.characters(exclude_characters="[]{}\\"), max_size=30))
def test_text_without_brackets_is_no_glob(text: str) -> None:
    assert list(expand(text)) == [(text, ())]


def test_short_options_group() -> None:
    (options,) = parse(["-sSfLo", "/dev/null", "-m2.5", "-Hx: y", "http://a", "-w%{http_code}"])
    assert (options.silent, options.show_error, options.fail, options.follow) == (True, True, True, True)
    assert (options.outputs, options.max_time_s, options.headers) == (["/dev/null"], 2.5, ["x: y"])
    assert (options.urls, options.write_out) == (["http://a"], "%{http_code}")


def test_next_starts_another_operation() -> None:
    first, second = parse(["-s", "-H", "a: b", "http://a", "--next", "-d", "x", "http://b"])
    assert (first.urls, first.headers, first.has_data) == (["http://a"], ["a: b"], False)
    assert (second.urls, second.headers, second.has_data) == (["http://b"], [], True)


def test_data_comes_from_text_and_files(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("l1\nl2\n")
    (options,) = parse(["-d", "a=1", "-d", f"@{tmp_path}/f", "--data-raw", "@x", "--data-urlencode", "k=a b&c"])
    assert options.data == [b"a=1", b"l1l2", b"@x", b"k=a%20b%26c"]
    (options,) = parse(["--data-binary", f"@{tmp_path}/f"])
    assert options.data == [b"l1\nl2\n"]


def test_configuration_files(tmp_path: Path) -> None:
    config = tmp_path / "conf"
    config.write_text('# comment\nsilent\nurl = "http://a"\nheader: "x: y"\n-m 3\nconnect-to = "a:80:b:81"\n')
    (options,) = parse(["-K", str(config)])
    assert (options.silent, options.urls, options.headers, options.max_time_s) == (True, ["http://a"], ["x: y"], 3)
    assert options.connect_to == ["a:80:b:81"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nope"], "option --nope: is unknown"),
        (["-m"], "option -m: requires parameter"),
        (["-m", "x"], "option -m: expected a proper numerical parameter"),
        (["-d", "@/no/such/file"], "error encountered when reading a file"),
    ],
)
def test_usage_errors(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(arguments)


def test_write_out() -> None:
    values: dict[str, Value] = {"http_code": 7, "time_total": 0.25, "remote_ip": "1.2.3.4", "speed_download": 12.7}
    template = r"%{http_code} %{time_total} %{remote_ip} %{speed_download} %header{x-a} %% %{nope}\t|\n"
    assert render(template, values, {"x-a": "b"}) == "007 0.250000 1.2.3.4 13 b % \t|\n"


def test_form_bodies(tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("content")
    body = form_body(["a=1", f"f=@{tmp_path}/f.txt;type=text/plain"]).decode()
    boundary = body.split("\r\n")[0]
    assert body.endswith(f"{boundary}--\r\n")
    assert 'name="f"; filename="f.txt"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n' in body
