"""``meshlab doctor``: can this machine run a lab, and (``--fidelity``) where does it differ from the real thing."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_MARKS = {"ok": "✔", "note": "!", "failed": "✘"}


def register(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    doctor = commands.add_parser("doctor", parents=[common], help="examine this machine")
    doctor.add_argument("--fidelity", action="store_true", help="say where the lab differs from a real cluster")
    doctor.set_defaults(run=run_doctor)


def run_doctor(arguments: argparse.Namespace) -> int:
    """Print the findings; exit code 3 if a lab cannot run here."""
    if arguments.fidelity:
        from meshlab.cluster import fidelity

        print(fidelity.text())
        return 0
    from meshlab.cluster import machine

    findings = machine.examine()
    for finding in findings:
        print(f"{_MARKS[finding.verdict]} {finding.subject}: {finding.text}")
        if finding.hint:
            print(f"    -> {finding.hint}")
    return 3 if any(finding.verdict == "failed" for finding in findings) else 0
