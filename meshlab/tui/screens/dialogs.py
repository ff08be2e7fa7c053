"""What is laid over the course: a question to confirm, the solution, and the help of a pane.

It is imported by whoever opens one, when it is opened: the first frame need not wait for what it does not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.highlight import highlight
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, Label, Markdown, Static

if TYPE_CHECKING:
    from meshlab.grading.scripts import File

_LANGUAGES = {".yaml": "yaml", ".yml": "yaml", ".sh": "bash", ".json": "json", ".py": "python"}


class Question(ModalScreen[bool]):
    """A yes-or-no question; *no* has the focus, so that Enter alone changes nothing.

    Args:
        title: the question in a few words.
        text: what will happen.
        yes: what the button that does it is called.
    """

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", tooltip="Do it", id="question.yes"),
        Binding("n,escape", "answer(False)", "No", tooltip="Change nothing", id="question.no"),
        Binding("left,right", "app.focus_next", show=False, tooltip="The other button", id="question.other"),
    ]

    def __init__(self, title: str, text: str, *, yes: str) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._yes = yes

    def compose(self) -> ComposeResult:
        """The question and its two answers."""
        with Vertical(classes="dialog -small"):
            yield Label(Content.styled(self._title, "bold"), classes="dialog-title")
            with VerticalScroll(classes="dialog-body"):
                yield Static(Content(self._text))
            with Horizontal(classes="dialog-buttons"):
                yield Button(f"{self._yes} (y)", variant="warning", id="yes", compact=True)
                yield Button("No (n)", id="no", compact=True)

    def on_mount(self) -> None:
        """The harmless answer first."""
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer by button."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer by key."""
        self.dismiss(yes)


class Solution(ModalScreen[bool]):
    """The solution's files; the result says whether to apply it.

    Args:
        title: the exercise.
        files: as rendered for this attempt.
    """

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Apply", tooltip="Run it against the cluster", id="solution.apply"),
        Binding("escape,n", "answer(False)", "Close", tooltip="Close without applying it", id="solution.close"),
    ]

    def __init__(self, title: str, files: Sequence[File]) -> None:
        super().__init__()
        self._title = title
        self._files = files

    def compose(self) -> ComposeResult:
        """The files, and whether to apply them."""
        with Vertical(classes="dialog"):
            yield Label(Content.styled(f"The solution: {self._title}", "bold"), classes="dialog-title")
            with VerticalScroll(classes="dialog-body"):
                for file in self._files:
                    suffix = file.name[file.name.rfind(".") :]
                    yield Static(Content.styled(file.name, "$text-accent"))
                    yield Static(
                        highlight(file.text.rstrip(), language=_LANGUAGES.get(suffix, "text")), classes="dialog-code"
                    )
            with Horizontal(classes="dialog-buttons"):
                yield Button("Apply it (y)", variant="warning", id="yes", compact=True)
                yield Button("Close (esc)", id="no", compact=True)

    def on_mount(self) -> None:
        """Reading comes first."""
        self.query_one(".dialog-body").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer by button."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer by key."""
        self.dismiss(yes)


class Help(ModalScreen[None]):
    """The help of a pane, and all keys that work in it.

    Args:
        text: Markdown.
        keys: (key, what it does).
    """

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", "Close", tooltip="Close the help", id="help.close"),
    ]

    def __init__(self, text: str, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._text = text
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Words first, then the keys."""
        width = max((len(key) for key, _ in self._keys), default=0)
        rows = [Content.assemble((f"{key:>{width}}  ", "bold $text-accent"), text) for key, text in self._keys]
        with Vertical(classes="dialog"):
            with VerticalScroll(classes="dialog-body"):
                yield Markdown(self._text)
                yield Static(Content.styled("Keys", "bold"), classes="dialog-title")
                yield Static(Content("\n").join(rows))
            yield Label(Content.styled("esc closes this", "$text-muted"), classes="dialog-title")

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one(".dialog-body").focus()


def help_on(screen: Screen[Any]) -> Help:
    """The help of what has the focus, with every key that works there now."""
    nodes: list[Any] = [*(screen.focused.ancestors_with_self if screen.focused else ()), screen]
    text = next((node.HELP for node in nodes if getattr(node, "HELP", None)), "")
    keys = [
        (screen.app.get_key_display(entry.binding), entry.binding.tooltip)
        for entry in screen.active_bindings.values()
        if entry.binding.tooltip and entry.enabled
    ]
    return Help(text, keys)
