"""Fortio's HTTP client: one connection per thread, kept as long as answers are good, opened anew after a bad one."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit

from meshlab.minicluster.images.dial import PodNetwork, UnknownHost

VERSION = "1.69.5"
GOOD = range(200, 300)
SOCKET_ERROR = -1


class BadUrl(ValueError):
    """The URL cannot be used."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, again and again."""

    url: str
    headers: Sequence[tuple[str, str]] = ()
    method: str = "GET"
    payload: bytes = b""
    timeout_s: float = 3.0
    insecure: bool = False
    keep_alive: bool = True
    user: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; ``code`` -1 is a socket error, and the body is then its text."""

    code: int
    head: bytes
    body: bytes

    @property
    def good(self) -> bool:
        """Whether Fortio counts it as a success."""
        return self.code in GOOD or self.code == 418


@dataclass(slots=True)
class Client:
    """One thread's connection.

    Args:
        request: what it sends.
        network: the pod's network.
    """

    request: Request
    network: PodNetwork
    sockets: int = 0
    """How many connections it has opened."""
    resolved: str = ""
    """The address it talked to last."""
    connect_s: list[float] = field(default_factory=list)
    _connection: socket.socket | None = None

    def fetch(self) -> Answer:
        """Send the request once."""
        try:
            reused = self._connection is not None
            try:
                answer = self._exchange()
            except (OSError, HTTPException):
                if not reused:
                    raise
                # An idle connection may have been closed meanwhile; only then is one more try fair.
                answer = self._exchange()
        except (OSError, HTTPException, UnknownHost) as error:
            self.close()
            return Answer(SOCKET_ERROR, b"", str(error).encode())
        if not answer.good or not self.request.keep_alive:
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self) -> Answer:
        parts = urlsplit(self.request.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadUrl(f"unsupported URL {self.request.url!r}")
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        proxy = self.network.proxy_for(host, port) if parts.scheme == "http" else None
        connection = self._connection
        if connection is None:
            connection = self._connect(host, port, proxy, tls=parts.scheme == "https")
            self._connection = connection
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        target = f"{parts.scheme}://{parts.netloc}{path}" if proxy else path
        try:
            connection.sendall(self._head(target, parts.netloc) + self.request.payload)
            response = HTTPResponse(connection, method=self.request.method)
            response.begin()
            body = response.read()
        except (OSError, HTTPException):
            self.close()
            raise
        lines = [f"HTTP/1.{response.version % 10} {response.status} {response.reason}".rstrip()]
        lines += [f"{name}: {value}" for name, value in response.getheaders()]
        if response.will_close:
            self.close()
        return Answer(response.status, "\r\n".join([*lines, "", ""]).encode(), body)

    def _connect(self, host: str, port: int, proxy: tuple[str, int] | None, *, tls: bool) -> socket.socket:
        connection = self.network.connect(*(proxy or (host, port)), timeout_s=self.request.timeout_s)
        self.sockets += 1
        address = connection.getpeername()
        self.resolved = f"{self._named(host)}:{port}" if proxy else f"{address[0]}:{port}"
        if not tls:
            return connection
        context = ssl.create_default_context()
        if self.request.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(connection, server_hostname=host)

    def _named(self, host: str) -> str:
        try:
            return self.network.resolve(host)[0]
        except UnknownHost:
            return host

    def _head(self, target: str, host: str) -> bytes:
        headers = {"Host": host, "User-Agent": f"fortio.org/fortio-{VERSION}"}
        given = {name.lower(): (name, value) for name, value in self.request.headers}
        lines = [f"{self.request.method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in given]
        lines += [f"{name}: {value}" for name, value in given.values()]
        if self.request.user:
            lines.append(f"Authorization: Basic {base64.b64encode(self.request.user.encode()).decode()}")
        if self.request.payload:
            lines.append(f"Content-Length: {len(self.request.payload)}")
        if not self.request.keep_alive:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode()
