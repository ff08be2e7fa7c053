"""Built-in programs for the node's tests."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from meshlab.minicluster.pod import PodContext


def web(argv: list[str], pod: PodContext) -> int:
    """Serve HTTP on the given port (8080); /exit/N ends it, /fail turns every later answer into a 500."""
    port = int(argv[1]) if len(argv) > 1 else 8080
    failing = False

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal failing
            if self.path.startswith("/exit/"):
                os._exit(int(self.path.rpartition("/")[2]))
            failing = failing or self.path == "/fail"
            body = f"{pod.name} {self.path} {self.headers.get('Host')}".encode()
            self.send_response(500 if failing else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = http.server.ThreadingHTTPServer((pod.bind_ip, pod.ports.real(port)), Handler)
    print("listening", flush=True)
    server.serve_forever()
    return 0


def crash(argv: list[str], pod: PodContext) -> int:
    """Say something and end with the given code."""
    print(f"crashing in {pod.container}")
    print("to stderr", file=sys.stderr)
    return int(argv[1])


def orphan(argv: list[str], pod: PodContext) -> int:
    """Start a process that leaves the session, print its pid, and sleep."""
    child = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
    print(child.pid, flush=True)
    time.sleep(1000)
    return 0


def where(argv: list[str], pod: PodContext) -> int:
    """Print a file of a volume as a built-in program finds it."""
    print(Path(pod.host_path(argv[1])).read_text(), end="")
    return 0
