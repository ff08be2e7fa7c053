"""The supervisor alone: what it runs, and that nothing outlives its owner."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meshlab.minicluster.node import descendants, rootfs
from meshlab.minicluster.node.processes import Processes, SpawnError
from meshlab.minicluster.node.protocol import SpawnSpec

OWNER = """
import asyncio, os, sys
from pathlib import Path
from meshlab.minicluster.node.processes import Processes
from meshlab.minicluster.node.protocol import SpawnSpec

async def main():
    directory = Path(sys.argv[1])
    processes = Processes(directory / "mountpoint", directory / "log", private_root=False)
    await processes.start()
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    # A container's process, a child of it, and a grandchild that has left the session.
    script = "echo $$; sleep 1000 & echo $!; setsid sleep 1000 & sleep 0.2; echo done; wait"
    spec = SpawnSpec(("sh", "-c", script), {"PATH": "/usr/bin:/bin"}, path="/bin/sh", cwd=str(directory))
    await processes.spawn(spec, (null, writer, writer))
    os.close(writer)
    print(processes.pid, flush=True)
    with os.fdopen(reader) as pipe:
        for line in pipe:
            print(line.strip(), flush=True)
            if line == "done\\n":
                break
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    return any(entry.pid == pid and not entry.zombie for entry in descendants.entries())


async def gone(*pids: int) -> None:
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, [pid for pid in pids if alive(pid)]
        await asyncio.sleep(0.01)


async def start_owner(directory: Path) -> tuple[subprocess.Popen[str], int, list[int]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    owner = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", textwrap.dedent(OWNER), str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert owner.stdout is not None
    supervisor = int(owner.stdout.readline())
    lines = []
    while (line := owner.stdout.readline().strip()) != "done":
        lines.append(int(line))
    found = {entry.pid for entry in descendants.entries() if entry.session in lines or entry.parent in lines}
    assert len(found | set(lines)) >= 3
    return owner, supervisor, sorted(found | set(lines))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_killing_the_owner_leaves_nothing(lab_directory: Path, number: int) -> None:
    owner, supervisor, pids = await start_owner(lab_directory)
    owner.send_signal(number)
    owner.wait()
    await gone(supervisor, *pids)
    assert owner.stdout is not None
    owner.stdout.close()


async def test_the_terminals_interrupt_does_not_reach_the_supervisor(lab_directory: Path) -> None:
    owner, supervisor, pids = await start_owner(lab_directory)
    assert os.getsid(supervisor) == supervisor
    os.kill(supervisor, signal.SIGINT)
    os.kill(supervisor, signal.SIGHUP)
    assert alive(supervisor)
    os.kill(supervisor, signal.SIGTERM)
    await gone(supervisor, *pids)
    owner.kill()
    owner.wait()
    assert owner.stdout is not None
    owner.stdout.close()


@pytest.fixture
async def processes(lab_directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Processes]:
    found = Processes(lab_directory / "mountpoint", lab_directory / "log")
    await found.start()
    yield found
    await found.stop()


class Output:
    """Runs a program and collects what it prints."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    async def __call__(self, spec: SpawnSpec) -> tuple[int, str]:
        reader, writer = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        try:
            process = await self._processes.spawn(spec, (null, writer, writer))
            code = await process.wait()
        finally:
            os.close(writer)
            os.close(null)
            with os.fdopen(reader) as pipe:
                text = pipe.read()
        return code, text


def shell(script: str, **fields: object) -> SpawnSpec:
    return SpawnSpec(("sh", "-c", script), {"PATH": "/usr/bin:/bin"}, path="/bin/sh", **fields)  # type: ignore[arg-type]


async def test_a_program_starts_with_a_clean_slate(processes: Processes) -> None:
    script = (
        "ls /proc/self/fd | wc -l; cat /proc/self/status | grep -E '^(NoNewPrivs|SigBlk|SigIgn)'; ulimit -c; umask; env"
    )
    code, text = await Output(processes)(shell(script, rlimits={"CORE": 0}))
    assert code == 0
    lines = text.split("\n")
    assert int(lines[0]) == 4  # the three streams, and ls's own directory
    assert {"SigBlk:\t" + "0" * 16, "NoNewPrivs:\t1"} <= set(lines)
    ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    # Signals 32 and 33 are the C library's own: nobody can reset them, and a starter may have left them ignored.
    assert ignored & ~(0b11 << 31) == 0
    assert "0" in lines and "0022" in lines
    assert not any(line.startswith("PYTHON") for line in lines)


async def test_exit_codes_and_signals(processes: Processes) -> None:
    output = Output(processes)
    assert await output(shell("exit 5")) == (5, "")
    assert await output(shell("kill -9 $$")) == (137, "")
    assert (await output(shell("kill -TERM $$")))[0] == 143


async def test_a_private_root(processes: Processes) -> None:
    if not processes.mode:
        pytest.skip(processes.reason)
    script = "ls /; echo private > /tmp/a && cat /tmp/a; touch /usr/bin/x; ls -A /root /home"
    _, text = await Output(processes)(shell(script, root=tuple(rootfs.host_steps())))
    lines = text.splitlines()
    assert {"bin", "etc", "proc", "tmp", "usr"} <= set(lines)
    assert "lost+found" not in lines and "boot" not in lines and "private" in lines
    assert any("Read-only file system" in line for line in lines)


async def test_the_end_of_one_container_never_kills_another(processes: Processes) -> None:
    """The kernel reuses the names of mount namespaces at once: with them, short-lived containers killed each other."""
    steps = tuple(rootfs.host_steps()) if processes.mode else ()
    output = Output(processes)
    ends = await asyncio.gather(*(output(shell(f"exit {number % 3}", root=steps)) for number in range(60)))
    assert [code for code, _ in ends] == [number % 3 for number in range(60)]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (SpawnSpec(("x",), {}, path="/no/such"), "no such file or directory"),
        (SpawnSpec(("x",), {}, path="/etc/passwd"), "permission denied"),
        (SpawnSpec(("x",), {}, builtin="no_such_module:main", context="/x"), "No module named 'no_such_module'"),
        (SpawnSpec(("x",), {}, path="/bin/true", cwd="/no/such"), "No such file or directory: '/no/such'"),
        (SpawnSpec(("x",), {}, path="/bin/true", join="nobody"), "container not running"),
    ],
)
async def test_what_cannot_be_started(processes: Processes, spec: SpawnSpec, words: str) -> None:
    with pytest.raises(SpawnError) as caught:
        await Output(processes)(spec)
    assert words in str(caught.value)


async def test_large_environments(processes: Processes) -> None:
    spec = SpawnSpec(("sh", "-c", "echo ${#X}"), {"X": "x" * 100_000}, path="/bin/sh")
    assert await Output(processes)(spec) == (0, "100000\n")


async def test_a_supervisor_that_cannot_start_says_why(lab_directory: Path) -> None:
    (lab_directory / "grpc.py").write_text("")
    processes = Processes(lab_directory / "mountpoint", lab_directory / "log", modules=["threading", "grpc"])
    if "grpc" in sys.modules or _has_grpc():
        with pytest.raises(SpawnError, match="imported grpc"):
            await processes.start()
    await processes.stop()


def _has_grpc() -> bool:
    import importlib.util

    return importlib.util.find_spec("grpc") is not None
