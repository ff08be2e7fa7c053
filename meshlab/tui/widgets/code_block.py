"""A fenced block of a lesson: code to look at, to run in the terminal pane, to save as a file, or what is printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.highlight import highlight
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from meshlab.course.model import Block

ACTIVE_ROLES = ("run", "file")
"""Roles that a key does something with."""


class CodeBlock(Widget, can_focus=True):
    """One block; Enter runs or saves it, y copies it."""

    DEFAULT_CSS = """
    CodeBlock {
        height: auto;
        margin: 0 0 1 0;
        border-left: outer $surface-lighten-2;
        background: $surface;
        padding: 0 1;
        &.-active { border-left: outer $accent; }
        &.-done { border-left: outer $success; }
        &:focus { background: $boost; border-left: outer $primary; }
        .code-head { height: auto; color: $text-muted; }
        .code-body { height: auto; }
    }
    """
    HELP = """\
# A block of code

- **Enter** runs a command in the terminal pane, or saves a file into the lesson's folder.
- **y** copies the block to the clipboard.
- **r**, from anywhere in the lesson, runs or saves the next block that was not done yet.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "use", "Run", tooltip="Run or save this block", id="block.use"),
        Binding("y", "copy", "Copy", tooltip="Copy this block to the clipboard", id="block.copy"),
    ]

    done: reactive[bool] = reactive(False)
    """Whether it was run or saved in this session."""

    @dataclass
    class Used(Message):
        """The block is to be run or saved."""

        code: CodeBlock
        block: Block

        @property
        def control(self) -> CodeBlock:
            """The widget."""
            return self.code

    def __init__(self, block: Block) -> None:
        super().__init__(classes="-active" if block.role in ACTIVE_ROLES else None)
        self.block = block
        self.can_focus = block.role in ACTIVE_ROLES or block.role == "show"

    def compose(self) -> ComposeResult:
        """A line that says what it is, and the code."""
        yield Static(self._head(), classes="code-head")
        language = self.block.language or "text"
        yield Static(highlight(self.block.content.rstrip("\n"), language=language), classes="code-body")

    def watch_done(self, done: bool) -> None:
        """Show that it was run or saved."""
        self.set_class(done, "-done")
        if self.is_mounted:
            self.query_one(".code-head", Static).update(self._head())

    def action_use(self) -> None:
        """Ask for it to be run or saved."""
        if self.block.role in ACTIVE_ROLES:
            self.post_message(self.Used(self, self.block))

    def action_copy(self) -> None:
        """Copy the code (OSC 52)."""
        self.app.copy_to_clipboard(self.block.content)
        self.notify("copied", timeout=2)

    def _head(self) -> Content:
        match self.block.role:
            case "run":
                text = "✔ ran; enter runs it again" if self.done else "▶ enter runs it in the terminal"
            case "file":
                name = self.block.attributes["file"]
                text = f"✔ {name} is saved" if self.done else f"▼ enter saves it as {name}"
            case "output":
                text = "it prints"
            case _:
                text = self.block.language or "text"
        colour = "$text-success" if self.done else "$text-accent" if self.block.role in ACTIVE_ROLES else "$text-muted"
        return Content.styled(text, colour)


class Diagram(Static):
    """A drawing in box characters."""

    DEFAULT_CSS = """
    Diagram { height: auto; width: auto; margin: 0 0 1 0; color: $text-accent; }
    """

    def __init__(self, block: Block) -> None:
        super().__init__(Content(block.content.rstrip("\n")))
        self.tooltip = block.attributes.get("alt", "")
