"""``nc``: connect or listen, as BusyBox with the extra options of its larger build (and -z, -v of the others)."""

from __future__ import annotations

import os
import socket
import subprocess

from meshlab.minicluster.images.busybox.options import UsageError, parse
from meshlab.minicluster.images.busybox.pump import Silence, pump
from meshlab.minicluster.images.dial import PodNetwork, UnknownHost
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

USAGE = """BusyBox v1.37.0 () multi-call binary.

Usage: nc [OPTIONS] HOST PORT  - connect
nc [OPTIONS] -l -p PORT [HOST] [PORT]  - listen

	-e PROG	Run PROG after connect (must be last)
	-l	Listen mode, for inbound connects
	-lk	With -e, provides persistent server
	-p PORT	Local port
	-w SEC	Timeout for connects and final net reads
	-i SEC	Delay interval for lines sent
	-n	Don't do DNS resolution
	-v	Verbose
	-z	Zero-I/O mode (scanning)"""


def main(argv: list[str], pod: PodContext) -> int:
    """``nc [-vnz] [-w SEC] HOST PORT`` or ``nc -l [-k] [-p] PORT [-e PROG]``."""
    arguments, command = list(argv[1:]), []
    if "-e" in arguments:
        position = arguments.index("-e")
        arguments, command = arguments[:position], arguments[position + 1 :]
    try:
        options, operands = parse("nc", arguments, "lkp:w:i:nvzus:q:46N")
        if "u" in options:
            raise UsageError("nc: the lab's network carries TCP only")
        timeout_s = float(options["w"][-1]) if "w" in options else None
        if "l" in options:
            port = int(options["p"][-1] if "p" in options else operands[-1])
            return _listen(pod, port, timeout_s, command, keep="k" in options, verbose="v" in options)
        host, ports = operands[0], _ports(operands[1])
    except UsageError as error:
        print_line(f"{error}\n{USAGE}", error=True)
        return 1
    except (IndexError, ValueError):
        print_line(USAGE, error=True)
        return 1
    codes = [
        _connect(pod, host, port, timeout_s, command, scan="z" in options, verbose="v" in options) for port in ports
    ]
    return max(codes)


def _ports(text: str) -> range:
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


def _connect(
    pod: PodContext, host: str, port: int, timeout_s: float | None, command: list[str], *, scan: bool, verbose: bool
) -> int:
    network = PodNetwork(pod)
    try:
        address = network.resolve(host)[0]
        connection = network.connect(host, port, timeout_s)
    except UnknownHost:
        print_line(f"nc: bad address '{host}'", error=True)
        return 1
    except TimeoutError:
        print_line(f"nc: {host} ({address}:{port}): Connection timed out" if verbose else "nc: timed out", error=True)
        return 1
    except OSError as error:
        if verbose or not scan:
            print_line(f"nc: {host} ({address}:{port}): {_reason(error)}", error=True)
        return 1
    with connection:
        if verbose:
            print_line(f"{host} ({address}:{port}) open", error=True)
        return 0 if scan else _talk(connection, timeout_s, command)


def _listen(
    pod: PodContext, port: int, timeout_s: float | None, command: list[str], *, keep: bool, verbose: bool
) -> int:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(PodNetwork(pod).listen_address(port))
        except OSError as error:
            print_line(f"nc: bind: {_reason(error)}", error=True)
            return 1
        listener.listen()
        if verbose:
            print_line(f"listening on 0.0.0.0:{port} ...", error=True)
        listener.settimeout(timeout_s)
        while True:
            try:
                connection, peer = listener.accept()
            except TimeoutError:
                print_line("nc: timed out", error=True)
                return 1
            with connection:
                if verbose:
                    print_line(
                        f"connect to {pod.pod_ip}:{port} from {peer[0]}:{peer[1]} ({peer[0]}:{peer[1]})", error=True
                    )
                code = _talk(connection, timeout_s, command)
            if not keep:
                return code


def _talk(connection: socket.socket, timeout_s: float | None, command: list[str]) -> int:
    connection.settimeout(None)
    if command:
        descriptor = connection.fileno()
        try:
            return subprocess.run(command, stdin=descriptor, stdout=descriptor, check=False).returncode
        except FileNotFoundError:
            print_line(f"nc: can't execute '{command[0]}': No such file or directory", error=True)
            return 127
    try:
        pump(connection, timeout_s=timeout_s)
    except Silence:
        print_line("nc: timed out", error=True)
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        print_line(f"nc: {_reason(error)}", error=True)
        return 1
    return 0


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
