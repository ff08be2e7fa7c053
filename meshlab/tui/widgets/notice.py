"""An error as a panel: its title, what happened, and what to do; the same three that the command line prints."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from meshlab.errors import MeshlabError


class Notice(Static):
    """Hidden while there is nothing to say."""

    DEFAULT_CSS = """
    Notice {
        display: none;
        height: auto;
        padding: 0 1;
        margin-bottom: 1;
        border-left: thick $error;
        background: $error-muted;
    }
    Notice.-shown { display: block; }
    """

    def show(self, error: MeshlabError | None) -> None:
        """Show an error, or None for none."""
        self.set_class(error is not None, "-shown")
        if error is None:
            return
        lines: list[Content | str] = [Content.styled(error.title, "bold $text-error"), "\n", Content(error.message)]
        if error.hint:
            lines += ["\n", Content.styled(f"→ {error.hint}", "$text-accent")]
        self.update(Content.assemble(*lines))
