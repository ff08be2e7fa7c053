"""In which form a client wants its answer: objects, a Table, or metadata only; JSON or YAML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meshlab.minicluster.apiserver import statuses

Shape = Literal["object", "table", "partial"]

JSON = "application/json"
YAML = "application/yaml"
SERVED = (JSON, YAML)
_ANYTHING = ("*/*", "application/*", JSON)
_SHAPES: dict[str, Shape] = {
    "Table": "table",
    "PartialObjectMetadata": "partial",
    "PartialObjectMetadataList": "partial",
}


@dataclass(frozen=True, slots=True)
class Format:
    """The form of an answer."""

    shape: Shape = "object"
    media_type: str = JSON


def negotiate(accept: str) -> Format:
    """The first form among those of an ``Accept`` header that is served; protobuf is not.

    Raises:
        StatusError: 406 if none is.
    """
    if not accept.strip():
        return Format()
    for part in accept.split(","):
        media_type, *parameters = (item.strip() for item in part.split(";"))
        values = dict(item.split("=", 1) for item in parameters if "=" in item)
        if media_type in _ANYTHING:
            wanted = values.get("as")
            if wanted is None:
                return Format()
            shape = _SHAPES.get(wanted)
            if shape is not None and values.get("g") == "meta.k8s.io" and values.get("v") == "v1":
                return Format(shape)
        elif media_type == YAML and "as" not in values:
            return Format("object", YAML)
    raise statuses.not_acceptable(SERVED)


def accepts_discovery_v2(accept: str) -> bool:
    """Whether the client understands aggregated discovery in its stable version.

    It must be named exactly: older kubectls ask for v2beta1 only and cannot read the other.
    """
    for part in accept.split(","):
        values = {item.strip() for item in part.split(";")}
        if {"g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"} <= values:
            return True
    return False
