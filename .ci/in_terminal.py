"""Runs a command line that opens the course, as a person would: in a terminal, until it is up, then Ctrl+Q.

    python in_terminal.py 'pip install . && meshlab'

Prints what the command printed before the course opened, and ends with its exit code; 1 if the course never came up.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

ROWS, COLUMNS = 40, 120
LIMIT_S = 600
UP = re.compile(rb"no mesh yet|istio \d")
ALTERNATE_SCREEN = b"\x1b[?1049h"
CTRL_Q = b"\x11"


def main(command: str) -> int:
    """Run it; the exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execvp("bash", ["bash", "-euc", command])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    deadline = time.monotonic() + LIMIT_S
    seen, is_up = b"", False
    while time.monotonic() < deadline:
        if terminal in select.select([terminal], [], [], 1.0)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # the terminal ends with its last process
                data = b""
            if not data:
                break
            if ALTERNATE_SCREEN not in seen:
                sys.stdout.buffer.write(data.partition(ALTERNATE_SCREEN)[0])
                sys.stdout.buffer.flush()
            seen += data
        if not is_up and UP.search(seen):
            is_up = True
            print("\nthe course is open and its lab is up", flush=True)
            os.write(terminal, CTRL_Q)
    else:
        os.kill(pid, 9)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not is_up:
        print(f"\nthe course did not open; the last of what was printed:\n{seen[-4000:]!r}")
        return status or 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
