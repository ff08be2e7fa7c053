"""The words around the screen: what runs, and what a person can do about it."""

from __future__ import annotations


def title(command: str, *, busy: bool, window_title: str) -> str:
    """The upper border: the command that runs, else what the program calls its window."""
    running = command.partition("\n")[0]
    return f"$ {running}" if busy and running else window_title or "Terminal"


def notes(*, scrolled: bool, waiting: int, leave_key: str) -> str:
    """The lower border.

    Args:
        scrolled: whether the newest rows are out of view.
        waiting: how many commands wait for the prompt.
        leave_key: the key that leaves, as a person knows it.
    """
    words = []
    if waiting:
        words.append("a command waits for the prompt" if waiting == 1 else f"{waiting} commands wait for the prompt")
    if scrolled:
        words.append("scrolled back, any key returns")
    return " · ".join([*words, f"{leave_key.upper()} leaves the terminal"])
