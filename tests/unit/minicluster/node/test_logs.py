# ruff: noqa: ASYNC240
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from meshlab.minicluster.node import logs
from meshlab.minicluster.node.logs import LogOptions, LogWriter, parse_time, read, rotated, timestamp


async def text(path: Path, writer: LogWriter | None = None, **options: object) -> str:
    return b"".join([part async for part in read(path, LogOptions(**options), writer)]).decode()  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.log"


async def test_lines_streams_and_unfinished_lines(path: Path) -> None:
    writer = LogWriter(path)
    writer.write("stdout", b"one\ntw")
    writer.write("stderr", b"error\n")
    writer.write("stdout", b"o\nrest")
    assert await text(path, writer) == "one\nerror\ntwo\n"
    writer.close()
    assert await text(path) == "one\nerror\ntwo\nrest"
    records = [line.split(" ", 3)[1:] for line in path.read_text().splitlines()]
    assert records == [
        ["stdout", "F", "one"],
        ["stderr", "F", "error"],
        ["stdout", "F", "two"],
        ["stdout", "P", "rest"],
    ]


async def test_long_lines_are_cut_and_joined_again(path: Path) -> None:
    writer = LogWriter(path)
    line = b"x" * 40_000
    for start in range(0, len(line), 7000):
        writer.write("stdout", line[start : start + 7000])
    writer.write("stdout", b"\nend\n")
    writer.close()
    assert await text(path) == line.decode() + "\nend\n"
    assert max(len(record) for record in path.read_bytes().splitlines()) < 17_000


@pytest.mark.parametrize(
    ("lines", "expected"), [(0, ""), (1, "9\n"), (3, "7\n8\n9\n"), (50, "".join(f"{i}\n" for i in range(10)))]
)
async def test_tail(path: Path, lines: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BLOCK_BYTES", 64)
    writer = LogWriter(path)
    for number in range(10):
        writer.write("stdout", f"{number}\n".encode())
    writer.close()
    assert await text(path, tail_lines=lines) == expected


async def test_limit_since_and_timestamps(path: Path) -> None:
    path.write_text("2026-01-01T00:00:00.5Z stdout F old\n2026-01-01T00:00:02.000000000Z stdout F new\n")
    assert await text(path, limit_bytes=5) == "old\nn"
    assert await text(path, since=parse_time("2026-01-01T00:00:01Z")) == "new\n"
    assert await text(path, since=parse_time("2026-01-01T01:00:01+01:00"), timestamps=True) == (
        "2026-01-01T00:00:02.000000000Z new\n"
    )


async def test_following_across_rotation(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "ROTATE_BYTES", 200)
    writer = LogWriter(path)
    writer.write("stdout", b"first\n")
    follower = asyncio.create_task(text(path, writer, follow=True))
    for number in range(12):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writer.write("stdout", f"line {number}\n".encode())
    writer.close()
    assert rotated(path).exists()
    assert await asyncio.wait_for(follower, 1) == "first\n" + "".join(f"line {number}\n" for number in range(12))


def test_times() -> None:
    assert timestamp(1_500_000_000_000_000_001) == "2017-07-14T02:40:00.000000001Z"
    assert parse_time("2017-07-14T02:40:00.123456789Z") == pytest.approx(1_500_000_000.123456)
    with pytest.raises(ValueError, match="time zone"):
        parse_time("2017-07-14T02:40:00")
