"""Programs that need raw sockets, which a pod of the lab does not have."""

from __future__ import annotations

from meshlab.minicluster.images.dial import PodNetwork, UnknownHost
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext


def main(argv: list[str], pod: PodContext) -> int:
    """``ping HOST`` and ``traceroute HOST``: say what an unprivileged BusyBox says."""
    name = argv[0]
    hosts = [argument for argument in argv[1:] if not argument.startswith("-")]
    if not hosts:
        print_line(f"Usage: {name} HOST", error=True)
        return 1
    try:
        address = PodNetwork(pod).resolve(hosts[-1])[0]
    except UnknownHost:
        print_line(f"{name}: bad address '{hosts[-1]}'", error=True)
        return 1
    if name.startswith("ping"):
        print_line(f"PING {hosts[-1]} ({address}): 56 data bytes")
    print_line(f"{name}: permission denied (are you root?)", error=True)
    print_line(f"{name}: the lab's network carries TCP only; try 'nc -zv {hosts[-1]} PORT' or curl", error=True)
    return 1
