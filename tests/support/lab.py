"""An embedded lab as end-to-end tests drive it: from outside, by its commands, as an unprivileged user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

NOBODY = 65534
TIMEOUT_S = 60


@dataclass
class Lab:
    """One embedded lab, driven from outside through its commands."""

    name: str
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any]:
        """As whom its commands run, in `subprocess.Popen`'s words."""
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}

    def popen(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] = subprocess.Popen(
            command, env=self.environment, cwd=self.home, text=True, **self.identity, **options
        )
        return process

    def run(self, *command: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        process = self.popen(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=TIMEOUT_S)
        done = subprocess.CompletedProcess(command, process.returncode, out, err)
        if check:
            assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}\n{out}\n{err}"
        return done

    def meshlab(self, *arguments: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.run(
            sys.executable, "-m", "meshlab.cli.main", "--lab", self.name, *arguments, check=check, stdin=stdin
        )

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.run("kubectl", *arguments, stdin=stdin).stdout

    def curl(self, *arguments: str) -> str:
        """curl in the pod of deployment ``client`` or ``curl``."""
        return self.kubectl("exec", "deploy/client", "-c", "curl", "--", "curl", "-s", *arguments)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.meshlab("status", "-o", "json").stdout)
        return status

    def up(self) -> None:
        self.meshlab("up")
        for line in self.meshlab("env").stdout.splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            value = value.replace('"$PATH"', self.environment["PATH"]).replace("'", "")
            self.environment[name] = value

    def install_istio(self) -> None:
        self.run("istioctl", "install", "--set", "profile=demo", "-y")


def eventually(probe: Callable[[], T], *, within_s: float = 20, what: str = "") -> T:
    """The first true value of a probe; the last one is shown if time runs out."""
    deadline = time.monotonic() + within_s
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or probe}: {value!r}"
        time.sleep(0.05)
