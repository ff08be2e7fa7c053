"""The sub-commands of ``proxy-config``: fetch from the pod's proxy or a file, filter, print."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError, LackingError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.pods import find_pod, proxy_container
from meshlab.minicluster.mesh.istio.istioctl.proxyconfig import tables
from meshlab.minicluster.mesh.istio.istioctl.proxyconfig.dump import ConfigDump, field
from meshlab.minicluster.mesh.istio.istioctl.proxyconfig.output import camel, dump, plain
from meshlab.minicluster.mesh.istio.istioctl.session import Session, connect
from meshlab.minicluster.mesh.istio.istioctl.table import columns

KINDS = {
    "all": ("a",),
    "bootstrap": ("b",),
    "cluster": ("clusters", "c"),
    "endpoint": ("endpoints", "ep"),
    "listener": ("listeners", "l"),
    "log": ("o",),
    "route": ("routes", "r"),
    "secret": ("secrets", "s"),
}
LACKING = {
    "ecds": "the lab's proxies get no extension configuration; use  proxy-config listener -o json",
    "eds": "use  proxy-config endpoint",
    "rootca-compare": "compare the CA rows of  proxy-config secret  of the two pods",
}
LOG_LEVELS = ("trace", "debug", "info", "warning", "error", "critical", "off")


async def run(argv: Sequence[str]) -> int:
    """Run ``proxy-config <kind> [pod]``."""
    kind, rest = sub_command(list(argv))
    parser = _parser(kind)
    arguments = parser.parse(rest)
    if not arguments.pod and not arguments.file:
        raise CommandError(f"{kind} requires pod name or --file parameter", exit_code=EXIT_USAGE)
    if arguments.pod and arguments.file:
        raise CommandError(f"{kind} takes a pod name or --file, not both", exit_code=EXIT_USAGE)
    if arguments.file:
        document = read_file(arguments.file)
        print(show(kind, document, document, arguments), end="")
        return 0
    async with connect(arguments) as session:
        pod = await find_pod(session, arguments.pod)
        proxy = Proxy(session, pod)
        if kind == "log":
            print(await _log(proxy, arguments), end="")
            return 0
        needs_config, needs_clusters = kind != "endpoint", kind in ("endpoint", "all")
        config = (
            await proxy.json("config_dump?include_eds" if kind in ("all", "bootstrap") else "config_dump")
            if needs_config
            else {}
        )
        statuses = await proxy.json("clusters?format=json") if needs_clusters else {}
    print(show(kind, config, statuses, arguments), end="")
    return 0


def sub_command(argv: list[str]) -> tuple[str, list[str]]:
    """The kind that is asked for, and the other arguments.

    Raises:
        CommandError: there is no such kind.
    """
    from meshlab.minicluster.mesh.istio.istioctl.commands import split_leading

    leading, rest = split_leading(argv)
    name = rest[0] if rest else ""
    if name in ("", "-h", "--help"):
        kinds = ", ".join(KINDS)
        if not name:
            raise CommandError(f"proxy-config needs to know what to show: {kinds}", exit_code=EXIT_USAGE)
        print(f"istioctl proxy-config KIND [type/]name[.namespace]\n\nKinds: {kinds}; each has --help.")
        raise SystemExit(0)
    for kind, aliases in KINDS.items():
        if name == kind or name in aliases:
            return kind, [*leading, *rest[1:]]
    if name in LACKING:
        raise LackingError(f"the lab's istioctl has no proxy-config {name}", hint=f"Instead: {LACKING[name]}.")
    raise CommandError(
        f'unknown command "{name}" for "istioctl proxy-config"',
        hint=f"there are {', '.join(KINDS)}",
        exit_code=EXIT_USAGE,
    )


def _parser(kind: str) -> CommandParser:
    parser = CommandParser(f"proxy-config {kind}", f"Show the {kind} configuration of an Envoy.")
    parser.add_argument("pod", nargs="?", default="", metavar="[type/]name[.namespace]")
    parser.add_argument(
        "-f", "--file", default="", help="read a config dump (or clusters?format=json) from a file, - for stdin"
    )
    parser.add_argument(
        "-o", "--output", default="", choices=["", "json", "yaml", "short", "table"], help="json, yaml or short"
    )
    parser.add_argument("--proxy-admin-port", type=int, default=15000, help="accepted; the lab asks the agent")
    if kind in ("cluster", "all"):
        parser.add_argument("--fqdn", default="")
        parser.add_argument("--subset", default="")
        parser.add_argument("--direction", default="")
    if kind in ("cluster", "listener", "endpoint", "all"):
        parser.add_argument("--port", type=int, default=0)
    if kind in ("listener", "endpoint", "all"):
        parser.add_argument("--address", default="")
    if kind in ("listener", "all"):
        parser.add_argument("--type", default="")
    if kind in ("route", "all"):
        parser.add_argument("--name", default="")
    if kind in ("listener", "route", "all"):
        parser.add_boolean("--verbose", default=True)
    if kind == "endpoint":
        parser.add_argument("--cluster", default="")
        parser.add_argument("--status", default="")
    if kind == "log":
        parser.add_argument("--level", default="")
        parser.add_boolean("-r", "--reset")
    return parser


class Proxy:
    """The proxy of a pod, asked through its agent."""

    def __init__(self, session: Session, pod: Obj) -> None:
        self._session = session
        self._pod = pod
        self._container = proxy_container(pod)

    @property
    def name(self) -> str:
        """``pod.namespace``."""
        metadata = self._pod["metadata"]
        return f"{metadata['name']}.{metadata['namespace']}"

    async def text(self, path: str, method: str = "GET") -> str:
        """The answer of Envoy's admin interface."""
        metadata = self._pod["metadata"]
        result = await self._session.api.exec(
            metadata["namespace"], metadata["name"], self._container, ["pilot-agent", "request", method, path]
        )
        if result.exit_code != 0:
            reason = (result.stderr or result.stdout).decode(errors="replace").strip()
            raise CommandError(
                f"failed to execute command on {self.name}: {reason}",
                hint=f"kubectl -n {metadata['namespace']} logs {metadata['name']} -c istio-proxy  shows its log.",
            )
        return result.stdout.decode(errors="replace")

    async def json(self, path: str) -> Any:
        """The answer, parsed."""
        text = await self.text(path)
        try:
            return json.loads(text)
        except ValueError as error:
            raise CommandError(f"{self.name} answered {path} with something else than JSON: {text[:200]}") from error


def read_file(path: str) -> Any:
    """A dump from a file or stdin."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
    except OSError as error:
        raise CommandError(f"could not read {path}: {error.strerror}") from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"{path} is not JSON: {error}") from error


def show(kind: str, config: Any, statuses: Any, arguments: argparse.Namespace) -> str:
    """The text of one sub-command.

    Args:
        kind: a key of `KINDS`.
        config: what ``/config_dump`` returned.
        statuses: what ``/clusters?format=json`` returned.
        arguments: the parsed flags: filters, ``output``, ``verbose``.
    """
    form = arguments.output if arguments.output in ("json", "yaml") else ""
    names = tables.Filters.__slots__
    filters = tables.Filters(**{name: getattr(arguments, name) for name in names if getattr(arguments, name, None)})
    verbose = bool(getattr(arguments, "verbose", True)) and arguments.output != "short"
    if kind == "endpoint":
        return _endpoints(statuses, filters, form)
    parsed = ConfigDump.parse(config)
    if kind == "all":
        return _all(config, parsed, statuses, filters, form, verbose=verbose)
    if kind == "bootstrap":
        return dump(camel(parsed.bootstrap()), form or "json")
    if kind == "secret":
        if form:
            return dump(camel(parsed.section("SecretsConfigDump")), form)
        return columns(tables.secrets(parsed.secrets(), datetime.now(UTC)), padding=5)
    if kind == "cluster":
        chosen = [item for item in parsed.clusters() if filters.cluster_matches(item)]
        return dump(camel(plain(chosen)), form) if form else columns(tables.clusters(chosen), padding=5)
    if kind == "listener":
        chosen = [item for item in parsed.listeners() if filters.listener_matches(item)]
        return (
            dump(camel(plain(chosen)), form) if form else columns(tables.listeners(chosen, verbose=verbose), padding=1)
        )
    if kind == "route":
        chosen = [item for item in parsed.routes() if filters.name in ("", item.get("name"))]
        return dump(camel(plain(chosen)), form) if form else columns(tables.routes(chosen, verbose=verbose), padding=5)
    raise CommandError(f"proxy-config {kind} reads a live proxy, not a file")


def _endpoints(statuses: Any, filters: tables.Filters, form: str) -> str:
    entries = field(statuses, "cluster_statuses") if isinstance(statuses, dict) else None
    if not isinstance(entries, list):
        raise CommandError("endpoints are read from Envoy's  clusters?format=json, and this is something else")
    if form:
        kept = [entry for entry in entries if filters.cluster in ("", entry.get("name"))]
        return dump(camel(kept), form)
    chosen = [item for item in tables.endpoints(entries) if filters.endpoint_matches(item)]
    return columns(tables.endpoint_rows(chosen), padding=5)


def _all(config: Any, parsed: ConfigDump, statuses: Any, filters: tables.Filters, form: str, *, verbose: bool) -> str:
    if form:
        return dump(camel(config), form)
    parts = [
        columns(tables.clusters([item for item in parsed.clusters() if filters.cluster_matches(item)]), padding=5),
        columns(
            tables.listeners([item for item in parsed.listeners() if filters.listener_matches(item)], verbose=verbose),
            padding=1,
        ),
        columns(
            tables.routes(
                [item for item in parsed.routes() if filters.name in ("", item.get("name"))], verbose=verbose
            ),
            padding=5,
        ),
        columns(tables.secrets(parsed.secrets(), datetime.now(UTC)), padding=5),
    ]
    if isinstance(statuses, dict) and "cluster_statuses" in statuses:
        parts.append(_endpoints(statuses, filters, ""))
    return "\n".join(parts)


async def _log(proxy: Proxy, arguments: argparse.Namespace) -> str:
    paths = ["logging"]
    if arguments.reset:
        paths = ["logging?level=warning"]
    elif arguments.level:
        paths = log_paths(arguments.level)
    text = ""
    for path in paths:
        text = await proxy.text(path, "POST")
    return f"{proxy.name}:\n{text.rstrip()}\n"


def log_paths(level: str) -> list[str]:
    """The admin requests for ``--level``: ``debug`` for all loggers, ``http:debug,rbac:trace`` for some."""
    paths = []
    for item in level.split(","):
        logger, _, wanted = item.rpartition(":")
        if wanted not in LOG_LEVELS:
            raise CommandError(
                f'unrecognized logging level: "{wanted}"; there are {", ".join(LOG_LEVELS)}', exit_code=EXIT_USAGE
            )
        if not re.fullmatch(r"[a-z0-9_.]*", logger):
            raise CommandError(f'unrecognized logger name: "{logger}"', exit_code=EXIT_USAGE)
        paths.append(f"logging?{logger or 'level'}={wanted}")
    return paths
