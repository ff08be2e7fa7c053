"""``up``, ``down``, ``status``, ``env``, ``shell``, ``kubectl``, ``istioctl``: the embedded lab and its tools."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from meshlab.errors import LabError, UsageError
from meshlab.labs import DEFAULT_LAB, LabPaths

if TYPE_CHECKING:
    import argparse

    from meshlab.cli.selection import Selection
    from meshlab.cluster.providers.choice import Provider

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

PASSTHROUGH = ("kubectl", "istioctl")
_VALUE_OPTIONS = ("--kubeconfig", "--context", "--course", "--lab")


def register(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Declare this group's commands."""
    up = commands.add_parser("up", parents=[common], help="start the embedded lab and wait until it is ready")
    up.set_defaults(run=run_up)

    down = commands.add_parser("down", parents=[common], help="stop the embedded lab; its objects are kept")
    down.add_argument("--delete", action="store_true", help="remove the lab's state too")
    down.set_defaults(run=run_down)

    status = commands.add_parser("status", parents=[common], help="what the embedded lab is doing")
    status.add_argument("-o", "--output", choices=["text", "json"], default="text")
    status.set_defaults(run=run_status)

    env = commands.add_parser("env", parents=[common], help='export lines for a shell: eval "$(meshlab env)"')
    env.set_defaults(run=run_env)

    shell = commands.add_parser("shell", parents=[common], help="a shell in which kubectl and istioctl reach the lab")
    shell.set_defaults(run=run_shell)

    for name, text in (("kubectl", "the real kubectl, on the lab"), ("istioctl", "the lab's istioctl")):
        tool = commands.add_parser(name, help=text, add_help=False)
        tool.set_defaults(run=run_tool)


def split_passthrough(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split ``meshlab [options] kubectl ARGS`` so that the tool gets its arguments untouched."""
    index = 0
    while index < len(words):
        word = words[index]
        if word in PASSTHROUGH:
            return list(words[: index + 1]), list(words[index + 1 :])
        if not word.startswith("-"):
            break
        index += 2 if word in _VALUE_OPTIONS else 1
    return list(words), []


def lab_of(arguments: Selection | argparse.Namespace) -> LabPaths:
    """The embedded lab that the command line names."""
    return LabPaths(arguments.lab or DEFAULT_LAB)


def provider_of(arguments: Selection | argparse.Namespace) -> Provider:
    """The cluster that the command line names: a kubeconfig's, else the embedded lab's."""
    from meshlab.cluster.providers import choice

    return choice.choose(lab_of(arguments), arguments.kubeconfig, arguments.context)


def environment(arguments: argparse.Namespace) -> Mapping[str, str]:
    """What ``meshlab env`` exports."""
    from meshlab.cluster import tools

    kubeconfig, context = provider_of(arguments).locate()
    return tools.shell_variables(kubeconfig, context, lab_of(arguments))


def run_up(arguments: argparse.Namespace) -> int:
    """Start the embedded lab."""
    from meshlab.cluster.providers import embedded

    if arguments.kubeconfig:
        raise UsageError("up starts the embedded lab", hint="with --kubeconfig there is nothing to start")
    lab = lab_of(arguments)
    show = sys.stderr.isatty()

    def progress(stage: str) -> None:
        if show:
            print(f"  {stage} ...", file=sys.stderr)

    info = embedded.start(lab, on_progress=progress)
    flag = "" if lab.name == DEFAULT_LAB else f"--lab {lab.name} "
    print(f"Lab {lab.name} is ready: {info.server}")
    print(f'  eval "$(meshlab {flag}env)"   kubectl and istioctl in this shell')
    return 0


def run_down(arguments: argparse.Namespace) -> int:
    """Stop the embedded lab."""
    from meshlab.cluster.providers import embedded

    lab = lab_of(arguments)
    was_running = embedded.stop(lab, delete=arguments.delete)
    what = "stopped" if was_running else "was not running"
    print(f"Lab {lab.name} {what}" + (", its state is deleted" if arguments.delete else ""))
    return 0


def run_status(arguments: argparse.Namespace) -> int:
    """Print what the lab is doing; exit code 0 whether it runs or not."""
    from meshlab.cluster import labstatus

    status = labstatus.read(lab_of(arguments))
    if arguments.output == "json":
        print(json.dumps(status, indent=2))
    else:
        print(labstatus.text(status))
    return 0


def run_env(arguments: argparse.Namespace) -> int:
    """Print export lines."""
    for name, value in environment(arguments).items():
        if name == "PATH":
            # Prepend only: the rest of PATH stays the shell's own.
            print(f'export PATH={shlex.quote(value.split(os.pathsep)[0])}:"$PATH"')
        else:
            print(f"export {name}={shlex.quote(value)}")
    return 0


def run_shell(arguments: argparse.Namespace) -> int:
    """Replace this process by a shell with the lab's environment."""
    shell = os.environ.get("SHELL") or "/bin/sh"
    variables = environment(arguments)
    print(
        f"A shell on {variables['KUBECONFIG']}: kubectl, istioctl and curl are ready; exit leaves it.", file=sys.stderr
    )
    _exec(shell, [shell], os.environ | variables)


def run_tool(arguments: argparse.Namespace) -> int:
    """Replace this process by kubectl or the lab's istioctl, on the chosen cluster."""
    from meshlab.cluster import tools

    kubeconfig, context = provider_of(arguments).locate()
    variables = os.environ | {"KUBECONFIG": str(kubeconfig)}
    pinned = [f"--context={context}"] if context else []
    if arguments.command == "kubectl":
        kubectl = str(tools.kubectl())
        _exec(kubectl, ["kubectl", *pinned, *arguments.passed_on], variables)
    _exec(sys.executable, [sys.executable, "-P", "-m", tools.ISTIOCTL_MODULE, *pinned, *arguments.passed_on], variables)


def _exec(program: str, argv: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(program, list(argv), dict(variables))
    except OSError as error:
        raise LabError(
            f"{program} cannot be run: {error.strerror}", hint="meshlab doctor examines this machine"
        ) from error
