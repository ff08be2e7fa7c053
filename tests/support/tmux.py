"""The same `Terminal` made of tmux: a terminal that others wrote, with a server and a socket of its own."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

POLL_S = 0.03
_NAMES = {
    "enter": "Enter",
    "escape": "Escape",
    "tab": "Tab",
    "up": "Up",
    "down": "Down",
    "home": "Home",
    "f6": "F6",
} | {
    "pageup": "PageUp",
    "pagedown": "PageDown",
}


def is_installed() -> bool:
    """Whether tmux is on this machine."""
    return shutil.which("tmux") is not None


class TmuxTerminal:
    """See `tests.support.terminals.Terminal`; the arguments are those of `PtyTerminal`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        size: tuple[int, int],
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self._socket = f"meshlab-{secrets.token_hex(4)}"
        self._identity = dict(identity or {})
        self._directory = directory
        # Nobody's configuration, and no socket directory that others share.
        self._environment = {"LC_ALL": "C.UTF-8", **environment, "TERM": "xterm", "TMUX_TMPDIR": str(directory)}
        columns, rows = map(str, size)
        setup = ["set", "-g", "status", "off", ";", "set", "-g", "escape-time", "0", ";", "set", "-g", "remain-on-exit"]
        self._tmux(
            "start-server", ";", *setup, "on", ";",
            # As several words, so that no login shell is asked: the unprivileged user has none.
            "new-session", "-d", "-x", columns, "-y", rows, *command,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    @property
    def is_open(self) -> bool:
        return self._tmux("display-message", "-p", "#{pane_dead}").strip() == "0"

    def send(self, text: str) -> None:
        self._tmux("send-keys", "-l", "--", text)

    def press(self, key: str) -> None:
        if key.startswith("ctrl+"):
            self._tmux("send-keys", f"C-{key.removeprefix('ctrl+')}")
        elif key in _NAMES:
            self._tmux("send-keys", _NAMES[key])
        else:
            self.send(key)

    def rows(self) -> list[str]:
        return self._tmux("capture-pane", "-p").split("\n")[:-1]

    def wait(self, timeout_s: float) -> None:
        time.sleep(min(POLL_S, timeout_s))

    def close(self) -> None:
        self._tmux("kill-server", check=False)

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            ["tmux", "-u", "-L", self._socket, "-f", os.devnull, *arguments],
            env=self._environment,
            cwd=self._directory,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            **self._identity,
        )
        assert done.returncode == 0 or not check, f"tmux {shlex.join(arguments)}: {done.stderr}"
        return done.stdout
