"""Image references as Docker reads them: ``[registry/]repository[:tag][@digest]``.

Grammar: github.com/distribution/reference, ``reference.ParseNormalizedNamed``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_REGISTRY = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REGISTRY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")


class InvalidReference(ValueError):
    """The text is no image reference; upstream's status reason is ``InvalidImageName``."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference."""

    repository: str
    """Fully qualified: ``docker.io/library/nginx``."""
    tag: str = ""
    digest: str = ""

    @property
    def familiar(self) -> str:
        """The repository as people write it: ``nginx``, ``curlimages/curl``, ``ghcr.io/x/y``."""
        return familiar_name(self.repository)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else "" if self.digest else ":latest"
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Read a reference, with Docker's defaults for what is left out.

    Raises:
        InvalidReference: the text does not follow the grammar.
    """
    name, _, digest = text.partition("@")
    if digest and not _DIGEST.fullmatch(digest):
        raise InvalidReference(f'couldn\'t parse image name "{text}": invalid reference format')
    head, slash, tail = name.rpartition("/")
    last, colon, tag = tail.partition(":")
    repository = f"{head}{slash}{last}"
    if colon and not _TAG.fullmatch(tag):
        raise InvalidReference(f'couldn\'t parse image name "{text}": invalid reference format')
    registry, _, path = repository.partition("/")
    if not path or not ("." in registry or ":" in registry or registry == "localhost" or registry != registry.lower()):
        registry, path = DEFAULT_REGISTRY, repository
    if registry in {"index.docker.io", "registry-1.docker.io"}:
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    if not _PATH.fullmatch(path) or not _REGISTRY.fullmatch(registry):
        lower = " : repository name must be lowercase" if path != path.lower() else ""
        raise InvalidReference(f'couldn\'t parse image name "{text}": invalid reference format{lower}')
    return Reference(f"{registry}/{path}", tag, digest)


def familiar_name(repository: str) -> str:
    """A fully qualified repository without the parts that Docker fills in."""
    return repository.removeprefix(f"{DEFAULT_REGISTRY}/library/").removeprefix(f"{DEFAULT_REGISTRY}/")
