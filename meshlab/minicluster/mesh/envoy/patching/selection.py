"""Which patches a proxy gets, and in which order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from meshlab.minicluster.mesh.model import Labels, Mesh, ProxyNode, matches
from meshlab.minicluster.mesh.patches import ANY_CONTEXT, ConfigPatch, PatchSet

INBOUND = "SIDECAR_INBOUND"
OUTBOUND = "SIDECAR_OUTBOUND"
GATEWAY = "GATEWAY"


class Patches:
    """The patches of one proxy.

    Args:
        patches: in the order in which they are applied.
        gateway: whether the proxy is a gateway.
    """

    def __init__(self, patches: Sequence[ConfigPatch], *, gateway: bool) -> None:
        self.gateway = gateway
        self._by_kind: Mapping[str, list[ConfigPatch]] = defaultdict(list)
        for patch in patches:
            self._by_kind[patch.apply_to].append(patch)

    @classmethod
    def of(cls, mesh: Mesh, proxy: ProxyNode, labels: Labels) -> Patches:
        """The patches that a proxy gets: by priority, then the mesh's before the namespace's, then the oldest first."""
        chosen = [
            found
            for found in mesh.patch_sets
            if found.namespace in ("", proxy.namespace) and matches(found.selector, labels)
        ]
        ordered = sorted(chosen, key=_order)
        patches = [patch for found in ordered for patch in found.patches if _for_proxy(patch, proxy)]
        return cls(patches, gateway=proxy.type == "router")

    def __bool__(self) -> bool:
        return bool(self._by_kind)

    def context(self, traffic_direction: str) -> str:
        """The context of a listener of that direction."""
        if self.gateway:
            return GATEWAY
        return INBOUND if traffic_direction == "INBOUND" else OUTBOUND

    def of_kind(self, apply_to: str, context: str) -> Iterable[ConfigPatch]:
        """The patches of a kind for a context."""
        return [patch for patch in self._by_kind.get(apply_to, ()) if patch.context in (context, ANY_CONTEXT)]

    def additions(self, apply_to: str) -> Iterable[ConfigPatch]:
        """What is added to a proxy as a whole."""
        wanted = (GATEWAY,) if self.gateway else (OUTBOUND, INBOUND)
        return [
            patch
            for patch in self._by_kind.get(apply_to, ())
            if patch.operation == "ADD" and patch.context in (*wanted, ANY_CONTEXT)
        ]


def _order(found: PatchSet) -> tuple[int, bool, str, str, str]:
    return (found.priority, found.namespace != "", found.created, found.ref.name, found.ref.namespace)


def _for_proxy(patch: ConfigPatch, proxy: ProxyNode) -> bool:
    if patch.proxy_version:
        try:
            if re.search(patch.proxy_version, proxy.version) is None:
                return False
        except re.error:
            return False
    return all(proxy.metadata.get(key) == value for key, value in patch.proxy_metadata.items())
