"""Which image names the lab knows, and what is inside each.

An `Image` is a row: names, entrypoint, environment and the programs on its PATH. A program is either *built in* (a
Python function that runs in a forked child of the supervisor) or a *host binary* of the same name where the host has
one.

The rows are in `rows`; adding an image is a row there and, for a new program, a file beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from meshlab.minicluster.images.references import familiar_name, parse_reference


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A program that meshlab ships: ``module:function`` with signature ``(argv: list[str], pod: PodContext) -> int``.

    ``argv[0]`` is the name it was called by. Standard streams, environment and working directory are the container's;
    the return value is the exit code. SIGTERM keeps the default action of a container's first process unless handled.
    """

    target: str


@dataclass(frozen=True, slots=True)
class HostBinary:
    """A program of the host, looked up in order; ``fallback`` is used where the host has none of them.

    ``fallback`` None means that the image then lacks the program, and exec says so as upstream does.
    """

    candidates: tuple[str, ...]
    fallback: BuiltIn | None = None


@dataclass(frozen=True, slots=True)
class HostCurl(HostBinary):
    """The host's curl behind a launcher that tells it the pod's address and the lab's names (`launch`)."""


Program = BuiltIn | HostBinary


@dataclass(frozen=True, slots=True)
class Image:
    """One row of the catalogue."""

    names: tuple[str, ...]
    """Repositories without tag, fully qualified: ``docker.io/library/nginx``."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, Program] = field(default_factory=dict)
    directory: str = ""
    """Where its programs are too, beside the usual directories: ``/opt/kiali``."""
    working_dir: str = "/"
    sidecar: bool = False
    """Whether its container is a mesh proxy: it owns the pod IP, and the other containers hide behind it."""


def lookup(image_ref: str) -> Image | None:
    """The image that a container's ``image`` names; None if the catalogue has none of that name. Any tag will do.

    Raises:
        InvalidReference: the text is no image reference.
    """
    return _by_repository().get(parse_reference(image_ref).repository)


def known_images() -> list[str]:
    """One name for each image, as people write it, for messages that say which images exist."""
    return sorted({familiar_name(image.names[0]) for image in _by_repository().values()})


def image_name_for_people(image_ref: str) -> str:
    """A reference without the parts that Docker fills in: ``nginx:1.29`` for ``docker.io/library/nginx:1.29``."""
    reference = parse_reference(image_ref)
    return f"{reference.familiar}:{reference.tag}" if reference.tag else reference.familiar


@cache
def _by_repository() -> dict[str, Image]:
    from meshlab.minicluster.images.rows import IMAGES

    return {name: image for image in IMAGES for name in image.names}
