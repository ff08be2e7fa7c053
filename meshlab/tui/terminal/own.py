"""What stands in the pane's place where no emulator runs: how to use a terminal of one's own.

It takes the same calls as the pane. A command that a lesson wants to run goes to the clipboard and is shown, ready to
be pasted into that other terminal; verdicts appear in the course all the same, as no check depends on the pane.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from textual.content import Content
from textual.visual import VisualType
from textual.widget import Widget


class OwnTerminal(Widget):
    """Explains how to work in another terminal.

    Args:
        command_line: what to type there; ends with the command `shell`.
        reason: why there is no pane, as a sentence; empty when nothing is to be said.
        name: the widget's name.
        id: its id.
        classes: its CSS classes.
        disabled: whether it is disabled.
    """

    DEFAULT_CSS = """
    OwnTerminal {
        width: 1fr;
        height: 1fr;
        padding: 1 2;
        border: round $border-blurred;
        overflow-y: auto;
    }
    """

    busy = False
    """Never known to run a command."""

    def __init__(
        self,
        command_line: str = "meshlab shell",
        reason: str = "",
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self.border_title = "Terminal"
        self._command_line = command_line
        self._reason = reason
        self._copied = ""

    @property
    def copied(self) -> str:
        """The text that was put on the clipboard last."""
        return self._copied

    async def open(self, environment: Mapping[str, str], directory: Path) -> None:
        """Nothing to start: the other terminal gets its variables from the command line that is shown."""

    def run(self, command: str) -> None:
        """Put a command on the clipboard and show it."""
        self.insert(command)

    def insert(self, text: str) -> None:
        """Put text on the clipboard and show it."""
        self._copied = text.strip("\r\n")
        self.app.copy_to_clipboard(self._copied)
        self.refresh(layout=True)

    def render(self) -> VisualType:
        parts = [(f"{self._reason}\n\n", "$text-muted")] if self._reason else []
        parts += [
            ("Open a terminal of your own beside this one and type:\n\n", ""),
            (f"    {self._command_line}\n\n", "bold $text-accent"),
            ("or, in a shell that you have already:\n\n", ""),
            (f'    eval "$({self._command_line.removesuffix("shell")}env)"\n\n', "bold $text-accent"),
            ("kubectl, istioctl and curl are ready there. Verdicts appear here all the same.", ""),
        ]
        if self._copied:
            parts += [
                ("\n\nOn the clipboard, to paste there:\n\n", "$text-success"),
                ("\n".join(f"    {line}" for line in self._copied.splitlines()), "bold"),
            ]
        return Content.assemble(*parts)
