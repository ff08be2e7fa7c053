"""Runs a lesson's blocks as a reader would, and compares what they print with what the lesson says.

``run`` blocks run in a shell, in order, in one directory; ``file`` blocks are saved there; ``output`` blocks and what a
``predict`` block observes are compared. A block's exit code is not judged (an analyzer that finds something fails on
purpose), but a command that does not exist is.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshlab.cluster import tools
from meshlab.cluster.facade import Cluster
from meshlab.course.model import Block, Lesson

TIMEOUT_S = 60
SETTLE_S = 10
POLL_S = 0.2
_NOT_FOUND = (126, 127)


@dataclass(slots=True)
class _Reader:
    """Somebody who follows a lesson in one directory."""

    directory: Path
    environment: dict[str, str]
    commands: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )


def run_lesson(lesson: Lesson, cluster: Cluster) -> list[str]:
    """Run a lesson's blocks against a cluster; returns what is not as the lesson says."""
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="meshlab-") as scratch:
        bin_dir = tools.write_bin_dir(Path(scratch) / "bin")
        work = Path(scratch) / "work"
        work.mkdir()
        path = f"{bin_dir}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        reader = _Reader(work, os.environ | {"KUBECONFIG": str(cluster.kubeconfig), "PATH": path})
        predictions: list[Block] = []
        for step in lesson.steps:
            for block in step.blocks:
                if block.role == "predict":
                    predictions.append(block)
                problems += [f"line {block.line}: {text}" for text in _follow(block, reader, predictions)]
    return problems


def _follow(block: Block, reader: _Reader, predictions: list[Block]) -> list[str]:
    match block.role:
        case "file":
            (reader.directory / block.attributes["file"]).write_text(block.content)
        case "run":
            reader.commands[block.attributes.get("id", "")] = block.content
            done = reader.run(block.content)
            if done.returncode in _NOT_FOUND:
                return [f"{block.content.strip()}: {done.stderr.strip()}"]
            observed = [
                entry for entry in predictions if (entry.data.get("observe") or {}).get("run") in reader.commands
            ]
            for entry in observed:
                predictions.remove(entry)
            return [problem for entry in observed for problem in _observe(entry.data["observe"], reader)]
        case "output":
            return _compare(reader, block.attributes["of"], output_pattern(block.content), block.content)
    return []


def output_pattern(expected: str) -> re.Pattern[str]:
    """An ``output`` block as a pattern: ``...`` matches anything, white space at the ends does not count."""
    parts = (re.escape(part) for part in expected.strip().split("..."))
    return re.compile(r"\s*" + ".*?".join(parts) + r"\s*", re.S)


def _observe(observe: dict[str, Any], reader: _Reader) -> list[str]:
    """The observed choice is the one whose value the pattern finds."""
    (wanted,) = observe["is"].values()
    pattern = re.compile(rf"(?s).*{observe['match'].replace('(', '(?:', 1)}.*")
    problems = _compare(reader, observe["run"], pattern, observe["match"])
    if problems:
        return problems
    return _compare(reader, observe["run"], re.compile(rf"(?s).*{re.escape(str(wanted))}.*"), str(wanted))


def _compare(reader: _Reader, name: str, pattern: re.Pattern[str], expected: str) -> list[str]:
    """Run a block (again, until the cluster has settled) and compare what it prints."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        done = reader.run(reader.commands[name])
        if pattern.fullmatch(done.stdout):
            return []
        if time.monotonic() > deadline:
            printed = done.stdout.strip() or done.stderr.strip()
            return [f"{name} should print {expected.strip()!r}, prints {printed!r}"]
        time.sleep(POLL_S)
