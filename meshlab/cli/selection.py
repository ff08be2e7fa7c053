"""Which cluster and which course the command line names."""

from __future__ import annotations


class Selection:
    """What every command may be told; None is what was not said. A parsed command line has the same attributes."""

    NAMES = ("kubeconfig", "context", "course", "lab")

    def __init__(self) -> None:
        self.kubeconfig: str | None = None
        self.context: str | None = None
        self.course: str | None = None
        self.lab: str | None = None
