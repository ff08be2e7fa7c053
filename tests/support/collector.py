"""A collector of spans outside the lab, which a ServiceEntry makes a service of the mesh.

It does not listen on 127.0.0.1: to a pod that is the pod itself.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from meshlab.minicluster.mesh import proto

EXPORT = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: istio-system}}
spec:
  hosts: [{host}]
  ports: [{{number: {number}, name: http, protocol: HTTP, targetPort: {port}}}]
  resolution: STATIC
  location: MESH_EXTERNAL
  endpoints: [{{address: 127.0.0.2}}]
"""


class Collector:
    """Takes Zipkin's JSON, and OTLP over HTTP at ``/v1/traces``; what arrived is kept."""

    def __init__(self) -> None:
        self.zipkin: list[dict[str, Any]] = []
        self.otlp: list[dict[str, Any]] = []
        """Spans, with their resource's ``service.name`` as ``service``."""
        self.headers: dict[str, str] = {}
        """Of the last report."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self.path, {key.lower(): value for key, value in self.headers.items()}, self._body())
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                if "content-length" in self.headers:
                    return self.rfile.read(int(self.headers["content-length"]))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                return body

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.2", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def entry(self, host: str, number: int) -> str:
        """A ServiceEntry that makes it a service of the mesh."""
        port = self._server.server_address[1]
        return ENTRY.format(name=host.partition(".")[0], host=host, number=number, port=port)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Keep a report."""
        self.headers = headers
        if path != "/v1/traces":
            self.zipkin += json.loads(body)
            return
        for item in proto.to_dict(proto.message_class(EXPORT).FromString(body)).get("resource_spans", ()):
            attributes = {a["key"]: a["value"].get("string_value") for a in item["resource"]["attributes"]}
            for scope in item["scope_spans"]:
                self.otlp += [{**span, "service": attributes["service.name"]} for span in scope["spans"]]

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
