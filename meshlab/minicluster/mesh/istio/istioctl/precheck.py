"""``istioctl experimental precheck``: would an install work?"""

from __future__ import annotations

from collections.abc import Sequence

from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.session import connect


async def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("experimental precheck", "Check whether Istio can safely be installed.")
    arguments = parser.parse(argv)
    async with connect(arguments) as session:
        nodes = (await session.api.list("nodes")).items
        ready = [
            node
            for node in nodes
            if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions") or [])
        ]
        if not ready:
            raise CommandError("no node of the lab is Ready: pods would not start", hint="meshlab status  tells more.")
    print("✔ No issues found when checking the cluster. Istio is safe to install or upgrade!")
    print("  To get started, check out https://istio.io/latest/docs/setup/getting-started/")
    return 0
