"""From an image's programs to files on a container's PATH, and from those files to running programs.

A container's bin directory holds a symlink for every host binary that the host has, and for every built-in a small
shell script that starts Python without its site directories (10 ms) and calls the program. ``curl`` has a launcher of
its own: it hands the host's curl a configuration with the pod's source address and the lab's names, which is written
anew only when the name table has changed.

The container's first process takes a shorter way where it can: the supervisor forks and calls `call` with the built-in.
"""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from meshlab.minicluster.images.catalogue import BuiltIn, HostBinary, HostCurl, Image, Program
from meshlab.minicluster.pod import PodContext

Main = Callable[[list[str], PodContext], int]

HOST_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
"""Where host binaries are looked up: the system's directories, never what a user's PATH happens to hold."""
IMAGE_DIRECTORIES = frozenset({"", "/", "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"})
"""Directories in which the public images keep their programs."""


class EmptyCommand(ValueError):
    """Neither the image nor the container says what to run."""


def resolve_entrypoint(image: Image, command: Sequence[str] | None, args: Sequence[str] | None) -> list[str]:
    """The argument list of a container's first process; ``command`` replaces the entrypoint, and with it the cmd.

    Raises:
        EmptyCommand: there is nothing to run.
    """
    argv = [*command, *(args or ())] if command else [*image.entrypoint, *(args or image.command)]
    if not argv:
        raise EmptyCommand("no command specified")
    return argv


def find_program(image: Image, name: str) -> Program | None:
    """The program that a name or an absolute path means in an image; None if image or host lack it."""
    directory, _, base = name.rpartition("/")
    if name.startswith("/") and not directory:
        directory = "/"
    if not holds_programs(image, directory) or ("/" in name and not name.startswith("/")):
        return None
    program = image.programs.get(base)
    if isinstance(program, HostBinary):
        if host_path(program) is not None:
            return program
        return program.fallback
    return program


def holds_programs(image: Image, directory: str) -> bool:
    """Whether programs of the image stand in that directory."""
    return directory in IMAGE_DIRECTORIES or (directory == image.directory and directory != "")


@cache
def host_path(program: HostBinary) -> Path | None:
    """Where the host has the binary; looked up once, as every container of an image asks for all of them."""
    for candidate in program.candidates:
        found = shutil.which(candidate, path=HOST_PATH)
        if found is not None:
            return Path(found)
    return None


def load(program: BuiltIn) -> Main:
    """Import a built-in."""
    module, _, function = program.target.partition(":")
    main: Main = getattr(importlib.import_module(module), function)
    return main


def call(program: BuiltIn, argv: list[str], pod: PodContext) -> int:
    """Run a built-in in this process, which is its own from now on; the exit code.

    An interrupt ends it silently, and so does a reader that has gone away, as with programs of other languages.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        code = load(program)(argv, pod)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return code


def run(target: str, context: str, argv: list[str]) -> int:
    """What the script of a built-in calls."""
    return call(BuiltIn(target), argv, PodContext.load(Path(context)))


def write_programs(image: Image, bin_dir: Path, context_path: Path) -> None:
    """Fill a container's bin directory.

    Args:
        image: the catalogue's row.
        bin_dir: the directory; made if it does not exist.
        context_path: the container's saved `PodContext`, which must exist.
    """
    bin_dir.mkdir(parents=True, exist_ok=True)
    pod = PodContext.load(context_path)
    for name in image.programs:
        program = find_program(image, name)
        path = bin_dir / name
        if isinstance(program, HostCurl):
            _write_script(path, curl_launcher(host_path(program) or Path(name), pod, context_path))
        elif isinstance(program, HostBinary):
            path.unlink(missing_ok=True)
            path.symlink_to(host_path(program) or Path(name))
        elif isinstance(program, BuiltIn):
            _write_script(path, builtin_script(name, program, context_path))


def builtin_script(name: str, program: BuiltIn, context_path: Path) -> str:
    """The shell script of a built-in."""
    code = (
        f"import sys; sys.path[:0] = {_import_path()!r}; "
        "from meshlab.minicluster.images.launch import run; "
        f"sys.exit(run({program.target!r}, {str(context_path)!r}, sys.argv[1:]))"
    )
    return f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS -c {shlex.quote(code)} {shlex.quote(name)} "$@"\n'


def curl_launcher(curl: Path, pod: PodContext, context_path: Path) -> str:
    """The shell script in front of the host's curl.

    The configuration carries the time stamp of the name table plus one nanosecond, so "newer than" means "made from
    this one"; a shell that compares whole seconds only makes it anew every time. ``--next`` forgets what a
    configuration said, so it is read again after each. ``-q`` keeps the host's own ~/.curlrc out. A local port that is
    a unix socket (`pod.local_socket`) is reached through it.
    """
    config = Path(pod.container_dir) / "curl.conf"
    code = (
        f"import sys; sys.path[:0] = {_import_path()!r}; "
        "from meshlab.minicluster.images.curl.config import write_config; "
        f"write_config({str(context_path)!r}, {str(config)!r})"
    )
    refresh = f"{shlex.quote(sys.executable)} -IS -c {shlex.quote(code)} || exit 2"
    return (
        "#!/bin/sh\n"
        f"config={shlex.quote(str(config))}\n"
        f"names={shlex.quote(pod.names_file)} ports={shlex.quote(pod.ports_file)}\n"
        '[ "$config" -nt "$names" ] && [ ! "$ports" -nt "$config" ] || '
        f"{refresh}\n"
        f"{_past_the_sidecar(pod, context_path) if pod.capture else ''}"
        f"sockets={shlex.quote(pod.runtime_dir)} socket=\n"
        "for argument do\n"
        "  shift\n"
        '  set -- "$@" "$argument"\n'
        "  url=${argument#http://}\n"
        "  case $url in localhost:*|127.0.0.1:*) port=${url#*:} port=${port%%[!0-9]*}; "
        '[ -S "$sockets/$port.sock" ] && socket=$sockets/$port.sock ;; esac\n'
        '  case $argument in --next|-:) set -- "$@" -K "$config" ;; esac\n'
        "done\n"
        f'exec {shlex.quote(str(curl))} -q -K "$config" ${{socket:+--unix-socket "$socket"}} "$@"\n'
    )


def _past_the_sidecar(pod: PodContext, context_path: Path) -> str:
    """Lines of the launcher for a pod whose annotations keep some connections from the sidecar."""
    code = (
        f"import sys; sys.path[:0] = {_import_path()!r}; "
        "from meshlab.minicluster.images.curl.config import prepare_direct; "
        f"sys.exit(prepare_direct({str(context_path)!r}, {f'{pod.container_dir}/curl-direct.conf'!r}, sys.argv[1:]))"
    )
    return (
        f'if {shlex.quote(sys.executable)} -IS -c {shlex.quote(code)} "$@"; then\n'
        f"  config={shlex.quote(f'{pod.container_dir}/curl-direct.conf')}\n"
        "  set -- --noproxy '*' \"$@\"\n"
        "fi\n"
    )


def _import_path() -> list[str]:
    """What a Python without site directories needs to find meshlab and its dependencies."""
    own = str(Path(__file__).resolve().parents[3])
    standard = os.path.dirname(os.__file__)  # noqa: PTH120 - the entries of sys.path are strings
    found = [entry for entry in sys.path if entry and entry != standard and Path(entry).is_dir()]
    outside = [entry for entry in found if not (entry.startswith(standard) and "site-packages" not in entry)]
    return list(dict.fromkeys((own, *outside)))


def _write_script(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)
