"""Runs a lesson's blocks as a reader would, and compares what they print with what the lesson says.

``run`` blocks run in a shell, in order, in one directory; ``file`` blocks are saved there; ``output`` blocks and what a
``predict`` block observes are compared. A block's exit code is not judged (an analyzer that finds something fails on
purpose), but a command that does not exist is.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from meshlab.cluster.facade import Cluster
from meshlab.course.blocks import Predict
from meshlab.course.model import Block, Lesson
from meshlab.course.yamlfile import DURATION
from meshlab.grading import scripts

TIMEOUT_S = 60.0
SETTLE_S = 15
POLL_S = 0.2
_NOT_FOUND = (126, 127)


@dataclass(slots=True)
class _Reader:
    """Somebody who follows a lesson in one directory."""

    directory: Path
    environment: dict[str, str]
    blocks: dict[str, Block] = field(default_factory=dict)
    """``run`` blocks so far, by id."""
    last: dict[str, str] = field(default_factory=dict)
    """What each of them printed when it was last run."""
    predictions: list[Predict] = field(default_factory=list)
    """Questions whose answer is still to be seen."""

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        """Run a block; one that takes longer than it may ends with exit code 124, as by timeout(1)."""
        try:
            done = subprocess.run(
                ["sh", "-c", block.content],
                cwd=self.directory,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=_seconds(block),
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            done = subprocess.CompletedProcess(block.content, 124, "", f"did not end within {_seconds(block):g} s")
        self.last[block.id] = done.stdout
        return done


def run_lesson(lesson: Lesson, cluster: Cluster) -> list[str]:
    """Run a lesson's blocks against a cluster; returns what is not as the lesson says."""
    with tempfile.TemporaryDirectory(prefix="meshlab-") as scratch:
        work = Path(scratch) / "work"
        work.mkdir()
        reader = _Reader(work, scripts.environment(Path(scratch) / "bin", cluster))
        return [f"line {block.line}: {text}" for block in lesson.blocks for text in _follow(block, reader)]


def _follow(block: Block, reader: _Reader) -> list[str]:
    match block.role:
        case "file":
            (reader.directory / block.attributes["file"]).write_text(block.content)
        case "predict" if isinstance(block.question, Predict) and block.question.observe:
            reader.predictions.append(block.question)
        case "run":
            reader.blocks[block.id] = block
            done = reader.run(block)
            if done.returncode in (*_NOT_FOUND, 124):
                return [f"{block.content.strip()}: {done.stderr.strip()}"]
            due = [entry for entry in reader.predictions if entry.observe and entry.observe.run == block.id]
            reader.predictions = [entry for entry in reader.predictions if entry not in due]
            return [problem for entry in due for problem in _observe(entry, reader)]
        case "output":
            pattern = output_pattern(block.content)
            shown = reader.blocks[block.attributes["of"]]
            if not _settles(reader, shown, lambda printed: pattern.fullmatch(printed) is not None):
                return [f"{shown.id} should print {block.content.strip()!r}, prints {reader.last[shown.id].strip()!r}"]
    return []


def output_pattern(expected: str) -> re.Pattern[str]:
    """An ``output`` block as a pattern: ``...`` matches anything, white space at the ends does not count."""
    parts = (re.escape(part) for part in expected.strip().split("..."))
    return re.compile(r"\s*" + ".*?".join(parts) + r"\s*", re.S)


def _observe(question: Predict, reader: _Reader) -> list[str]:
    """What the lab does must be one of the choices; which one, the question says by naming its value."""
    if question.observe is None:
        return []
    if _settles(reader, reader.blocks[question.observe.run], lambda printed: _names_a_choice(question, printed)):
        return []
    printed = reader.last[question.observe.run].strip()
    return [f"predict {question.id}: {question.observe.run} shows none of {question.observe.is_}, prints {printed!r}"]


def _names_a_choice(question: Predict, printed: str) -> bool:
    observed = question.observed(printed)
    return observed is not None and observed[1] is not None


def _settles(reader: _Reader, block: Block, holds: Callable[[str], bool]) -> bool:
    """Whether what a block printed holds; if not, it is run again until the cluster has settled."""
    deadline = time.monotonic() + SETTLE_S
    while not holds(reader.last[block.id]):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
        reader.run(block)
    return True


def _seconds(block: Block) -> float:
    found = DURATION.fullmatch(block.attributes.get("timeout", ""))
    return float(found[1]) * (60 if found[2] == "m" else 1) if found else TIMEOUT_S
