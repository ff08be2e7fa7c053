"""``hostname``: the pod's name, where the host's program would tell the host's."""

from __future__ import annotations

from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext


def main(argv: list[str], pod: PodContext) -> int:
    """``hostname [-i] [-s] [-f] [-d]``."""
    for option in argv[1:]:
        match option:
            case "-i" | "-I":
                print_line(pod.pod_ip)
                return 0
            case "-s" | "-f":
                continue
            case "-d":
                print_line("")
                return 0
            case _:
                print_line("hostname: sethostname: Operation not permitted", error=True)
                return 1
    print_line(pod.name)
    return 0
