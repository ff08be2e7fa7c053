"""What a freshly forked child of the supervisor does until the container's program runs in it.

The order matters: the terminal needs the new session, the mounts need the namespaces, the death signal must come after
every change of credentials (the kernel clears it), and only then are the remaining descriptors closed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib
import io
import json
import os
import resource
import signal
import sys
import termios
from pathlib import Path
from typing import NoReturn

from meshlab.minicluster.node import linux, privateroot
from meshlab.minicluster.node.protocol import SpawnSpec
from meshlab.minicluster.pod import PodContext

ERROR_PIPE = 3
"""Where the error pipe ends up: right behind the standard streams."""


def run(
    spec: SpawnSpec,
    stdio: list[int],
    error_pipe: int,
    *,
    mountpoint: str,
    mode: privateroot.Mode,
    join_pid: int,
    parent: int,
) -> NoReturn:
    """Become the program; never returns.

    Args:
        spec: what to run.
        stdio: the descriptors of stdin, stdout and stderr.
        error_pipe: closed without a word once the program runs; else it gets ``{"error", "errno"}``.
        mountpoint: an empty directory on which private roots are built.
        mode: how private roots are made on this host.
        join_pid: the process whose root to enter, or 0.
        parent: the supervisor's pid, to notice that it died before the death signal was set.
    """
    try:
        _take_streams(stdio, error_pipe)
        _prepare(spec, mountpoint=mountpoint, mode=mode, join_pid=join_pid, parent=parent)
        if spec.path:
            os.execve(spec.path, list(spec.argv), dict(spec.env))
        entry = _load(spec)
        os.close(ERROR_PIPE)
    except BaseException as error:
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        words = (
            os.strerror(number).lower() if isinstance(error, OSError) and error.filename == spec.path else str(error)
        )
        os.write(ERROR_PIPE, json.dumps({"error": words or repr(error), "errno": number}).encode()[:4096])
        os._exit(128)
    os._exit(_call(entry, spec))


def _take_streams(stdio: list[int], error_pipe: int) -> None:
    """Put the streams at 0, 1, 2 and the error pipe at 3, and close every other descriptor."""
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64) for descriptor in (*stdio, error_pipe)]
    for target, source in enumerate(moved):
        os.dup2(source, target, inheritable=target != ERROR_PIPE)
    os.closerange(ERROR_PIPE + 1, os.sysconf("SC_OPEN_MAX"))


def _prepare(spec: SpawnSpec, *, mountpoint: str, mode: privateroot.Mode, join_pid: int, parent: int) -> None:
    _reset_signals(keep_sigpipe_ignored=bool(spec.builtin))
    os.setsid()
    if spec.tty:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.umask(0o022)
    if join_pid and mode:
        privateroot.join(join_pid, mode)
    elif spec.root:
        privateroot.enter(spec.root, mountpoint, mode)
    for name, wanted in spec.rlimits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(number)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(number, (value, value))
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if mode and (spec.root or join_pid):
        privateroot.drop_privileges(mode)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)
    linux.prctl(linux.PR_SET_NAME, os.fsencode(spec.argv[0].rpartition("/")[2])[:15] + b"\0")
    os.chdir(spec.cwd)


def _reset_signals(*, keep_sigpipe_ignored: bool) -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number == signal.SIGPIPE and keep_sigpipe_ignored:
            continue  # Python's sockets rely on EPIPE
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _load(spec: SpawnSpec) -> tuple[object, PodContext]:
    os.environ.clear()
    os.environ.update(spec.env)
    sys.argv = list(spec.argv)
    module, _, function = spec.builtin.partition(":")
    return getattr(importlib.import_module(module), function), PodContext.load(Path(spec.context))


def _call(entry: tuple[object, PodContext], spec: SpawnSpec) -> int:
    """Run a built-in program as ``sys.exit(main(argv, pod))`` would, and return its exit code."""
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8", "surrogateescape")
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(number, "w", closefd=False)), "utf-8", "backslashreplace", line_buffering=True
        )
        for number in (1, 2)
    )
    function, context = entry
    try:
        code = function(list(spec.argv), context)  # type: ignore[operator]
    except SystemExit as ending:
        code = ending.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE
    except Exception:
        sys.excepthook(*sys.exc_info())
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return int(code or 0) & 0xFF
