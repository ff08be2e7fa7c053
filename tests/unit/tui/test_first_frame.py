"""What the first frame must not wait for."""

from __future__ import annotations

import subprocess
import sys

SLOW = ("kubernetes", "urllib3", "aiohttp", "grpc", "google.protobuf", "cryptography", "pyghostty", "jsonschema")
"""Libraries that take long to import, and that only the cluster or the terminal pane needs."""

OPEN = f"""
import argparse, sys
from meshlab.cli import screen
from meshlab.cli.lab import provider_of
from meshlab.cluster import tools
from meshlab.course.catalogue import find_course
from meshlab.tui.app import MeshlabApp

provider = provider_of(argparse.Namespace(lab=None, kubeconfig=None, context=None))
course = find_course(None)
app = MeshlabApp(course, provider, variables=dict, shell_command="")
course.lesson(next(iter(course.lessons)))
print(*sorted(set({SLOW!r}) & sys.modules.keys()))
"""


def test_the_screen_opens_before_the_slow_libraries_are_imported() -> None:
    opened = subprocess.run([sys.executable, "-c", OPEN], capture_output=True, text=True, check=True)
    assert opened.stdout.split() == []
