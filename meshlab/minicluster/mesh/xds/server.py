"""The gRPC side of delta ADS: who may open a stream, and the table of those who have.

A proxy proves who it is with its pod's ServiceAccount token; the name it gives itself (``node.id``) must be that pod
and proves nothing. gRPC is imported when the server starts, never before: it must not be loaded in a process that
forks.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshlab.minicluster.mesh import proto
from meshlab.minicluster.mesh.ca import KeyPair
from meshlab.minicluster.mesh.xds.push import Pusher, wait_idle
from meshlab.minicluster.mesh.xds.resources import Packed
from meshlab.minicluster.mesh.xds.stream import DeltaStream

if TYPE_CHECKING:
    import grpc.aio

logger = logging.getLogger(__name__)

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
KEEPALIVE_MS = 30_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token belongs to."""

    namespace: str
    service_account: str
    pod: str = ""
    """The pod that the token is bound to; empty for a token that is bound to none."""


@dataclass(slots=True, eq=False)
class ProxyConnection:
    """A connected proxy."""

    node_id: str
    identity: Identity
    metadata: dict[str, Any]
    """``node.metadata`` of the bootstrap."""
    stream: DeltaStream
    pusher: Pusher
    node_cluster: str = ""
    """``node.cluster``: how the proxy calls itself."""
    connected_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    invalid: dict[tuple[str, str], str] = field(default_factory=dict)
    """Resources that could not even be packed: (type URL, name) -> reason."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def update(self, packed: Packed) -> None:
        """Push a new snapshot; a resource that could not be packed stays as the proxy has it."""
        snapshot = packed.snapshot
        previous = self.pusher.current or {}
        for type_url, name in packed.invalid:
            resource = previous.get(type_url, {}).get(name)
            if resource is not None:
                snapshot.setdefault(type_url, {})[name] = resource
        self.invalid = packed.invalid
        self.pusher.set_snapshot(snapshot)


Authenticator = Callable[[str], Awaitable[Identity | None]]
"""Takes a bearer token; None if it is not valid."""


class RefusedNode(Exception):
    """A proxy says to be another pod than its token."""


def check_node(node_id: str, identity: Identity) -> None:
    """Require that ``type~ip~pod.namespace~domain`` names the pod of the identity.

    Raises:
        RefusedNode: it does not, or is not of that form.
    """
    parts = node_id.split("~")
    if len(parts) != 4 or parts[0] not in ("sidecar", "router"):
        raise RefusedNode(f"node id {node_id!r} is not of the form type~ip~pod.namespace~domain")
    pod, _, namespace = parts[2].rpartition(".")
    if namespace != identity.namespace or (identity.pod and pod != identity.pod):
        raise RefusedNode(f"node id {node_id!r} does not belong to {identity.namespace}/{identity.pod}")


class XdsServer:
    """Serves delta ADS; what each proxy gets is set through its `ProxyConnection`.

    Args:
        authenticate: turns a bearer token into an identity.
        on_connect: told of every proxy that opened a stream, before its requests are answered.
        on_disconnect: told of every one that left.
    """

    def __init__(
        self,
        authenticate: Authenticator,
        on_connect: Callable[[ProxyConnection], None],
        on_disconnect: Callable[[ProxyConnection], None] = lambda connection: None,
    ) -> None:
        self.connections: set[ProxyConnection] = set()
        self.refused = 0
        self._authenticate = authenticate
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._server: grpc.aio.Server | None = None
        self._stopping = asyncio.Event()

    async def start(self, address: str, certificate: KeyPair | None = None) -> int:
        """Listen on ``host:port`` (TLS with ``certificate``, else plain); the port that was bound.

        Raises:
            RuntimeError: the address cannot be bound.
        """
        import grpc
        import grpc.aio

        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_MS // 3),
            ("grpc.http2.min_ping_interval_without_data_ms", 5000),
        ]
        server = grpc.aio.server(options=options)
        request = proto.message_class("envoy.service.discovery.v3.DeltaDiscoveryRequest")
        response = proto.message_class("envoy.service.discovery.v3.DeltaDiscoveryResponse")
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve_stream,
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )
        generic = grpc.method_handlers_generic_handler(SERVICE, {"DeltaAggregatedResources": handler})
        server.add_generic_rpc_handlers((generic,))
        if certificate is None:
            port = server.add_insecure_port(address)
        else:
            pair = (certificate.key_pem.encode(), certificate.chain_pem.encode())
            port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        await server.start()
        self._server = server
        return port

    async def stop(self, grace_s: float = 0.5) -> None:
        """End every stream, then the server; proxies keep their configuration and come back later."""
        self._stopping.set()
        for connection in list(self.connections):
            connection.closed.set()
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    def find(self, node_id: str) -> Iterator[ProxyConnection]:
        """The streams of a proxy, oldest first: two for a moment while it reconnects."""
        found = [connection for connection in self.connections if connection.node_id == node_id]
        return iter(sorted(found, key=lambda connection: connection.connected_at))

    async def wait_idle(self, timeout_s: float) -> bool:
        """Whether every connected proxy has answered everything before the time is over."""
        return await wait_idle([connection.pusher for connection in self.connections], timeout_s)

    async def _serve_stream(self, requests: Any, context: Any) -> None:
        import grpc

        identity = await self._authenticate(_bearer_token(context.invocation_metadata()))
        if identity is None:
            self.refused += 1
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "authentication failure")
            return
        first = await anext(aiter(requests), None)
        if first is None:
            return
        try:
            check_node(first.node.id, identity)
        except RefusedNode as error:
            self.refused += 1
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
            return
        await self._serve_proxy(identity, first, requests, context)

    async def _serve_proxy(self, identity: Identity, first: Any, requests: Any, context: Any) -> None:
        outbox: asyncio.Queue[Any] = asyncio.Queue()
        stream = DeltaStream(outbox.put_nowait)
        pusher = Pusher(stream)
        metadata = proto.to_dict(first.node.metadata) if first.node.HasField("metadata") else {}
        connection = ProxyConnection(first.node.id, identity, metadata, stream, pusher, first.node.cluster)
        if self._stopping.is_set():
            return

        async def read() -> None:
            pusher.receive(first)
            async for request in requests:
                pusher.receive(request)

        async def write() -> None:
            while True:
                await context.write(await outbox.get())

        self.connections.add(connection)
        logger.info("ADS: new delta connection for node:%s", connection.node_id)
        tasks = [
            asyncio.create_task(work, name=f"{name} {connection.node_id}")
            for name, work in (
                ("xds read", read()),
                ("xds write", write()),
                ("xds push", pusher.run()),
                ("xds close", connection.closed.wait()),
            )
        ]
        try:
            self._on_connect(connection)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is not None and not _is_disconnect(error):
                    logger.error("stream of %s failed", connection.node_id, exc_info=error)
        finally:
            self.connections.discard(connection)
            stream.close()
            pusher.close()
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
            logger.info('ADS: "%s" terminated', connection.node_id)
            self._on_disconnect(connection)


def _bearer_token(metadata: Any) -> str:
    for key, value in metadata or ():
        if key == "authorization" and isinstance(value, str) and value.startswith("Bearer "):
            return value.removeprefix("Bearer ").strip()
    return ""


def _is_disconnect(error: BaseException) -> bool:
    import grpc

    return isinstance(error, (grpc.RpcError, asyncio.CancelledError, asyncio.InvalidStateError)) or (
        type(error).__module__.startswith("grpc")
    )
