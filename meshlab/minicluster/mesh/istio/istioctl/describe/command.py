"""The command: collect resources, print the lines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from meshlab.minicluster.mesh.istio.analysis.model import Resource, Snapshot
from meshlab.minicluster.mesh.istio.istioctl.analyze import collect
from meshlab.minicluster.mesh.istio.istioctl.describe.lookup import View
from meshlab.minicluster.mesh.istio.istioctl.describe.workload import describe_pod, describe_service
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.pods import find_pod, split_name
from meshlab.minicluster.mesh.istio.istioctl.session import connect

KINDS = {"pod": "pod", "po": "pod", "service": "service", "svc": "service"}


async def run(argv: Sequence[str]) -> int:
    """Run ``describe pod NAME`` or ``describe service NAME``."""
    parser = CommandParser("experimental describe", "Describe a pod or service and its Istio configuration.")
    parser.add_argument("kind", metavar="pod|service")
    parser.add_argument("name", nargs="?", default="", metavar="name[.namespace]")
    parser.add_boolean("--ignoreUnmeshed", help="say nothing of what is not in the mesh")
    arguments = parser.parse(argv)
    kind = KINDS.get(arguments.kind)
    if kind is None:
        raise CommandError(f'unknown resource type "{arguments.kind}"', exit_code=EXIT_USAGE)
    if not arguments.name:
        hint = f"istioctl x describe {kind} NAME[.NAMESPACE]"
        raise CommandError(f"expecting {kind} name", hint=hint, exit_code=EXIT_USAGE)
    async with connect(arguments) as session:
        if kind == "pod":
            subject, resources = await asyncio.gather(find_pod(session, arguments.name), collect(session.api))
        else:
            _, name, namespace = split_name(arguments.name, session.default_namespace)
            subject, resources = await asyncio.gather(
                session.api.get("services", name, namespace), collect(session.api)
            )
    view = View(Snapshot(resources), session.default_namespace, ignore_unmeshed=arguments.ignoreUnmeshed)
    resource = Resource({"apiVersion": "v1", **subject, "kind": kind.capitalize()})
    lines = describe_pod(resource, view) if kind == "pod" else describe_service(resource, view)
    for line in lines:
        print(line)
    return 0
