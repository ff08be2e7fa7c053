"""Which shell the pane starts, and how it is made to say when a command ends, without taking anything from its owner.

The shell reads its owner's start-up file first. Then ours (`rc/`) adds three things: the lab's variables, with the
directory of kubectl and istioctl first on PATH whatever the owner's file did to it; a plain prompt if there is none;
marks around the prompt (see `marks.py`). History goes to a file of the lab or nowhere, never into the owner's.

The lab's variables live in one file, `env.sh`, in a private directory that dies with the shell. Every prompt sources
it again, so a running shell takes over another lab's variables by rewriting that file.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from meshlab.tui.terminal.private import PrivateDirectory

_RC = Path(__file__).with_name("rc")
REFRESH_KEY = b"\x1b[133;9~"
"""What the start-up files of bash and zsh bind to "source env.sh now"; no keyboard sends it."""

_OTHER_TERMINALS = (
    "COLUMNS", "LINES", "TMUX", "TMUX_PANE", "STY", "WINDOW", "WINDOWID", "TERM_PROGRAM", "TERM_PROGRAM_VERSION",
    "TERMCAP",
    "VTE_VERSION", "KITTY_WINDOW_ID", "KITTY_PID", "WEZTERM_PANE", "WEZTERM_UNIX_SOCKET", "GHOSTTY_RESOURCES_DIR",
    "KONSOLE_VERSION", "ITERM_SESSION_ID", "WT_SESSION", "ALACRITTY_WINDOW_ID",
)  # fmt: skip
"""Variables by which programs would take the pane for the terminal that it runs in."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of shells is started.

    Args:
        start_up: files of `rc/`, and the names they get in the private directory.
        arguments: added to the command; `{rc}` stands for the private directory.
        variables: added to the environment, likewise.
        kept: variables of the owner that `variables` hide, and the names under which our start-up file finds them.
        refreshes: whether it knows `REFRESH_KEY`.
    """

    start_up: Mapping[str, str]
    arguments: tuple[str, ...]
    variables: Mapping[str, str]
    kept: Mapping[str, str]
    refreshes: bool


BASH = Dialect({"bashrc": "bashrc"}, ("--rcfile", "{rc}/bashrc", "-i"), {}, {}, refreshes=True)
ZSH = Dialect(
    {"zshenv": ".zshenv", "zshrc": ".zshrc"},
    ("-i",),
    {"ZDOTDIR": "{rc}"},
    {"ZDOTDIR": "MESHLAB_ZDOTDIR"},
    refreshes=True,
)
POSIX = Dialect({"shrc": "shrc"}, ("-i",), {"ENV": "{rc}/shrc"}, {"ENV": "MESHLAB_ENV"}, refreshes=False)

DIALECTS: Mapping[str, Dialect] = {"bash": BASH, "zsh": ZSH, "sh": POSIX, "dash": POSIX, "ash": POSIX, "ksh": POSIX}
"""By the name of the program."""


def choose_shell(environment: Mapping[str, str], which: Callable[[str], str | None] = shutil.which) -> str:
    """The program to start: the owner's shell if its dialect is known, else bash, else `sh`."""
    own = environment.get("SHELL", "")
    if Path(own).name in DIALECTS and (found := which(own)):
        return found
    return which("bash") or "/bin/sh"


class ShellSetup:
    """The private directory of one shell, and what to start it with."""

    def __init__(self, program: str, inherited: Mapping[str, str]) -> None:
        self.program = program
        self.dialect = DIALECTS.get(Path(program).name, POSIX)
        self._inherited = inherited
        self._lab: dict[str, str] = {}
        self._directory = PrivateDirectory()
        self.path = self._directory.path
        for source, name in self.dialect.start_up.items():
            shutil.copyfile(_RC / source, self.path / name)

    @property
    def command(self) -> list[str]:
        """The program and its arguments."""
        return [self.program, *(argument.format(rc=self.path) for argument in self.dialect.arguments)]

    def environment(self) -> dict[str, str]:
        """All variables that the shell starts with."""
        variables = {name: value for name, value in self._inherited.items() if name not in _OTHER_TERMINALS}
        variables |= self._lab
        for name, alias in self.dialect.kept.items():
            variables[alias] = variables.get(name, "")
        variables |= {name: value.format(rc=self.path) for name, value in self.dialect.variables.items()}
        return variables | {
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "SHELL": self.program,
            "MESHLAB_PANE": str(self.path),
        }

    def adopt(self, environment: Mapping[str, str]) -> bool:
        """Write `env.sh` for a lab.

        Args:
            environment: the lab's variables; those that are as inherited are left to the shell.

        Returns:
            Whether anything is different from before.
        """
        lab = {name: value for name, value in environment.items() if self._inherited.get(name) != value}
        gone = self._lab.keys() - lab.keys()
        script = self.path / "env.sh"
        if lab == self._lab and script.exists():
            return False
        # Renamed into place: a prompt may be reading it just now.
        draft = self.path / "env.sh.new"
        draft.write_text(environment_script(lab, gone), encoding="utf-8")
        draft.replace(script)
        self._lab = lab
        return True

    def close(self) -> None:
        """Remove the private directory."""
        self._directory.close()


def environment_script(variables: Mapping[str, str], gone: frozenset[str] | set[str] = frozenset()) -> str:
    """Shell lines that set a lab's variables; sourcing them twice changes nothing more.

    Args:
        variables: names and values. Of PATH the first directory counts: it is put first, the rest stays the shell's.
        gone: names to unset.
    """
    lines = [f"unset {name}" for name in sorted(gone - {"PATH"})]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items()) if name != "PATH"]
    first = variables.get("PATH", "").split(os.pathsep)[0]
    lines.append('PATH="${PATH#"${MESHLAB_BIN:-//}:"}"')
    lines.append(f"MESHLAB_BIN={shlex.quote(first)}")
    lines.append('[ -z "$MESHLAB_BIN" ] || PATH="$MESHLAB_BIN:$PATH"')
    lines.append("export PATH")
    return "\n".join(lines) + "\n"
