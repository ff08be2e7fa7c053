"""``openssl`` in a pod: the host's, which is told where the lab's names and ports really are.

Only ``s_client`` connects anywhere. It is given the address in place of the name, the name as the server name that it
would have sent, and the pod's own address to start from.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from meshlab.minicluster.images.catalogue import HostBinary
from meshlab.minicluster.images.dial import PodNetwork, UnknownHost
from meshlab.minicluster.images.launch import host_path
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

DEFAULT_PORT = 4433
OPENSSL = HostBinary(("openssl",))


def main(argv: list[str], pod: PodContext) -> int:
    """Become the host's openssl."""
    program = host_path(OPENSSL)
    if program is None:
        print_line("openssl: not found: this host has no openssl", error=True)
        return 127
    arguments = argv[1:]
    if arguments[:1] == ["s_client"]:
        try:
            arguments = client_arguments(arguments, PodNetwork(pod), pod.pod_ip)
        except UnknownHost as error:
            print_line(f"BIO_lookup_ex: {error.host}: Name or service not known\nconnect:errno=0", error=True)
            return 1
    os.execv(program, [argv[0], *arguments])


def client_arguments(arguments: Sequence[str], network: PodNetwork, source: str) -> list[str]:
    """The arguments of ``s_client`` with the real address behind ``-connect HOST:PORT``.

    Raises:
        UnknownHost: no such name.
    """
    found = list(arguments)
    names = [argument.lstrip("-") for argument in found]
    if "connect" not in names[:-1]:
        return found
    position = names.index("connect") + 1
    host, _, port = found[position].rpartition(":")
    if not host:
        host, port = found[position], str(DEFAULT_PORT)
    if not port.isdigit():
        return found
    address = network.resolve(host)[0]
    ip, real = network.real_endpoint(address, int(port))
    found[position] = f"{ip}:{real}"
    if "servername" not in names and "noservername" not in names and address != host:
        found += ["-servername", host]
    return found if "bind" in names or not ip.startswith("127.") else [*found, "-bind", f"{source}:0"]
