"""From the first word of a command line to what is really run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from meshlab.minicluster.images import launch
from meshlab.minicluster.images.catalogue import BuiltIn, HostBinary, HostCurl, Image


@dataclass(frozen=True, slots=True)
class Resolved:
    """What stands behind a command: a built-in program or a file, one of the two."""

    builtin: str = ""
    path: str = ""


class NotFound(Exception):
    """The command does not exist in the image; the message is the container runtime's."""


def resolve(image: Image, word: str, bin_dir: str) -> Resolved:
    """The program that ``word``, the first of a command line, means in a container of that image.

    Args:
        image: the catalogue's row.
        word: a name, a path of the public image (``/bin/sh`` is the image's ``sh``, whatever the host has there), or
            the path of a file in a volume.
        bin_dir: where the image's programs are, as the container sees it.

    Raises:
        NotFound: the image has no such program.
    """
    directory, slash, name = word.rpartition("/")
    if directory == bin_dir:
        word = name
    elif slash and not launch.holds_programs(image, directory):
        return Resolved(path=word)
    program = launch.find_program(image, word)
    if isinstance(program, BuiltIn):
        return Resolved(builtin=program.target)
    if isinstance(program, HostCurl):
        return Resolved(path=f"{bin_dir}/{name}")  # through its launcher
    host = launch.host_path(program) if isinstance(program, HostBinary) else None
    if host is None:
        reason = f"stat {word}: no such file or directory" if slash else "executable file not found in $PATH"
        raise NotFound(f'exec: "{word}": {reason}')
    return Resolved(path=os.path.realpath(host))


def builtin_modules(images: tuple[Image, ...]) -> list[str]:
    """The modules behind the built-in programs of these images, sorted."""
    programs = [program for image in images for program in image.programs.values()]
    built_in = [one if isinstance(one, BuiltIn) else one.fallback for one in programs]
    return sorted({one.target.partition(":")[0] for one in built_in if one})


def write_bin(image: Image, container_dir: Path) -> None:
    """Make a container's ``bin`` directory; its ``context.json`` must be there."""
    launch.write_programs(image, container_dir / "bin", container_dir / "context.json")
