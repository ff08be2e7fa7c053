"""A gRPC service beside the HTTP server of a built-in image.

gRPC is imported when the server starts, never before: the supervisor, out of which programs are forked, must not have
it loaded.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from meshlab.minicluster.images.http_server import BindError
from meshlab.minicluster.mesh import proto
from meshlab.minicluster.pod import PodContext

if TYPE_CHECKING:
    import grpc.aio

Method = Callable[[Any], Awaitable[Message]]
"""Takes a request, gives the response."""


class GrpcServer:
    """One service with one unary method.

    Args:
        service: the service's full name.
        method: the method's name.
        request: the full name of its request's type.
        response: the full name of its response's type.
        answer: the method.
    """

    def __init__(self, service: str, method: str, request: str, response: str, answer: Method) -> None:
        self._service = service
        self._method = method
        self._request = proto.message_class(request)
        self._response = proto.message_class(response)
        self._answer = answer
        self._server: grpc.aio.Server | None = None

    async def start(self, pod: PodContext, port: int) -> None:
        """Listen on a nominal port.

        Raises:
            BindError: it is taken.
        """
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import grpc
        import grpc.aio

        async def handle(request: Any, context: object) -> Message:
            return await self._answer(request)

        handler = grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=self._request.FromString,
            response_serializer=self._response.SerializeToString,
        )
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        generic = grpc.method_handlers_generic_handler(self._service, {self._method: handler})
        server.add_generic_rpc_handlers((generic,))
        try:
            server.add_insecure_port(f"{pod.bind_ip}:{pod.ports.real(port)}")
        except RuntimeError as error:
            raise BindError(port, "address already in use") from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """End it; calls in flight get half a second."""
        if self._server is not None:
            await self._server.stop(0.5)
