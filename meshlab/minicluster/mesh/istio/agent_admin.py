"""Requests to Envoy's admin interface: port 15000 of the pod's loopback, and so a unix socket (`pod.local_socket`).

The agent serves that port and hands requests on to the socket on which Envoy itself listens, as statistics need the
agent's knowledge to become Istio's (`agent_metrics`).
"""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from pathlib import Path

from meshlab.minicluster.pod import PodContext

ADMIN_PORT = 15000


@dataclass(frozen=True, slots=True)
class AdminAnswer:
    """What Envoy said."""

    status: int
    body: bytes
    content_type: str = "text/plain"


def admin_socket(pod: PodContext) -> Path:
    """What stands for port 15000 in the pod."""
    return pod.local_socket(ADMIN_PORT)


def envoy_socket(pod: PodContext) -> Path:
    """Where the pod's Envoy listens for its agent."""
    return admin_socket(pod).with_name("envoy.sock")


def admin_request(path: Path, method: str, target: str, *, timeout_s: float = 10) -> AdminAnswer:
    """Send one request; blocks.

    Args:
        path: the socket.
        method: ``GET`` or ``POST``.
        target: the path with its query; a leading slash may be missing.
        timeout_s: for each read.

    Raises:
        OSError: Envoy does not answer.
    """
    connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(timeout_s)
        connection.sock.connect(str(path))
        connection.request(method, "/" + target.removeprefix("/"))
        response = connection.getresponse()
        return AdminAnswer(response.status, response.read(), response.getheader("content-type") or "text/plain")
    except http.client.HTTPException as error:
        raise ConnectionError(f"Envoy's answer is cut short: {error!r}") from error
    finally:
        connection.close()
