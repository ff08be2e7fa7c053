"""``istioctl experimental authz check``: the authorization policies that a proxy enforces, read from its Envoy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser, only_subcommand
from meshlab.minicluster.mesh.istio.istioctl.pods import find_pod
from meshlab.minicluster.mesh.istio.istioctl.proxyconfig.command import Proxy, read_file
from meshlab.minicluster.mesh.istio.istioctl.proxyconfig.dump import ConfigDump, field
from meshlab.minicluster.mesh.istio.istioctl.session import connect
from meshlab.minicluster.mesh.istio.istioctl.table import columns

ANONYMOUS = "_anonymous_match_nothing_"
"""What upstream calls a filter that enforces nothing: a dry run, or an ALLOW policy with no rule that could match."""
ACTIONS = ("DENY", "ALLOW", "LOG")
_POLICY = re.compile(r"ns\[(.+)\]-policy\[(.+)\]-rule\[(.+)\]")
_RBAC = re.compile(r"\.filters\.(http|network)\.rbac\.v3\.RBAC$")


async def run(argv: Sequence[str]) -> int:
    """Run ``authz check POD`` or ``authz check -f FILE``."""
    parser = CommandParser("experimental authz check", "Check AuthorizationPolicy applied in the pod.")
    parser.add_argument("pod", nargs="?", default="", metavar="[type/]name[.namespace]")
    parser.add_argument("-f", "--file", default="", help="read a config dump from a file, - for stdin")
    arguments = parser.parse(only_subcommand(argv, "experimental authz", "check"))
    if not arguments.pod and not arguments.file:
        raise CommandError("check requires pod name or --file parameter", exit_code=EXIT_USAGE)
    if arguments.file:
        document = read_file(arguments.file)
    else:
        async with connect(arguments) as session:
            document = await Proxy(session, await find_pod(session, arguments.pod)).json("config_dump")
    print(columns(policies(ConfigDump.parse(document).listeners()), padding=3), end="")
    return 0


def policies(listeners: Sequence[Obj]) -> list[list[str]]:
    """The rows: action, ``policy.namespace``, and how many of its rules are enforced."""
    found: dict[str, set[str]] = {action: set() for action in ACTIONS}
    rules: dict[str, set[str]] = {}
    for filter_ in _filters(listeners):
        enforced = filter_.get("rules") or {}
        for name in enforced.get("policies") or [""]:
            matched = _POLICY.search(name)
            policy, rule = (f"{matched[2]}.{matched[1]}", matched[3]) if matched else (name or ANONYMOUS, "0")
            found[enforced.get("action", "ALLOW")].add(policy)
            rules.setdefault(policy, set()).add(rule)
    rows = [[action, policy, str(len(rules[policy]))] for action in ACTIONS for policy in sorted(found[action])]
    return [["ACTION", "AuthorizationPolicy", "RULES"], *rows]


def _filters(listeners: Sequence[Obj]) -> Iterator[Obj]:
    """The RBAC filters of all chains, those of connections and those of requests."""
    for listener in listeners:
        for chain in field(listener, "filter_chains") or []:
            for network in chain.get("filters") or []:
                config = field(network, "typed_config") or {}
                inner = [field(http, "typed_config") or {} for http in field(config, "http_filters") or []]
                yield from (each for each in (config, *inner) if _RBAC.search(str(each.get("@type", ""))))
