"""``python -m meshlab.minicluster.hostcurl CURL ARGUMENT...``: the host's own curl, which finds a lab's low ports.

A user cannot bind ports below 1024, so a load balancer's port 80 lies elsewhere (see `PortMap`). The ``curl`` of a
learner's shell comes here when its command names an address of 127/8, and here it is told where those ports are.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence

from meshlab.labs import all_labs
from meshlab.minicluster.network.addresses import PortMap

_RESOLVED = re.compile(r"\+?([^:]+):(\d+):(127\.\d+\.\d+\.\d+)")
"""The value of ``--resolve``."""


def redirections(arguments: Sequence[str], prefix: str, remapped: Mapping[int, int]) -> list[str]:
    """The ``--connect-to`` options that a command needs to reach one lab.

    Args:
        arguments: curl's.
        prefix: the first two octets of the lab's addresses.
        remapped: its nominal ports that are really bound elsewhere, with their real ones.
    """
    # The node's own addresses (third octet 0) carry the API server and node ports, which are bound as they are written.
    address = re.compile(rf"(?<![\d.]){re.escape(prefix)}\.(?!0\.)\d+\.\d+(?![\d.])")
    targets: dict[tuple[str, int], str] = {}
    for argument in arguments:
        resolved = _RESOLVED.fullmatch(argument)
        if resolved and address.fullmatch(resolved[3]) and int(resolved[2]) in remapped:
            targets[resolved[1], int(resolved[2])] = resolved[3]
        targets |= {(found, port): found for found in address.findall(argument) for port in remapped}
    return [
        word
        for (host, port), target in targets.items()
        for word in ("--connect-to", f"{host}:{port}:{target}:{remapped[port]}")
    ]


def _running_labs() -> Iterable[tuple[str, Mapping[int, int]]]:
    for lab in all_labs():
        info = lab.info()
        if info is not None:
            ports = PortMap(lab.runtime_dir / "tables" / "ports.json", f"{info.prefix}.0.1")
            yield info.prefix, ports.remapped()


def main(command: Sequence[str]) -> None:
    """Become curl."""
    curl, *arguments = command
    added = [word for prefix, remapped in _running_labs() for word in redirections(arguments, prefix, remapped)]
    os.execv(curl, [curl, *added, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
