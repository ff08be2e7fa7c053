"""Query parameters and containers, as the pod subresources read them."""

from __future__ import annotations

from meshlab.minicluster.kubeapi import Obj, StatusError

_FALSE = {"", "0", "f", "F", "false", "FALSE", "False"}


def parse_bool(value: str | None) -> bool:
    """A boolean as the API server reads it: anything but a form of "false" is true."""
    return value is not None and value not in _FALSE


def choose_container(pod: Obj, requested: str) -> str:
    """The container that a request means.

    Raises:
        StatusError: 400, no such container, or none named where there are several.
    """
    spec = pod["spec"]
    name = pod["metadata"]["name"]
    containers = [container["name"] for container in spec.get("containers") or []]
    init_containers = [container["name"] for container in spec.get("initContainers") or []]
    ephemeral = [container["name"] for container in spec.get("ephemeralContainers") or []]
    if requested:
        if requested not in (*containers, *init_containers, *ephemeral):
            raise StatusError(400, "BadRequest", f"container {requested} is not valid for pod {name}")
        return requested
    if len(containers) == 1:
        return str(containers[0])
    message = f"a container name must be specified for pod {name}"
    if containers:
        message += f", choose one of: [{' '.join(containers)}]"
        if init_containers:
            message += f" or one of the init containers: [{' '.join(init_containers)}]"
    raise StatusError(400, "BadRequest", message)
