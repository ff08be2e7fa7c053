"""``/entrypoint.sh`` of ``curlimages/curl``: what is no program is an argument of curl."""

from __future__ import annotations

import os
import shutil

from meshlab.minicluster.pod import PodContext


def main(argv: list[str], pod: PodContext) -> int:
    """Become the program that the arguments name, or curl with these arguments."""
    arguments = argv[1:]
    if not arguments or arguments[0].startswith("-") or shutil.which(arguments[0]) is None:
        arguments = ["curl", *arguments]
    os.execvp(arguments[0], arguments)
