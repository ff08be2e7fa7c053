"""GatewayClasses: which controllers are Istio's, and what each does for its Gateways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, text

GROUP = "gateway.networking.k8s.io"
CONTROLLER = "istio.io/gateway-controller"
"""The controller whose name stands in statuses."""


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """What a controller does."""

    controller: str
    description: str
    programs: bool = True
    """Whether Gateways of the class are deployed and configured; remote ones are another cluster's."""


BUILT_IN: Mapping[str, ClassInfo] = {
    "istio": ClassInfo(CONTROLLER, "The default Istio GatewayClass"),
    "istio-remote": ClassInfo(
        "istio.io/unmanaged-gateway",
        "Remote to this cluster. Does not deploy or affect configuration.",
        programs=False,
    ),
}
"""The classes that istiod creates."""

BY_CONTROLLER = {info.controller: info for info in BUILT_IN.values()}


def known_classes(objects: Iterable[Obj]) -> dict[str, ClassInfo]:
    """Istio's classes by name; the built-in ones count without an object, unless another controller has the name."""
    found = dict(BUILT_IN)
    for obj in objects:
        name = text(mapping(obj.get("metadata")).get("name"))
        info = BY_CONTROLLER.get(text(mapping(obj.get("spec")).get("controllerName")))
        if info is not None:
            found[name] = info
        else:
            found.pop(name, None)
    return found
