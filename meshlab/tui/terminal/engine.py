"""Is there an emulator here, and make one: the only place that decides which engine stands behind `Emulator`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os

from meshlab.tui.terminal.emulator import Emulator, EmulatorUnavailable, Outlets

SWITCH = "MESHLAB_NO_TERMINAL"
"""Set to 1, this environment variable turns the pane off."""


def emulator_available() -> bool:
    """Whether an emulator seems to be installed and is not switched off; nothing is imported to find out."""
    return os.environ.get(SWITCH) != "1" and importlib.util.find_spec("pyghostty") is not None


def load_engine() -> None:
    """Import the engine ahead of time, in a thread: it takes a third of a second, and a failure is told later."""
    with contextlib.suppress(ImportError, OSError, AttributeError, LookupError):
        if emulator_available():
            importlib.import_module("meshlab.tui.terminal.ghostty")


def default_emulator(columns: int, rows: int, outlets: Outlets) -> Emulator:
    """An emulator of the engine that meshlab ships with, imported here at the latest.

    Raises:
        EmulatorUnavailable: there is no wheel for this machine, it cannot be loaded, or the pane is switched off.
    """
    if os.environ.get(SWITCH) == "1":
        raise EmulatorUnavailable(f"{SWITCH}=1 switches it off.")
    try:
        from meshlab.tui.terminal.ghostty import GhosttyEmulator
    except ModuleNotFoundError as absent:
        raise EmulatorUnavailable("No terminal emulator (pyghostty) is installed for this machine.") from absent
    except (ImportError, OSError, AttributeError, LookupError) as broken:
        raise EmulatorUnavailable(f"The terminal emulator cannot be loaded: {broken}.") from broken
    return GhosttyEmulator(columns, rows, outlets)
