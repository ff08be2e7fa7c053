"""The end of a container: which signal asks for it, what it leaves to say, which logs are kept."""

from __future__ import annotations

import signal
from pathlib import Path

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.node.logs import LogOptions, read, rotated
from meshlab.minicluster.node.runtime import ContainerConfig

TERMINATION_LOG = "termination-log"
"""The name, in a container's own directory, of the file behind its ``terminationMessagePath``."""
MESSAGE_BYTES = 4096
MESSAGE_LOG_LINES = 80
MESSAGE_LOG_BYTES = 2048


async def message(config: ContainerConfig, spec: Obj, code: int) -> str:
    """What the program left in its termination log, or else (if the manifest says so) its last words."""
    if text := _left_behind(Path(config.context.container_dir, TERMINATION_LOG)):
        return text
    if code == 0 or spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return ""
    pieces = [piece async for piece in read(config.log, LogOptions(tail_lines=MESSAGE_LOG_LINES), None)]
    return b"".join(pieces)[-MESSAGE_LOG_BYTES:].decode(errors="replace")


def _left_behind(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(MESSAGE_BYTES).decode(errors="replace")
    except OSError:
        return ""


def stop_signal(lifecycle: Obj) -> int:
    """The signal that asks a container to end."""
    name = lifecycle.get("stopSignal") or "SIGTERM"
    return int(getattr(signal, name, signal.SIGTERM))


def prune_logs(current: Path) -> None:
    """Keep the logs of this instance and of the one before."""
    number = int(current.stem)
    for path in current.parent.glob("*.log"):
        if path.stem.isdigit() and int(path.stem) < number - 1:
            path.unlink(missing_ok=True)
            rotated(path).unlink(missing_ok=True)
