"""``istioctl version``: of this program, of istiod, of the proxies."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import orjson
import yaml

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl import VERSION, istiod
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser, output_format
from meshlab.minicluster.mesh.istio.istioctl.session import connect

CLIENT = {"version": VERSION, "revision": "meshlab", "golang_version": "", "status": "Clean", "tag": VERSION}


async def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("version", "Print version information of the client, istiod and the proxies.")
    parser.add_argument("-o", "--output", **output_format(("json", "yaml")), help="machine-readable output")
    parser.add_boolean("-s", "--short", default=True, help="false prints every proxy's version")
    parser.add_boolean("--remote", default=True, help="false asks no cluster")
    parser.add_argument("-r", "--revision", default="", help="accepted; all istiods are asked")
    arguments = parser.parse(argv)
    facts: Obj = {"clientVersion": CLIENT}
    failure: CommandError | None = None
    if arguments.remote:
        try:
            async with connect(arguments) as session:
                pods = await session.istiods()
                if not pods:
                    failure = CommandError(
                        f'Istio is not present in the cluster with namespace "{session.istio_namespace}"'
                    )
                else:
                    facts["meshVersion"] = [
                        {"Component": "pilot", "Revision": revision_of(pod), "Info": {"version": image_version(pod)}}
                        for pod in pods
                    ]
                    facts["dataPlaneVersion"] = [
                        {"ID": istiod.qualified_name(entry), "IstioVersion": entry.get("istio_version", "")}
                        for entry in await istiod.sync_status(session)
                    ]
        except CommandError as error:
            failure = error
    if arguments.output == "json":
        print(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode())
    elif arguments.output == "yaml":
        print(yaml.safe_dump(facts, sort_keys=False), end="")
    else:
        print(render(facts, short=arguments.short), end="")
    if failure is not None:
        print(failure.message, file=sys.stderr)
        if failure.hint:
            print(failure.hint, file=sys.stderr)
        return 0 if "not present" in failure.message else failure.exit_code
    return 0


def revision_of(pod: Obj) -> str:
    """The control-plane revision that an istiod pod serves."""
    return str((pod["metadata"].get("labels") or {}).get("istio.io/rev", "default"))


def image_version(pod: Obj) -> str:
    """The version of an istiod pod: its image's tag, which in the lab runs meshlab's own istiod."""
    image = str(pod["spec"]["containers"][0]["image"])
    tag = image.rsplit(":", 1)[1] if ":" in image.rsplit("/", 1)[-1] else "latest"
    return tag if tag.endswith("-meshlab") else f"{tag}-meshlab"


def render(facts: Obj, *, short: bool) -> str:
    """The text form: one line per component, proxies counted by version."""
    lines = [f"client version: {facts['clientVersion']['version']}"]
    versions = [entry["Info"]["version"] for entry in facts.get("meshVersion", [])]
    if len(set(versions)) == 1:
        lines.append(f"control plane version: {versions[0]}")
    else:
        lines += [
            f"{entry['Revision']} control plane version: {entry['Info']['version']}"
            for entry in facts.get("meshVersion", [])
        ]
    if "dataPlaneVersion" in facts:
        proxies = facts["dataPlaneVersion"]
        counts = Counter(entry["IstioVersion"] for entry in proxies)
        if not proxies:
            lines.append("data plane version: none")
        elif short:
            parts = [
                f"{version} ({count} {'proxy' if count == 1 else 'proxies'})"
                for version, count in sorted(counts.items())
            ]
            lines.append("data plane version: " + ", ".join(parts))
        else:
            lines += [f"data plane version: {entry['ID']} {entry['IstioVersion']}" for entry in proxies]
    return "\n".join(lines) + "\n"
