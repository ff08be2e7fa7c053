"""Which namespaces istiod takes notice of (``meshConfig.discoverySelectors``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.labels import selects
from meshlab.minicluster.mesh.istio.reading import label_selector, mapping, objects, string_map, text


def discovered(resources: Mapping[str, Sequence[Obj]], mesh_config: Mapping[str, Any]) -> Mapping[str, Sequence[Obj]]:
    """The resources of the namespaces that one of the selectors selects; all of them if there are none.

    What belongs to no namespace stays. Istio's own namespace is no exception, as upstream.
    """
    selectors = objects(mesh_config.get("discoverySelectors"))
    if not selectors:
        return resources
    seen = {""}
    for namespace in resources.get("namespaces", ()):
        labels = string_map(mapping(namespace.get("metadata")).get("labels"))
        if any(selects(label_selector(selector), labels) for selector in selectors):
            seen.add(text(mapping(namespace.get("metadata")).get("name")))

    def kept(obj: Obj) -> bool:
        return text(mapping(obj.get("metadata")).get("namespace")) in seen

    return {resource: [obj for obj in found if kept(obj)] for resource, found in resources.items()}
