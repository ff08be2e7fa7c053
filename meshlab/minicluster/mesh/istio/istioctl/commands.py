"""``istioctl <command>``: the table of commands, and how their errors reach the person."""

from __future__ import annotations

import asyncio
import difflib
import importlib
import os
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_ERROR, EXIT_USAGE, CommandError, LackingError
from meshlab.minicluster.mesh.istio.istioctl.flags import GLOBAL_VALUE_FLAGS


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the module that holds ``run(arguments) -> int`` (or a coroutine of it), and what it does."""

    module: str
    summary: str
    aliases: tuple[str, ...] = ()
    experimental: bool = False


COMMANDS = {
    "analyze": Command("analyze", "Analyze Istio configuration and print validation messages"),
    "dashboard": Command("dashboard", "Access to Istio web UIs", ("dash", "d")),
    "install": Command(
        "install", "Applies an Istio manifest, installing or reconfiguring Istio on a cluster", ("apply", "upgrade")
    ),
    "kube-inject": Command("kubeinject", "Inject Istio sidecar into Kubernetes pod resources"),
    "manifest": Command("manifest", "Commands related to Istio manifests"),
    "proxy-config": Command(
        "proxyconfig.command", "Retrieve information about proxy configuration from Envoy", ("pc",)
    ),
    "proxy-status": Command("proxystatus", "Retrieves the synchronization status of each Envoy in the mesh", ("ps",)),
    "tag": Command("tag", "Command group used to interact with revision tags"),
    "uninstall": Command("uninstall", "Uninstall Istio from a cluster"),
    "validate": Command("validate", "Validate Istio policy and rules files", ("v",)),
    "version": Command("version", "Prints out build version information"),
    "authz": Command("authz", "Inspect Istio AuthorizationPolicy", (), True),
    "check-inject": Command(
        "checkinject", "Check the injection status or inject-ability of a given resource", (), True
    ),
    "describe": Command("describe", "Describe resource and related Istio configuration", ("des",), True),
    "precheck": Command("precheck", "Check whether Istio can safely be installed or upgraded", (), True),
}
UNAVAILABLE = {
    "admin": "kubectl -n istio-system logs deploy/istiod  shows what istiod does",
    "bug-report": "meshlab doctor  and  kubectl -n istio-system logs deploy/istiod  show what there is to know",
    "completion": "type the commands; this istioctl generates no completion",
    "create-remote-secret": "a lab is one cluster; several clusters need a real Istio",
    "operator": "the in-cluster operator is gone from Istio; use istioctl install",
    "profile": "istioctl manifest generate --set profile=demo  shows one of default, demo, minimal, empty",
    "remote-clusters": "a lab is one cluster; several clusters need a real Istio",
    "verify-install": "istioctl install  waits until everything is ready, and istioctl analyze looks for problems",
    "waypoint": "ambient mode needs a real Istio; this lab runs sidecars",
    "workload": "virtual machines need a real Istio",
    "ztunnel-config": "ambient mode needs a real Istio; this lab runs sidecars",
}
"""What upstream's istioctl has and this one lacks, and what to do instead."""


def main(argv: list[str]) -> int:
    """Run istioctl.

    Args:
        argv: the arguments after the program's name.

    Returns:
        The exit code: 0, 1 for a failure, 64 for wrong usage, 65 for unreadable files, 79 for analyzer findings.
    """
    try:
        return _run(argv)
    except CommandError as error:
        if error.exit_code == EXIT_USAGE or isinstance(error, LackingError):
            _offer_to_the_other(argv)
        print(f"Error: {error.message}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader (head, less) went away: close quietly, as a killed-by-SIGPIPE program would.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130


def _run(argv: list[str]) -> int:
    leading, rest = split_leading(argv)
    if not rest or rest[0] in ("help", "-h", "--help"):
        return _help(rest[1:] if rest and rest[0] == "help" else [])
    name, *arguments = rest
    experimental = name in ("x", "experimental", "exp")
    if experimental:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(overview(experimental=True), end="")
            return 0
        name, *arguments = arguments
    command = find(name, experimental=experimental)
    module = importlib.import_module(f"{__package__}.{command.module}")
    try:
        outcome: int | Coroutine[Any, Any, int] = module.run([*leading, *arguments])
        return outcome if isinstance(outcome, int) else asyncio.run(_reported(outcome))
    except SystemExit as exit_:  # argparse's --help
        return exit_.code if isinstance(exit_.code, int) else EXIT_USAGE


async def _reported(command: Coroutine[Any, Any, int]) -> int:
    """Await a command, turning what the API or the network says into messages."""
    import aiohttp

    from meshlab.minicluster.kubeapi import StatusError

    try:
        return await command
    except StatusError as error:
        raise CommandError(error.message) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CommandError(
            f"the connection to the cluster broke: {error or type(error).__name__}",
            hint="meshlab status  tells whether the lab is up.",
        ) from error


def _offer_to_the_other(argv: list[str]) -> None:
    """What the lab's istioctl does not know goes to the istioctl on PATH, if the cluster is not a lab."""
    leading, rest = split_leading(argv)
    flags = dict(zip(("-c", "--kubeconfig", "--context"), ("", "", ""), strict=True))
    for position, word in enumerate([*leading, *rest]):
        name, separator, value = word.partition("=")
        if name in flags:
            following = [*leading, *rest][position + 1 : position + 2]
            flags[name] = value if separator else "".join(following)
    named = flags["-c"] or flags["--kubeconfig"]
    if not named and not os.environ.get("KUBECONFIG"):
        return
    from meshlab.minicluster.mesh.istio.istioctl import session

    if session.other_istioctl(os.environ.get("PATH", "")) is not None and asyncio.run(
        session.is_foreign(named, flags["--context"])
    ):
        session.hand_over(argv, "")


def split_leading(argv: list[str]) -> tuple[list[str], list[str]]:
    """Split the global flags that stand before the command from the rest."""
    index = 0
    while index < len(argv) and argv[index].startswith("-") and argv[index] not in ("-h", "--help"):
        index += 2 if argv[index] in GLOBAL_VALUE_FLAGS else 1
    return argv[:index], argv[index:]


def find(name: str, *, experimental: bool) -> Command:
    """The command of that name or alias.

    Raises:
        CommandError: there is none; says what to use instead.
    """
    for known, command in COMMANDS.items():
        if name == known or name in command.aliases:
            return command
    if name in UNAVAILABLE:
        raise LackingError(f"the lab's istioctl has no command {name}", hint=f"Instead: {UNAVAILABLE[name]}.")
    prefix = "istioctl experimental" if experimental else "istioctl"
    close = difflib.get_close_matches(name, [*COMMANDS, *UNAVAILABLE], n=3)
    hint = "Did you mean " + " or ".join(close) + "?" if close else "Run 'istioctl --help' for usage."
    raise CommandError(f'unknown command "{name}" for "{prefix}"', hint=hint, exit_code=EXIT_USAGE)


def overview(*, experimental: bool) -> str:
    """The help text: what the commands are."""
    width = max(len(name) for name in COMMANDS) + 2
    usage = "istioctl experimental [command]" if experimental else "istioctl [command]"
    lines = ["The lab's istioctl: Istio's configuration command line utility, on meshlab's cluster.", ""]
    lines += ["Usage:", f"  {usage}", "", "Available Commands:"]
    shown = {name: command for name, command in COMMANDS.items() if command.experimental or not experimental}
    for name, command in sorted(shown.items()):
        if command.experimental and not experimental:
            continue
        lines.append(f"  {name.ljust(width)}{command.summary}")
    if not experimental:
        extra = ", ".join(name for name, command in COMMANDS.items() if command.experimental)
        lines.append(f"  {'experimental'.ljust(width)}Experimental commands (also: x): {extra}")
    lines += ["", "Flags:", "  -c, --kubeconfig FILE   --context NAME   -n, --namespace NS   -i, --istioNamespace NS"]
    lines += ["", "Use 'istioctl [command] --help' for more information about a command."]
    return "\n".join(lines) + "\n"


def _help(words: list[str]) -> int:
    if words:
        return _run([*words, "--help"])
    print(overview(experimental=False), end="")
    return 0
