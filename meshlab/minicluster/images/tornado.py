"""``hiroakis/tornado-websocket-example``: a page, a websocket for each reader, and an API that tells all of them.

``GET /api?id=1&value=7`` sends ``{"id": "1", "value": "7"}`` to every open ``/ws``.
"""

from __future__ import annotations

import json
from functools import partial

from aiohttp import WSMsgType, web

from meshlab.minicluster.images.http_server import BindError, HttpServer, serve
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

PORT = 8888
PAGE = """<!DOCTYPE html>
<html>
<head>
  <meta charset="utf-8">
  <title>tornado WebSocket example</title>
</head>
<body>
  <h1>tornado WebSocket example</h1>
  <ul id="messages"></ul>
  <script>
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.onmessage = (event) => {
      const item = document.createElement("li");
      item.textContent = event.data;
      document.getElementById("messages").append(item);
    };
  </script>
</body>
</html>
"""
Readers = set[web.WebSocketResponse]


def main(argv: list[str], pod: PodContext) -> int:
    """``python app.py``: the one script of the image."""
    app = web.Application()
    readers: Readers = set()
    app.router.add_get("/", _page)
    app.router.add_get("/ws", partial(_socket, readers))
    app.router.add_route("*", "/api", partial(_api, readers))
    try:
        serve(HttpServer(app, [PORT], headers={"Server": "TornadoServer/4.2"}), pod)
    except BindError as error:
        print_line(f"OSError: [Errno 98] {error.reason}", error=True)
        return 1
    return 0


async def _page(_: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


async def _socket(readers: Readers, request: web.Request) -> web.WebSocketResponse:
    """Open until the client closes it; what it says is not answered."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    readers.add(socket)
    try:
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                break
    finally:
        readers.discard(socket)
    return socket


async def _api(readers: Readers, request: web.Request) -> web.Response:
    values = {name: request.query.get(name, "") for name in ("id", "value")}
    for socket in list(readers):
        await socket.send_str(json.dumps(values))
    return web.Response(content_type="text/html")
