"""``telnet HOST [PORT]``: a plain connection, with the protocol's own commands taken out."""

from __future__ import annotations

import contextlib
import os
import re

from meshlab.minicluster.images.busybox.pump import pump
from meshlab.minicluster.images.dial import PodNetwork, UnknownHost
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

# IAC followed by WILL, WONT, DO or DONT and an option, or by any other command (RFC 854).
_COMMANDS = re.compile(rb"\xff(?:[\xfb-\xfe].|[\xf0-\xfa])", re.DOTALL)


def main(argv: list[str], pod: PodContext) -> int:
    """Connect and talk."""
    operands = [argument for argument in argv[1:] if not argument.startswith("-")]
    if not operands:
        print_line("BusyBox v1.37.0 () multi-call binary.\n\nUsage: telnet HOST [PORT]", error=True)
        return 1
    host, port = operands[0], operands[1] if len(operands) > 1 else "23"
    if not port.isdecimal():
        print_line(f"telnet: bad port '{port}'", error=True)
        return 1
    network = PodNetwork(pod)
    try:
        address = network.resolve(host)[0]
        connection = network.connect(host, int(port))
    except UnknownHost:
        print_line(f"telnet: bad address '{host}'", error=True)
        return 1
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        print_line(f"telnet: can't connect to remote host ({address}): {reason}", error=True)
        return 1
    with connection:
        print_line(f"Connected to {host}\n", error=True)
        with contextlib.suppress(ConnectionError):
            pump(connection, translate=lambda data: _COMMANDS.sub(b"", data))
        print_line("Connection closed by foreign host", error=True)
    return 1
