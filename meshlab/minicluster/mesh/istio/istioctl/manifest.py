"""``istioctl manifest generate``: print what ``install`` would apply; no cluster needed."""

from __future__ import annotations

from collections.abc import Sequence

from meshlab.minicluster.mesh.istio.istioctl import VERSION
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser, only_subcommand
from meshlab.minicluster.mesh.istio.istioctl.install import add_spec_flags, read_spec
from meshlab.minicluster.mesh.istio.manifests.options import OptionsError
from meshlab.minicluster.mesh.istio.manifests.render import render


def run(argv: Sequence[str]) -> int:
    """Run ``manifest <subcommand>``."""
    parser = CommandParser("manifest generate", "Print the manifests of an installation.")
    add_spec_flags(parser)
    parser.add_argument("--component", action="append", default=[], help="only these components")
    arguments = parser.parse(only_subcommand(argv, "manifest", "generate"))
    spec = read_spec(arguments.settings, arguments.files, arguments.revision, arguments.manifests)
    try:
        components = render(spec, version=VERSION)
    except OptionsError as error:
        raise CommandError(str(error)) from error
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    for component in components:
        if arguments.component and component.name not in arguments.component:
            continue
        for obj in component.objects:
            print(yaml.dump(obj, Dumper=dumper, sort_keys=False, allow_unicode=True), end="---\n")
    return 0
