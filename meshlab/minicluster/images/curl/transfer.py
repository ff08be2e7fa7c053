"""One HTTP/1.1 exchange after the other, over connections that stay open."""

from __future__ import annotations

import base64
import http.client
import io
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from meshlab.minicluster.images.curl.options import Options
from meshlab.minicluster.images.dial import PodNetwork, UnknownHost


class CurlError(Exception):
    """A transfer failed; ``code`` is curl's exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.result: Result | None = None
        """What had arrived by then."""


@dataclass(slots=True)
class Result:
    """What a transfer was, for output and ``--write-out``."""

    url: str
    status: int = 0
    reason: str = ""
    version: int = 11
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    remote_ip: str = ""
    remote_port: int = 0
    local_ip: str = ""
    local_port: int = 0
    connects: int = 0
    method: str = "GET"
    size_upload: int = 0
    request_lines: list[str] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    """Seconds since the start: namelookup, connect, appconnect, pretransfer, starttransfer, total."""

    def header(self, name: str) -> str:
        """The last header of a name; empty if absent."""
        return next((value for key, value in reversed(self.headers) if key.lower() == name), "")

    @property
    def head(self) -> bytes:
        """Status line and headers as they came."""
        first = f"HTTP/{self.version // 10}.{self.version % 10} {self.status} {self.reason}".rstrip()
        lines = [first, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join((*lines, "", "")).encode("latin-1", "replace")


@dataclass(slots=True)
class _Connection:
    stream: socket.socket
    remote: tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Route:
    """Where a request's connection leads."""

    key: tuple[str, str, int, tuple[str, int] | None]
    host: str
    port: int
    secure: bool
    via: tuple[str, int] | None
    """The proxy, if there is one."""
    tunnel: bool


class Client:
    """Makes transfers for one command line.

    Args:
        network: the pod's.
    """

    def __init__(self, network: PodNetwork) -> None:
        self._network = network
        self._idle: dict[object, _Connection] = {}

    def close(self) -> None:
        """Close what is open."""
        for connection in self._idle.values():
            connection.stream.close()
        self._idle.clear()

    def transfer(
        self, url: str, options: Options, deadline: float | None, *, method: str, body: bytes | None
    ) -> Result:
        """One request and its response.

        Args:
            url: with its scheme.
            options: the operation's.
            deadline: when to give up, on the monotonic clock.
            method: the request's.
            body: the request's; None for none.

        Raises:
            CurlError: no response, or not all of it.
        """
        started = time.monotonic()
        result = Result(url, method=method, size_upload=len(body or b""))
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"}:
            raise CurlError(1, f'Protocol "{parts.scheme}" not supported or disabled in libcurl')
        if not parts.hostname:
            raise CurlError(3, "URL using bad/illegal format or missing URL")
        route = self._route(url, options)
        request = self._request(url, route, options, method, body, result)
        reused = self._idle.pop(route.key, None)
        try:
            response, connection = self._exchange(route, reused, request, options, started, deadline, result)
            self._read(response, connection, deadline, result, options)
        except TimeoutError:
            elapsed, received = int((time.monotonic() - started) * 1000), len(result.body)
            failure = CurlError(28, f"Operation timed out after {elapsed} milliseconds with {received} bytes received")
            failure.result = result
            raise failure from None
        except CurlError as failure:
            failure.result = result
            raise
        finally:
            result.times["total"] = time.monotonic() - started
        if response.will_close or options.http10:
            connection.stream.close()
        else:
            self._idle[route.key] = connection
        return result

    def _route(self, url: str, options: Options) -> _Route:
        parts = urlsplit(url)
        host, secure = (parts.hostname or "").lower(), parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        via = None
        if options.proxy is not None:
            address = options.proxy.partition("://")[2] or options.proxy
            name, _, proxy_port = address.rstrip("/").partition(":")
            via = (name, int(proxy_port or 1080)) if name else None
        elif options.no_proxy != "*":
            via = self._network.proxy_for(host, port, parts.scheme)
        return _Route((parts.scheme, host, port, via), host, port, secure, via, secure and via is not None)

    def _request(
        self, url: str, route: _Route, options: Options, method: str, body: bytes | None, result: Result
    ) -> bytes:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authority = parts.netloc.rpartition("@")[2]
        if route.via and not route.tunnel:
            target = f"{parts.scheme}://{authority}{target}"
        headers: dict[str, str] = {"Host": authority}
        user = options.user or parts.netloc.rpartition("@")[0]
        if user:
            headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        if options.bearer:
            headers["Authorization"] = f"Bearer {options.bearer}"
        headers |= {"User-Agent": options.agent, "Accept": "*/*"}
        optional = {
            "Accept-Encoding": "gzip, deflate" if options.compressed else "",
            "Referer": options.referer,
            "Cookie": "; ".join(options.cookie),
            "Range": f"bytes={options.range}" if options.range else "",
            "Proxy-Connection": "Keep-Alive" if route.via and not route.tunnel else "",
        }
        headers |= {name: value for name, value in optional.items() if value}
        if options.json:
            headers |= {"Content-Type": "application/json", "Accept": "application/json"}
        if body is not None:
            headers["Content-Length"] = str(len(body))
            if options.form:
                boundary = body[2 : body.index(b"\r\n")].decode()
                headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
            elif options.has_data and not options.json:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
        extra: list[tuple[str, str]] = []
        for line in options.headers:
            name, separator, value = line.partition(":")
            for own in [own for own in headers if own.lower() == name.strip().rstrip(";").lower()]:
                del headers[own]
            if separator and value.strip():
                extra.append((name.strip(), value.strip()))
            elif not separator and line.endswith(";"):
                extra.append((name[:-1], ""))
        version = "1.0" if options.http10 else "1.1"
        result.request_lines = [f"{method} {target} HTTP/{version}"]
        result.request_lines += [f"{name}: {value}" for name, value in (*headers.items(), *extra)]
        return "\r\n".join((*result.request_lines, "", "")).encode() + (body or b"")

    def _exchange(
        self,
        route: _Route,
        reused: _Connection | None,
        request: bytes,
        options: Options,
        started: float,
        deadline: float | None,
        result: Result,
    ) -> tuple[http.client.HTTPResponse, _Connection]:
        while True:
            connection = reused or self._open(route, options, started, deadline, result)
            now = time.monotonic() - started
            for name in ("namelookup", "connect", "appconnect"):
                result.times.setdefault(name, 0.0)
            result.times["pretransfer"] = now
            result.remote_ip, result.remote_port = connection.remote
            result.local_ip, result.local_port = connection.stream.getsockname()[:2]
            response = http.client.HTTPResponse(connection.stream, method=result.method)
            try:
                connection.stream.settimeout(_left(deadline))
                connection.stream.sendall(request)
                response.begin()
            except TimeoutError:
                connection.stream.close()
                raise
            except (http.client.HTTPException, OSError) as error:
                connection.stream.close()
                if reused is not None:
                    reused = None  # the server had closed the idle connection: once more on a fresh one
                    continue
                raise _receive_error(error) from None
            result.times["starttransfer"] = time.monotonic() - started
            return response, connection

    def _open(
        self, route: _Route, options: Options, started: float, deadline: float | None, result: Result
    ) -> _Connection:
        host, port = route.via or _directed(route.host, route.port, options)
        try:
            address = self._network.resolve(host)[0]
        except UnknownHost:
            kind, code = ("proxy", 5) if route.via else ("host", 6)
            raise CurlError(code, f"Could not resolve {kind}: {host}") from None
        result.times["namelookup"] = time.monotonic() - started
        limits = [limit for limit in (_left(deadline), options.connect_timeout_s) if limit is not None]

        def elapsed() -> int:
            return int((time.monotonic() - started) * 1000)

        try:
            stream = self._network.connect(address, port, min(limits, default=None))
        except TimeoutError:
            raise CurlError(28, f"Connection timed out after {elapsed()} milliseconds") from None
        except OSError:
            message = f"Failed to connect to {host} port {port} after {elapsed()} ms: Could not connect to server"
            raise CurlError(7, message) from None
        result.connects += 1
        result.times["connect"] = time.monotonic() - started
        if route.tunnel:
            self._tunnel(stream, route, deadline)
        if route.secure:
            stream = self._secure(stream, route.host, options, deadline)
            result.times["appconnect"] = time.monotonic() - started
        return _Connection(stream, (address, port))

    def _tunnel(self, stream: socket.socket, route: _Route, deadline: float | None) -> None:
        stream.settimeout(_left(deadline))
        authority = f"{route.host}:{route.port}"
        stream.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        response = http.client.HTTPResponse(stream, method="CONNECT")
        try:
            response.begin()
        except (http.client.HTTPException, OSError) as error:
            raise _receive_error(error) from None
        if response.status != 200:
            raise CurlError(56, f"CONNECT tunnel failed, response {response.status}")

    def _secure(self, stream: socket.socket, host: str, options: Options, deadline: float | None) -> socket.socket:
        try:
            context = ssl.create_default_context(cafile=options.ca_file or None)
        except (OSError, ssl.SSLError):
            raise CurlError(77, f"error adding trust anchors from file: {options.ca_file}") from None
        if options.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if options.cert:
            try:
                context.load_cert_chain(options.cert, options.key or None)
            except (OSError, ssl.SSLError):
                raise CurlError(58, f"could not load PEM client certificate from {options.cert}") from None
        stream.settimeout(_left(deadline))
        try:
            return context.wrap_socket(stream, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise CurlError(60, f"SSL certificate problem: {error.verify_message}") from None
        except TimeoutError:
            raise
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise CurlError(35, f"TLS connect error: {reason}") from None

    def _read(
        self,
        response: http.client.HTTPResponse,
        connection: _Connection,
        deadline: float | None,
        result: Result,
        options: Options,
    ) -> None:
        result.status, result.reason, result.version = response.status, response.reason, response.version
        result.headers = response.getheaders()
        buffer = io.BytesIO()
        try:
            while piece := response.read1(65536):
                buffer.write(piece)
                connection.stream.settimeout(_left(deadline))
        except http.client.IncompleteRead as error:
            buffer.write(error.partial)
            raise CurlError(18, "transfer closed with outstanding read data remaining") from None
        except TimeoutError:
            raise
        except OSError as error:
            raise _receive_error(error) from None
        finally:
            result.body = buffer.getvalue()
        if response.length:
            raise CurlError(18, f"end of response with {response.length} bytes missing")
        if options.compressed:
            result.body = _decoded(result.body, result.header("content-encoding"))


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _receive_error(error: Exception) -> CurlError:
    if isinstance(error, http.client.RemoteDisconnected):
        return CurlError(52, "Empty reply from server")
    if isinstance(error, http.client.BadStatusLine):
        return CurlError(1, "Received HTTP/0.9 when not allowed")
    return CurlError(56, f"Recv failure: {getattr(error, 'strerror', None) or error}")


def _directed(host: str, port: int, options: Options) -> tuple[str, int]:
    """Where ``--connect-to`` and ``--resolve`` send a host and port."""
    for entry in options.connect_to:
        host1, port1, host2, port2 = (*entry.split(":"), "", "", "")[:4]
        if host1 in {"", host} and port1 in {"", str(port)}:
            return host2 or host, int(port2 or port)
    for entry in options.resolve:
        name, entry_port, addresses = (*entry.lstrip("+").split(":", 2), "", "")[:3]
        if name in {"*", host} and entry_port == str(port):
            return addresses.split(",")[0], port
    return host, port


def _decoded(body: bytes, encoding: str) -> bytes:
    import gzip
    import zlib

    match encoding.lower():
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
    return body


def form_body(fields: list[str]) -> bytes:
    """A multipart body of ``name=value``, ``name=@file`` and ``name=<file``; it begins with its own boundary.

    Raises:
        CurlError: a file cannot be read.
    """
    boundary = f"------------------------{secrets.token_hex(11)}"
    body = b""
    for entry in fields:
        name, _, value = entry.partition("=")
        disposition = f'form-data; name="{name}"'
        kind = ""
        content = value.encode()
        if value.startswith(("@", "<")):
            path, *attributes = value[1:].split(";")
            known: Mapping[str, str] = dict(attribute.partition("=")[::2] for attribute in attributes)
            try:
                content = Path(path).read_bytes()
            except OSError:
                raise CurlError(26, f"Failed to open/read local data from file/application: {path}") from None
            if value.startswith("@"):
                disposition += f'; filename="{known.get("filename") or Path(path).name}"'
                kind = f"Content-Type: {known.get('type') or 'application/octet-stream'}\r\n"
        body += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{kind}\r\n".encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()
