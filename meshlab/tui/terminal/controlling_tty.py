"""Runs a program with standard input as its controlling terminal: `python controlling_tty.py PROGRAM [ARGUMENT...]`.

The last steps between a fork and a shell. A program with threads must not run Python between fork and exec, so the
parent starts this file as a process in a session of its own, and this, alone in its process, does the rest: it takes
the terminal, undoes what signals were ignored, and becomes the program. It imports nothing of meshlab.
"""

import contextlib
import fcntl
import os
import signal
import sys
import termios

if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in signal.valid_signals():
        # KILL, STOP and what the C library keeps for itself cannot be set.
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")
