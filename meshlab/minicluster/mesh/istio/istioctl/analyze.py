"""``istioctl analyze``: collect resources from the cluster and from files, run the analyzers, print what they found."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.mesh.istio import analysis
from meshlab.minicluster.mesh.istio.analysis import files, report
from meshlab.minicluster.mesh.istio.analysis.messages import LEVELS, MESSAGES, Level
from meshlab.minicluster.mesh.istio.analysis.model import KINDS, Resource
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_ANALYZERS, EXIT_DATA, EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser, duration
from meshlab.minicluster.mesh.istio.istioctl.session import connect

EXTENSIONS = (".json", ".yaml", ".yml")
DEFAULT_GATEWAYS = ("istio-ingressgateway", "istio-egressgateway")


async def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("analyze", "Analyze Istio configuration and print validation messages.")
    parser.add_argument("files", nargs="*", help="YAML or JSON files and directories; - for stdin")
    parser.add_boolean("-L", "--list-analyzers", help="list the analyzers and stop")
    parser.add_boolean("-k", "--use-kube", default=True, help="false analyzes files only")
    parser.add_boolean("-A", "--all-namespaces", help="analyze all namespaces")
    parser.add_boolean("-R", "--recursive", help="go into sub-directories")
    parser.add_boolean("--ignore-unknown", help="do not fail on files that cannot be parsed")
    parser.add_boolean("-v", "--verbose", help="say which analyzers ran")
    parser.add_boolean("--color", default=_color_by_default(), help="colored levels")
    parser.add_argument("-o", "--output", default="log", help="log, json or yaml")
    parser.add_argument("-S", "--suppress", action="append", default=[], metavar="CODE=RESOURCE")
    parser.add_argument("--failure-threshold", type=_level, default="Error", metavar="LEVEL")
    parser.add_argument("--output-threshold", type=_level, default="Info", metavar="LEVEL")
    parser.add_argument("--revision", default="default", help="accepted; the lab's own revision is analyzed")
    parser.add_argument("--timeout", type=duration, default=30.0)
    arguments = parser.parse(argv)
    form = arguments.output.lower()
    if form not in report.FORMATS:
        raise CommandError(
            f"{arguments.output} not a valid option for format. See istioctl analyze --help", exit_code=EXIT_USAGE
        )
    if arguments.list_analyzers:
        for analyzer in analysis.ANALYZERS:
            print(f"* {analyzer.name}:\n    {analyzer.description}")
        return 0
    suppressions = read_suppressions(arguments.suppress)
    namespace = arguments.namespace or "default"
    sources, parse_errors, from_files = _read_files(arguments.files, namespace, recursive=arguments.recursive)
    resources: list[Resource] = []
    if arguments.use_kube:
        async with connect(arguments) as session:
            if not arguments.all_namespaces:
                try:
                    await session.api.get("namespaces", namespace)
                except StatusError as error:
                    if error.code != 404:
                        raise
                    print(f'namespace "{namespace}" not found', file=sys.stderr)
                    return 0
            resources = await collect(session.api)
    else:
        resources = default_resources()
    target = "all namespaces" if arguments.all_namespaces else f"namespace: {namespace}"
    messages = analysis.analyze(
        [*resources, *from_files],
        namespace="" if arguments.all_namespaces else namespace,
        suppressions=suppressions,
    )
    if arguments.verbose:
        print(f"Analyzed resources in {target}\nExecuted analyzers:", file=sys.stderr)
        print("\n".join(f"\t{analyzer.name}" for analyzer in analysis.ANALYZERS) + "\n", file=sys.stderr)
    shown = report.at_least(messages, arguments.output_threshold)
    print(report.render(shown, form, color=arguments.color and form == "log"), flush=True)
    if not shown:
        print(_nothing_found(target, sources, parse_errors), file=sys.stderr)
    if form == "log" and report.at_least(messages, arguments.failure_threshold):
        raise CommandError(
            f"Analyzers found issues when analyzing {target}.\n"
            f"See {report.DOCUMENTATION} for more information about causes and resolutions.",
            exit_code=EXIT_ANALYZERS,
        )
    if form == "log" and parse_errors and not arguments.ignore_unknown:
        raise CommandError("Some files couldn't be parsed.", exit_code=EXIT_DATA)
    return 0


def _nothing_found(target: str, sources: Sequence[str], parse_errors: int) -> str:
    if parse_errors:
        word = "file" if parse_errors == 1 else "files"
        return f"No validation issues found when analyzing {target} (but {parse_errors} {word} could not be parsed)."
    where = "\n".join(sources) if sources else target
    return f"✔ No validation issues found when analyzing {where}."


def _level(text: str) -> Level:
    for level in LEVELS:
        if text.lower() == level.lower():
            return level
    raise ValueError(f"{text!r} is not one of {', '.join(reversed(LEVELS))}")


_level.__name__ = "level"


def _color_by_default() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ


def read_suppressions(values: Sequence[str]) -> list[tuple[str, str]]:
    """(code, resource pattern) of ``--suppress`` values; an unknown code is warned about."""
    found = []
    for value in values:
        code, separator, resource = value.partition("=")
        if not separator or "=" in resource:
            raise CommandError(f"{value} is not a valid suppression value. See istioctl analyze --help")
        if code not in MESSAGES:
            print(
                f"Warning: Supplied message code '{code}' is an unknown message code and will not have any effect.",
                file=sys.stderr,
            )
        found.append((code, resource))
    return found


def _read_files(paths: Sequence[str], namespace: str, *, recursive: bool) -> tuple[list[str], int, list[Resource]]:
    """(names of the files, how many could not be parsed, their resources)."""
    names, errors, resources = [], 0, []
    for name in expand(paths, recursive=recursive):
        names.append(name)
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"could not read {name}: {error}") from error
        try:
            resources += list(files.read(text, name, namespace))
        except files.FileError as error:
            print(f"Error(s) adding files: {error}", file=sys.stderr)
            errors += 1
    return names, errors, resources


def expand(paths: Sequence[str], *, recursive: bool) -> Iterator[str]:
    """The files that the arguments mean: directories opened, other file types skipped aloud."""
    for path in paths:
        if path == "-":
            yield path
            continue
        found = Path(path)
        if not found.exists():
            raise CommandError(f"{path}: no such file or directory")
        if not found.is_dir():
            candidates = [found]
        else:
            candidates = sorted(item for item in found.glob("**/*" if recursive else "*") if item.is_file())
        for item in candidates:
            if item.suffix in EXTENSIONS:
                yield str(item)
            else:
                print(
                    f"Skipping file {item}, recognized file extensions are: [{' '.join(EXTENSIONS)}]", file=sys.stderr
                )


async def collect(api: KubeApi) -> list[Resource]:
    """Everything in the cluster that analyzers look at; kinds that are not served are left out."""
    kinds = [(group, kind, resource) for (group, kind), resource in KINDS.items()]
    lists = await asyncio.gather(*(_list(api, resource) for _, _, resource in kinds))
    return [
        Resource({"apiVersion": f"{group}/v1" if group else "v1", **obj, "kind": kind})
        for (group, kind, _), objects in zip(kinds, lists, strict=True)
        for obj in objects
    ]


async def _list(api: KubeApi, resource: str) -> list[Obj]:
    try:
        return (await api.list(resource)).items
    except StatusError as error:
        if error.code == 404:
            return []
        raise


def default_resources() -> list[Resource]:
    """What an installed Istio would provide, for an analysis of files alone: the gateways' pods and services."""
    resources = []
    for name in DEFAULT_GATEWAYS:
        labels = {"istio": name.removeprefix("istio-"), "app": name}
        proxy = {"containers": [{"name": "istio-proxy"}]}
        metadata = {"name": name, "namespace": "istio-system", "labels": labels}
        ports = [
            {"name": n, "port": p}
            for n, p in (("http-status", 15021), ("http2", 80), ("https", 443), ("tls", 15443), ("tcp", 31400))
        ]
        resources.append(Resource({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": proxy}))
        resources.append(
            Resource(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": metadata,
                    "spec": {"selector": labels, "ports": ports},
                }
            )
        )
    return resources
