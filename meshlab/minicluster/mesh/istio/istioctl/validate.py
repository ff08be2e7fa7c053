"""``istioctl validate``: check Istio resources in files, without a cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from meshlab.minicluster.mesh.istio.analysis import files, validity
from meshlab.minicluster.mesh.istio.istioctl.analyze import expand
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("validate", "Validate Istio policy and rules files.")
    parser.add_argument("-f", "--filename", action="append", default=[], dest="files", metavar="FILE")
    parser.add_argument("-x", "--referential", default="", help="accepted; references are analyze's business")
    arguments = parser.parse(argv)
    if not arguments.files:
        raise CommandError("must provide at least one file or directory with -f", exit_code=EXIT_USAGE)
    problems: list[str] = []
    for name in expand(arguments.files, recursive=True):
        problems += _check(name, arguments.namespace or "default")
    if problems:
        details = "\n".join(f"\t* {problem}" for problem in problems)
        raise CommandError(f"{len(problems)} error{'s' if len(problems) > 1 else ''} occurred:\n{details}\n")
    return 0


def _check(name: str, namespace: str) -> list[str]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"could not read {name}: {error}") from error
    found: list[str] = []
    try:
        for resource in files.read(text, name, namespace):
            if resource.group.endswith("istio.io") and not validity.is_istio_kind(resource.obj):
                api_version = resource.obj["apiVersion"]
                found.append(
                    f"{resource.kind}//{resource.full_name}: {api_version}, Kind={resource.kind} is not served by Istio"
                )
            found += [f"{resource.kind}/{resource.full_name}: {problem}" for problem in validity.problems(resource.obj)]
    except files.FileError as error:
        found.append(str(error))
    if not found:
        print(f'"{name}" is valid')
    return found
