"""``istioctl uninstall``: remove a revision, or with ``--purge`` everything that an install brought."""

from __future__ import annotations

from collections.abc import Sequence

from meshlab.minicluster.kubeapi import Obj, object_key
from meshlab.minicluster.mesh.istio.istioctl import cluster
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.install import confirm, read_spec
from meshlab.minicluster.mesh.istio.istioctl.session import connect
from meshlab.minicluster.mesh.istio.manifests.render import COMPONENT_LABEL


async def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("uninstall", "Uninstall Istio from the lab.")
    parser.add_boolean("--purge", help="remove everything of Istio, its CRDs and their objects too")
    parser.add_argument("-r", "--revision", default="", help="remove this revision's control plane only")
    parser.add_argument("-f", "--filename", default="", help="the IstioOperator file that was installed")
    parser.add_boolean("-y", "--skip-confirmation", help="do not ask")
    parser.add_boolean("--force", help="accepted; nothing is validated")
    arguments = parser.parse(argv)
    if not (arguments.purge or arguments.revision or arguments.filename):
        raise CommandError(
            "at least one of the --revision (or --remote), --filename or --purge flags must be set",
            exit_code=EXIT_USAGE,
        )
    if sum(map(bool, (arguments.purge, arguments.revision, arguments.filename))) > 1:
        raise CommandError("cannot use --purge, --revision and --filename at the same time", exit_code=EXIT_USAGE)
    revision = arguments.revision
    if arguments.filename:
        revision = read_spec([], [arguments.filename], "").revision
    async with connect(arguments) as session:
        objects = await cluster.installed(session.api, revision, definitions=arguments.purge)
        if revision:
            objects = [obj for obj in objects if obj["metadata"]["labels"].get(COMPONENT_LABEL) != "Base"]
        if not objects:
            what = f"revision {revision}" if revision else "Istio"
            raise CommandError(f"{what} is not installed here: nothing carries its labels")
        if not arguments.skip_confirmation:
            what = f"revision {revision}" if revision else "cluster"
            if not confirm(f"All Istio resources will be pruned from the {what}\nProceed? (y/N) "):
                print("Cancelled.")
                return 1
        await cluster.delete(session.api, objects, _report)
    print("✔ Uninstall complete")
    return 0


def _report(obj: Obj) -> None:
    namespace, name = object_key(obj)
    print(f"  Removed {obj['kind']}:{namespace}:{name}.")
