"""xDS resources as they go over the wire: bytes with a version that is a hash of their content.

Equal content has an equal version in every proxy, in every replica and after a restart; so a proxy that reconnects and
tells what it has is sent only what differs. Packing is the expensive part (JSON to protobuf), so equal resources are
packed once and shared for as long as somebody holds them.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from weakref import WeakValueDictionary

import orjson
from google.protobuf.message import Message

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh import proto
from meshlab.minicluster.mesh.xds.identity import ByIdentity

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
EXTENSION = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"

TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, EXTENSION)
"""Every type that is served, in make-before-break order."""

WILDCARD_TYPES = frozenset({CLUSTER, LISTENER})
"""Types of which a proxy takes all there are, without naming them."""

YIELD_AFTER_S = 0.005
"""How long packing may keep the event loop before other streams get their turn."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Resource:
    """One packed resource."""

    type_url: str
    version: str
    """A hash of the content."""
    payload: bytes
    """The serialised message, without its Any."""


Snapshot = Mapping[str, Mapping[str, Resource]]
"""Everything one proxy should have: type URL -> resource name -> resource. A type that is absent is empty."""


@dataclass(slots=True)
class Packed:
    """A snapshot, and the resources that could not be packed: (type URL, name) -> what is wrong with them."""

    snapshot: dict[str, dict[str, Resource]]
    invalid: dict[tuple[str, str], str] = field(default_factory=dict)


class Known:
    """What was packed of the very same objects, in this push and the one before: proxies share most of theirs.

    Args:
        earlier: of the push before.
    """

    def __init__(self, earlier: Known | None = None) -> None:
        self.resources: ByIdentity[Resource] = ByIdentity(earlier.resources if earlier else None)
        self.types: ByIdentity[dict[str, Resource]] = ByIdentity(earlier.types if earlier else None)
        """Of all resources of a type that a proxy has."""


PARTS = {ROUTE: ("virtual_hosts", "envoy.config.route.v3.VirtualHost")}
"""Types of which one resource grows with the mesh: the repeated field that makes it grow, and the type of its items."""

KNOWN_PARTS = 2048


class ResourceCache:
    """Packs resources, each distinct one once."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, Resource] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def pack(self, type_url: str, value: Obj) -> Resource:
        """The resource for a dict; the same object for equal dicts as long as one is in use.

        Raises:
            InvalidResource: the dict does not fit the type.
        """
        content = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        digest = hashlib.blake2b(content, digest_size=16, key=type_url[-64:].encode()).digest()
        resource = self._known.get(digest)
        if resource is None:
            payload = _message(type_url, value).SerializeToString(deterministic=True)
            resource = Resource(type_url, digest.hex()[:16], payload)
            self._known[digest] = resource
        return resource

    async def pack_all(self, resources: Mapping[str, Mapping[str, Obj]], known: Known | None = None) -> Packed:
        """Pack what ``mesh.envoy.build`` made, giving way to other tasks every few milliseconds.

        Args:
            resources: type URL -> name -> resource.
            known: what was packed already; it is added to.
        """
        known = Known() if known is None else known
        result = Packed({})
        resume_at = time.perf_counter() + YIELD_AFTER_S
        for type_url, named in resources.items():
            packed = known.types.get(named)
            if packed is None:
                packed = {}
                for name, value in named.items():
                    resource = known.resources.get(value)
                    try:
                        packed[name] = resource or known.resources.put(value, self.pack(type_url, value))
                    except proto.InvalidResource as error:
                        result.invalid[type_url, name] = str(error)
                    if time.perf_counter() >= resume_at:
                        await asyncio.sleep(0)
                        resume_at = time.perf_counter() + YIELD_AFTER_S
                if len(packed) == len(named):
                    known.types.put(named, packed)
            result.snapshot[type_url] = packed
        return result


def _message(type_url: str, value: Obj) -> Message:
    """The message; parts that did not change are not parsed again, for that takes far longer than copying them."""
    field, part_type = PARTS.get(type_url, ("", ""))
    if field not in value:
        return proto.to_message(type_url, value)
    message = proto.to_message(type_url, {key: item for key, item in value.items() if key != field})
    getattr(message, field).extend(_part(part_type, orjson.dumps(part)) for part in value[field])
    return message


@lru_cache(KNOWN_PARTS)
def _part(full_name: str, content: bytes) -> Message:
    return proto.to_message(full_name, orjson.loads(content))
