"""``busybox APPLET ...``: one of the container's other programs."""

from __future__ import annotations

import os
import shutil

from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext


def main(argv: list[str], pod: PodContext) -> int:
    """Become the applet."""
    if len(argv) < 2 or argv[1] in {"--help", "--list"}:
        if len(argv) < 2 or argv[1] == "--help":
            print_line("BusyBox v1.37.0 (meshlab) multi-call binary.\n\nUsage: busybox [function [arguments]...]")
        else:
            for directory in os.get_exec_path():
                if os.path.isdir(directory):  # noqa: PTH112 - PATH entries are strings
                    print_line("\n".join(sorted(set(os.listdir(directory)) - {"busybox"})))  # noqa: PTH208
        return 0
    if shutil.which(argv[1]) is None or argv[1] == "busybox":
        print_line(f"{argv[1]}: applet not found", error=True)
        return 127
    os.execvp(argv[1], argv[1:])
