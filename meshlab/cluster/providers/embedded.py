"""The embedded provider: starts and stops the mini-cluster as a process and hands out its kubeconfig.

The daemon is told a pipe to report on. It writes one JSON object per line: ``{"stage": ...}`` while it comes up, then
``{"ready": true}`` or ``{"error": ..., "hint": ...}``; if the pipe ends before either, the daemon died and its log says
why.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from meshlab.errors import LabAlreadyRunning, LabError, LabNotRunning
from meshlab.labs import LabInfo, LabPaths

DAEMON_MODULE = "meshlab.minicluster"
LOG_TAIL_LINES = 5

Progress = Callable[[str], None]


def start(lab: LabPaths, *, on_progress: Progress = lambda stage: None, timeout_s: float = 60) -> LabInfo:
    """Start the lab's daemon and wait until its node is Ready and ``default`` has its ServiceAccount.

    Raises:
        LabAlreadyRunning: a daemon of this lab is up.
        LabError: the daemon could not start; the message says why.
    """
    if (holder := lab.holder()) is not None:
        raise LabAlreadyRunning(
            f"lab {lab.name} is already running (process {holder})",
            hint=f"meshlab {_lab_flag(lab)}status shows it; meshlab {_lab_flag(lab)}down stops it",
        )
    lab.create()
    read_end, write_end = os.pipe()
    with lab.log.open("ab") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-P", "-m", DAEMON_MODULE, "--lab", lab.name, "--ready-fd", str(write_end)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[write_end],
            start_new_session=True,
            env=_daemon_environment(),
        )
    os.close(write_end)
    try:
        _wait_ready(lab, daemon, read_end, on_progress, time.monotonic() + timeout_s)
    except BaseException:
        # Nothing half done: a daemon that did not come up must not linger.
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        raise
    finally:
        os.close(read_end)
    # The daemon outlives this process on purpose; without this, Popen would warn about it.
    daemon.returncode = 0
    info = lab.info()
    if info is None:
        raise LabError(f"lab {lab.name} came up and went away again", hint=f"see {lab.log}")
    return info


def ensure(lab: LabPaths, *, on_progress: Progress = lambda stage: None) -> LabInfo:
    """The running lab, started if necessary."""
    info = lab.info()
    if info is not None:
        return info
    try:
        return start(lab, on_progress=on_progress)
    except LabAlreadyRunning:
        return running(lab)


def running(lab: LabPaths) -> LabInfo:
    """What the running lab says of itself.

    Raises:
        LabNotRunning: no daemon of this lab is up.
    """
    info = lab.info()
    if info is None:
        existed = lab.info_file.exists()
        raise LabNotRunning(
            f"lab {lab.name} is not running" + (" any more" if existed else ""),
            hint=f"start it with: meshlab {_lab_flag(lab)}up"
            + (f" (every object comes back; what happened is in {lab.log})" if existed else ""),
        )
    return info


def stop(lab: LabPaths, *, delete: bool = False, timeout_s: float = 40) -> bool:
    """Stop the lab's daemon and everything it runs; with ``delete`` remove its state too.

    Returns:
        Whether a daemon was running.

    Raises:
        LabError: it did not stop in time.
    """
    pid = lab.holder()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while lab.holder() == pid:
            if time.monotonic() > deadline:
                raise LabError(f"lab {lab.name} (process {pid}) does not stop", hint=f"see {lab.log}; kill -9 {pid}")
            time.sleep(0.02)
    if delete and lab.state_dir.exists():
        shutil.rmtree(lab.state_dir)
    return pid is not None


def _wait_ready(
    lab: LabPaths, daemon: subprocess.Popen[bytes], pipe: int, on_progress: Progress, deadline: float
) -> None:
    pending = b""
    while True:
        readable, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise LabError(f"lab {lab.name} did not become ready in time", hint=f"see {lab.log}")
        chunk = os.read(pipe, 65536)
        if not chunk:
            daemon.wait()
            raise LabError(
                f"the daemon of lab {lab.name} died while starting (exit code {daemon.returncode}):\n{_tail(lab.log)}",
                hint=f"the whole log is in {lab.log}; meshlab doctor examines this machine",
            )
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "error" in report:
                daemon.wait()
                raise LabError(report["error"], hint=report.get("hint", ""))
            if report.get("ready"):
                return
            on_progress(report["stage"])


def _daemon_environment() -> dict[str, str]:
    """The caller's environment without what would send the lab's own traffic elsewhere."""
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    kept = {key: value for key, value in os.environ.items() if key.lower() not in proxies and key != "KUBECONFIG"}
    return kept | {"PYTHONUNBUFFERED": "1", "GRPC_ENABLE_FORK_SUPPORT": "false"}


def _lab_flag(lab: LabPaths) -> str:
    return "" if lab.name == "default" else f"--lab {lab.name} "


def _tail(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    except OSError:
        return ""
