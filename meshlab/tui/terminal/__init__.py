"""The terminal in the course: a pane with a shell in it, and what stands there where no emulator runs.

The lab's variables and a command line flow in; "a command ended" flows out, so that the check runs just then. Which
module has what:

* `pane`, `surface`, `captions` (the widgets); `own` (the other terminal);
* `view`, `paint`, `palette` (how it looks); `pointer`, `selection`, `mouse`, `keys` (what the person does);
* `session`, `shell`, `private`, `marks` (the shell); `process`, `controlling_tty` (the pseudo-terminal);
* `emulator` (the protocol); `engine`, `ghostty` (what stands behind it).
"""

from meshlab.tui.terminal.engine import emulator_available
from meshlab.tui.terminal.own import OwnTerminal
from meshlab.tui.terminal.pane import TerminalPane

__all__ = ["OwnTerminal", "TerminalPane", "emulator_available"]
