"""The real kubectl against the streams."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .conftest import KUBECTL, StreamServer

SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
transports = pytest.mark.parametrize("env", [{}, SPDY], ids=["websocket", "spdy"])


@transports
async def test_exec_separates_output_and_gives_the_exit_code(server: StreamServer, env: dict[str, str]) -> None:
    code, out, err = await server.kubectl("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7", env=env)
    assert (code, out) == (7, b"out\n")
    assert err == b"err\ncommand terminated with exit code 7\n"


@transports
async def test_exec_carries_large_output_unharmed(server: StreamServer, env: dict[str, str]) -> None:
    script = "i=0; while [ $i -lt 40 ]; do head -c 100000 /dev/zero; i=$((i+1)); done"
    code, out, err = await server.kubectl("exec", "web", "--", "sh", "-c", script, env=env)
    assert (code, err) == (0, b"")
    assert len(out) == 4_000_000


@transports
async def test_exec_gives_stdin_and_its_end(server: StreamServer, env: dict[str, str]) -> None:
    data = os.urandom(3_000_000)
    code, out, _ = await server.kubectl("exec", "-i", "web", "--", "cat", stdin=data, env=env)
    assert code == 0
    assert out == data


@transports
async def test_exec_of_a_missing_program_says_so(server: StreamServer, env: dict[str, str]) -> None:
    code, _, err = await server.kubectl("exec", "web", "--", "no-such-program", env=env)
    assert code == 1
    assert b'exec: "no-such-program": executable file not found in $PATH' in err


@transports
async def test_exec_ends_the_command_when_the_client_dies(server: StreamServer, env: dict[str, str]) -> None:
    process = await server.start_kubectl("exec", "web", "--", "sh", "-c", "echo ready; sleep 100", env=env)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    process.kill()
    await process.communicate()
    async with asyncio.timeout(10):
        await server.node.sessions[0].closed.wait()


async def test_exec_of_a_wrong_container_is_refused(server: StreamServer) -> None:
    code, _, err = await server.kubectl("exec", "web", "-c", "nope", "--", "true")
    assert code == 1
    assert b"container nope is not valid for pod web" in err or b"container not found" in err


@transports
async def test_attach_shows_output_and_gives_input(server: StreamServer, env: dict[str, str]) -> None:
    code, out, err = await server.kubectl("attach", "-i", "web", "-c", "app", stdin=b"hello\n", env=env)
    assert code == 0, err
    assert b"attached\nhello\n" in out


@transports
async def test_cp_goes_both_ways(server: StreamServer, tmp_path: Path, env: dict[str, str]) -> None:
    source = tmp_path / "here" / "file.bin"
    source.parent.mkdir()
    source.write_bytes(os.urandom(500_000))
    target = tmp_path / "there"
    target.mkdir()
    code, _, err = await server.kubectl("cp", str(source), f"web:{target}/copy.bin", env=env)
    assert code == 0, err
    assert (target / "copy.bin").read_bytes() == source.read_bytes()
    code, _, err = await server.kubectl("cp", f"web:{target}/copy.bin", str(tmp_path / "back.bin"), env=env)
    assert code == 0, err
    assert (tmp_path / "back.bin").read_bytes() == source.read_bytes()


async def test_logs_of_the_only_container(server: StreamServer) -> None:
    code, out, _ = await server.kubectl("logs", "web", "--tail=5", "--timestamps", "--since=60s", "--limit-bytes=99")
    assert (code, out) == (0, b"one\ntwo\nthree\n")
    call = server.node.log_calls[0]
    assert call == {
        "container": "app",
        "follow": False,
        "previous": False,
        "since_s": 60,
        "since_time": None,
        "tail_lines": 5,
        "timestamps": True,
        "limit_bytes": 99,
    }


async def test_logs_follow_until_the_container_ends(server: StreamServer) -> None:
    process = await server.start_kubectl("logs", "-f", "web")
    assert process.stdout is not None
    for expected in (b"one\n", b"two\n", b"three\n"):
        assert await process.stdout.readline() == expected
    server.node.log_ended.set()
    out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"last\n")


async def test_logs_of_no_previous_container_is_an_error(server: StreamServer) -> None:
    code, out, err = await server.kubectl("logs", "-p", "web")
    assert (code, out) == (1, b"")
    assert b'previous terminated container "app" in pod "web" not found' in err


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    """A server that answers with what it got, and closes its half when the client does."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b"<end>")
        writer.close()

    listener = await asyncio.start_server(echo, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()


async def _local_port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    line = await process.stdout.readline()
    match = re.search(rb"127\.0\.0\.1:(\d+) ->", line)
    assert match, line
    return int(match[1])


async def _send(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@transports
async def test_port_forward_carries_parallel_connections(
    server: StreamServer, echo_port: int, env: dict[str, str]
) -> None:
    server.node.ports[8080] = echo_port
    process = await server.start_kubectl("port-forward", "pod/web", ":8080", "--address=127.0.0.1", env=env)
    try:
        async with asyncio.timeout(20):
            port = await _local_port(process)
            payloads = [os.urandom(size) for size in (10, 100_000, 2_000_000, 5)]
            answers = await asyncio.gather(*(_send(port, payload) for payload in payloads))
        assert answers == [payload + b"<end>" for payload in payloads]
    finally:
        process.terminate()
        await process.communicate()


@transports
async def test_port_forward_to_a_closed_port_says_why(server: StreamServer, env: dict[str, str]) -> None:
    process = await server.start_kubectl("port-forward", "pod/web", ":81", "--address=127.0.0.1", env=env)
    try:
        async with asyncio.timeout(20):
            port = await _local_port(process)
            # kubectl closes its end, at times before it has read ours: then that is a reset.
            with contextlib.suppress(ConnectionResetError):
                assert await _send(port, b"x") == b""
            assert process.stderr is not None
            message = await process.stderr.readline()
    finally:
        process.terminate()
        await process.communicate()
    assert b"error forwarding port 81 to pod web" in message
    assert b"connect: connection refused" in message


async def test_a_terminal_has_the_clients_size_and_echo(server: StreamServer, tmp_path: Path) -> None:
    """``kubectl exec -it`` under a pty of our own: size, echo, ^C and exit code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    script = 'trap "stty size; echo got-int; exit 9" INT; echo ready; while :; do sleep 0.05; done'
    process = await asyncio.create_subprocess_exec(
        KUBECTL,
        f"--server={server.url}",
        f"--kubeconfig={tmp_path}/kubeconfig",
        *("exec", "-it", "web", "--", "sh", "-c", script),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    os.close(slave)
    seen = bytearray()
    arrived = asyncio.Event()

    def readable() -> None:
        try:
            seen.extend(os.read(master, 65536))
        except OSError:
            asyncio.get_running_loop().remove_reader(master)
        arrived.set()

    async def wait_for(text: bytes) -> None:
        while text not in seen:
            arrived.clear()
            await arrived.wait()

    asyncio.get_running_loop().add_reader(master, readable)
    try:
        async with asyncio.timeout(20):
            await wait_for(b"ready")
            os.write(master, b"\x03")
            await wait_for(b"got-int")
            assert await process.wait() == 9
    finally:
        asyncio.get_running_loop().remove_reader(master)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(master)
    assert b"33 101" in seen
