"""``istioctl proxy-status``: which proxies istiod serves, and whether each has what was last sent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import orjson
import yaml

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl import istiod
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser, output_format
from meshlab.minicluster.mesh.istio.istioctl.pods import split_name
from meshlab.minicluster.mesh.istio.istioctl.session import connect
from meshlab.minicluster.mesh.istio.istioctl.table import columns

TYPES = (
    ("CDS", "cluster", "Cluster"),
    ("LDS", "listener", "Listener"),
    ("EDS", "endpoint", "ClusterLoadAssignment"),
    ("RDS", "route", "RouteConfiguration"),
    ("ECDS", "extensionconfig", "TypedExtensionConfig"),
    ("SDS", "secret", "Secret"),
)
"""Short name, prefix of syncz's ``*_sent`` and ``*_acked`` fields, last word of the type URL."""


async def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("proxy-status", "Show the synchronization status of each Envoy in the mesh.")
    parser.add_argument("proxy", nargs="?", default="", metavar="[type/]name[.namespace]")
    parser.add_argument("-o", "--output", **output_format(("json", "yaml", "table")), help="output format")
    parser.add_argument("-v", "--verbosity", nargs="?", const="1", default="0", help="one column per xDS type")
    parser.add_argument("-r", "--revision", default="", help="accepted; all istiods are asked")
    arguments = parser.parse(argv)
    async with connect(arguments) as session:
        proxies = await istiod.sync_status(session)
        if arguments.proxy:
            kind, name, namespace = split_name(arguments.proxy, session.default_namespace)
            if kind not in ("", "pod", "pods", "po"):
                from meshlab.minicluster.mesh.istio.istioctl.pods import find_pod

                name = (await find_pod(session, arguments.proxy))["metadata"]["name"]
            proxies = [entry for entry in proxies if istiod.qualified_name(entry) == f"{name}.{namespace}"]
            if not proxies:
                raise CommandError(
                    f"proxy {name}.{namespace} is not connected to istiod",
                    hint="Is the pod injected and ready? istioctl proxy-status  lists those that are connected.",
                )
        elif session.namespace:
            suffix = f".{session.namespace}"
            proxies = [entry for entry in proxies if istiod.qualified_name(entry).endswith(suffix)]
    if arguments.output == "json":
        print(orjson.dumps(proxies, option=orjson.OPT_INDENT_2).decode())
    elif arguments.output == "yaml":
        print(yaml.safe_dump(proxies, sort_keys=False), end="")
    elif not proxies:
        print("No proxies are connected to istiod.", file=sys.stderr)
    else:
        verbose = arguments.verbosity not in ("0", "")
        print(render(proxies, verbose=verbose, now=datetime.now(UTC)), end="")
        for line in problems(proxies):
            print(line, file=sys.stderr)
    return 0


def render(proxies: Sequence[Obj], *, verbose: bool, now: datetime) -> str:
    """The table: short with the subscribed types in one cell, or verbose with one column per type."""
    if not verbose:
        rows = [["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"]]
        for entry in proxies:
            subscribed = [short for short, prefix, _ in TYPES if entry.get(f"{prefix}_sent")]
            types = f"{len(subscribed)} ({','.join(subscribed)})"
            rows.append([*_identity(entry), entry["istiod"], entry.get("istio_version", ""), types])
        return columns(rows, padding=5)
    shown = [kind for kind in TYPES if kind[0] != "SDS" or any(entry.get("secret_sent") for entry in proxies)]
    rows = [["NAME", "CLUSTER", "ISTIOD", "VERSION", *(short for short, _, _ in shown)]]
    for entry in proxies:
        states = [state(entry, prefix, type_name, now) for _, prefix, type_name in shown]
        rows.append([*_identity(entry), entry["istiod"], entry.get("istio_version", ""), *states])
    return columns(rows, padding=5)


def _identity(entry: Obj) -> list[str]:
    return [istiod.qualified_name(entry), str(entry.get("cluster_id", ""))]


def state(entry: Obj, prefix: str, type_name: str, now: datetime) -> str:
    """SYNCED, STALE, NOT SENT or ERROR, with the age of the last acknowledgement where istiod tells it."""
    for config in entry.get("generic_xds_configs") or []:
        if str(config.get("type_url", "")).endswith(f".{type_name}"):
            word = str(config.get("config_status", "NOT SENT")).replace("NACK", "ERROR").replace("_", " ")
            updated = config.get("last_updated")
            if word == "SYNCED" and updated:
                return f"SYNCED ({_age(now, datetime.fromisoformat(updated))})"
            return word
    sent, acked = entry.get(f"{prefix}_sent"), entry.get(f"{prefix}_acked")
    if not sent:
        return "NOT SENT"
    if sent == acked:
        return "SYNCED"
    return "STALE" if acked else "STALE (Never Acknowledged)"


def _age(now: datetime, then: datetime) -> str:
    seconds = max(0, int((now - then).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def problems(proxies: Sequence[Obj]) -> list[str]:
    """A line for every resource that a proxy refused."""
    return [
        f"Warning: {istiod.qualified_name(entry)} rejected {str(problem.get('type_url', '')).rsplit('.', 1)[-1]} "
        f"{problem.get('name')}: {problem.get('detail')}"
        for entry in proxies
        for problem in entry.get("problems") or []
    ]
