"""A process behind a pseudo-terminal: its terminal, its input, its end, and what becomes of it when the app dies."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from meshlab.tui.terminal.process import PENDING_BYTES, PtyProcess

WITHIN_S = 20.0


class Screen:
    """What a process printed."""

    def __init__(self) -> None:
        self.data = b""

    def take(self, data: bytes) -> None:
        self.data += data

    async def until(self, condition: Callable[[bytes], object]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not condition(self.data):
                await asyncio.sleep(0.01)


async def start(screen: Screen, *command: str, directory: Path = Path("/")) -> PtyProcess:
    environment = {"PATH": os.defpath}
    return await PtyProcess.start(
        command, environment=environment, directory=directory, size=(91, 17), on_output=screen.take
    )


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


async def test_it_has_a_terminal_of_its_own() -> None:
    screen = Screen()
    process = await start(screen, "sh", "-c", "stty size; tty; : < /dev/tty && echo controlled; pwd")
    assert await process.wait() == 0
    lines = screen.data.decode().split()
    assert lines[:2] == ["17", "91"]
    assert lines[2].startswith("/dev/")
    assert lines[3:] == ["controlled", "/"]


@pytest.mark.parametrize(
    ("command", "status"),
    [(["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137), (["no-such-program-here"], 1)],
)
async def test_its_exit_status(command: Sequence[str], status: int) -> None:
    screen = Screen()
    process = await start(screen, *command)
    assert await process.wait() == status
    await process.close()


async def test_a_missing_program_is_said_on_the_screen() -> None:
    screen = Screen()
    process = await start(screen, "no-such-program-here")
    await process.wait()
    assert b"no-such-program-here: No such file" in screen.data


async def test_a_missing_directory_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await start(Screen(), "true", directory=Path("/no/such/directory"))


async def test_signals_that_the_app_ignores_are_not_ignored_in_it() -> None:
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        screen = Screen()
        process = await start(screen, "sh", "-c", "grep SigIgn /proc/self/status")
        await process.wait()
        # Signals 32 and 33 are the C library's own: whoever ignored them is above us, and nobody can change it.
        assert int(screen.data.split()[1], 16) & 0x7FFFFFFF == 0
    finally:
        signal.signal(signal.SIGTTOU, before)


async def test_input_that_is_not_read_is_kept_up_to_a_bound() -> None:
    screen = Screen()
    process = await start(screen, "sh", "-c", "stty raw -echo; echo ready; read x; cat | wc -c")
    await screen.until(lambda data: b"ready" in data)
    piece = b"x" * (PENDING_BYTES // 4)
    taken = 0
    while process.write(piece):
        taken += 1
        assert taken < 20
    assert taken >= 3
    await process.close()
    assert not process.write(b"x")


async def test_large_input_arrives_whole() -> None:
    screen = Screen()
    process = await start(screen, "sh", "-c", "stty raw -echo; echo ready; head -c 300000 | sha256sum")
    await screen.until(lambda data: b"ready" in data)
    assert process.write(b"0123456789" * 30_000)
    assert await process.wait() == 0
    assert screen.data.split()[1].decode() == hashlib.sha256(b"0123456789" * 30_000).hexdigest()


async def test_a_resize_is_a_signal() -> None:
    screen = Screen()
    process = await start(
        screen, "sh", "-c", "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"
    )
    await screen.until(lambda data: b"ready" in data)
    process.resize(44, 22)
    assert await process.wait() == 0
    assert b"22 44" in screen.data


async def test_closing_ends_even_who_does_not_listen() -> None:
    screen = Screen()
    process = await start(screen, "sh", "-c", "trap '' HUP TERM; echo ready; while :; do sleep 0.05; done")
    await screen.until(lambda data: b"ready" in data)
    await process.close()
    assert not alive(process.pid)


async def test_output_of_a_job_that_goes_on_does_not_keep_it_waiting() -> None:
    screen = Screen()
    process = await start(screen, "sh", "-c", "trap '' HUP; yes & echo $!; exit 5")
    async with asyncio.timeout(WITHIN_S):
        assert await process.wait() == 5


HOLDER = """
import asyncio, sys
from pathlib import Path
from meshlab.tui.terminal.process import PtyProcess
async def main():
    out = lambda data: print(data.decode(), end="", flush=True)
    await PtyProcess.start(["bash", "--norc", "-ic", "echo pids $$; sleep 1000; true"], environment={"PATH": sys.argv[1]},
                           directory=Path("/"), size=(80, 24), on_output=out)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


def test_no_orphan_is_left_when_the_app_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, os.environ["PATH"]], stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        pid = next(int(line.split()[1]) for line in app.stdout if line.startswith("pids"))
        assert alive(pid)
        app.kill()
    asyncio.run(_ends(pid))


async def _ends(pid: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while alive(pid):
            await asyncio.sleep(0.01)
