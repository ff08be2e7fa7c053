"""``wget`` of BusyBox: one URL after the other, through ``http_proxy`` where that is set, with BusyBox's texts."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import sys
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

from meshlab.minicluster.images.busybox.options import UsageError, parse
from meshlab.minicluster.images.dial import PodNetwork, UnknownHost
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

USAGE = """BusyBox v1.37.0 () multi-call binary.

Usage: wget [-cqS] [--spider] [-O FILE] [-o LOGFILE] [-P DIR] [-U AGENT] [-T SEC] [--header STR]
	[--post-data STR | --post-file FILE] [-Y on/off] [--no-check-certificate] URL..."""
LONG = (
    "spider",
    "header=",
    "post-data=",
    "post-file=",
    "no-check-certificate",
    "quiet",
    "output-document=",
    "server-response",
    "timeout=",
    "tries=",
    "user-agent=",
    "proxy=",
    "no-proxy",
)
_LONG_TO_SHORT = {
    "quiet": "q",
    "output-document": "O",
    "server-response": "S",
    "timeout": "T",
    "user-agent": "U",
    "tries": "t",
    "proxy": "Y",
}
MAX_REDIRECTIONS = 5
DEFAULT_TIMEOUT_S = 900.0


class Failure(Exception):
    """What wget ends with; the message is BusyBox's."""


@dataclass(slots=True)
class Request:
    """What the options ask for."""

    quiet: bool = False
    spider: bool = False
    show_response: bool = False
    output: str = ""
    directory: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S
    agent: str = "Wget"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | None = None
    check_certificate: bool = True
    use_proxy: bool = True


def main(argv: list[str], pod: PodContext) -> int:
    """``wget [options] URL...``."""
    try:
        request, urls = read_options(argv[1:])
        if not urls:
            raise UsageError("wget: missing URL")
    except (UsageError, ValueError) as error:
        print_line(f"{error}\n{USAGE}", error=True)
        return 1
    client = Client(request, PodNetwork(pod))
    try:
        for url in urls:
            client.fetch(url)
    except Failure as failure:
        print_line(f"wget: {failure}", error=True)
        return 1
    return 0


def read_options(arguments: list[str]) -> tuple[Request, list[str]]:
    """Options and URLs.

    Raises:
        UsageError: the command line is wrong.
        ValueError: a number is none.
    """
    found, urls = parse("wget", arguments, "cqSO:o:P:U:T:t:Y:", LONG)
    for long, short in _LONG_TO_SHORT.items():
        found.setdefault(short, []).extend(found.pop(long, []))
    options = {name: values for name, values in found.items() if values}
    request = Request(
        quiet="q" in options,
        spider="spider" in options,
        show_response="S" in options,
        output=options.get("O", [""])[-1],
        directory=options.get("P", [""])[-1],
        timeout_s=float(options.get("T", [DEFAULT_TIMEOUT_S])[-1]),
        agent=options.get("U", ["Wget"])[-1],
        check_certificate="no-check-certificate" not in options,
        use_proxy=options.get("Y", ["on"])[-1] != "off" and "no-proxy" not in options,
    )
    for header in options.get("header", []):
        name, _, value = header.partition(":")
        request.headers.append((name.strip(), value.strip()))
    if "post-data" in options:
        request.body = options["post-data"][-1].encode()
    elif "post-file" in options:
        request.body = Path(options["post-file"][-1]).read_bytes()
    return request, urls


class Client:
    """Fetches URLs.

    Args:
        request: what to do with each.
        network: the pod's.
    """

    def __init__(self, request: Request, network: PodNetwork) -> None:
        self._request = request
        self._network = network

    def fetch(self, url: str) -> None:
        """Fetch one URL, following redirections, and save or show it.

        Raises:
            Failure: anything went wrong.
        """
        if "://" not in url:
            url = f"http://{url}"
        for _ in range(MAX_REDIRECTIONS + 1):
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise Failure(f"not an http or ftp url: {url}")
            response = self._exchange(url)
            if response.status in {301, 302, 303, 307, 308} and (location := response.getheader("Location")):
                response.read()
                url = urljoin(url, location)
                continue
            if response.status not in {200, 204, 206}:
                raise Failure(f"server returned error: {_status_line(response)}")
            if not self._request.spider:
                self._save(response, url)
            elif not self._request.quiet:
                print_line("remote file exists", error=True)
            return
        raise Failure("too many redirections")

    def _exchange(self, url: str) -> http.client.HTTPResponse:
        """Send the request; the response with its headers read."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        proxy = self._network.proxy_for(host, port, parts.scheme) if self._request.use_proxy else None
        shown = f"{proxy[0]}:{proxy[1]}" if proxy else parts.netloc.rpartition("@")[2]
        connection = self._connect(*(proxy or (host, port)), shown=shown)
        target = parts.path or "/"
        target += f"?{parts.query}" if parts.query else ""
        if secure:
            connection = self._secure(connection, host)
        elif proxy:
            target = f"http://{parts.netloc.rpartition('@')[2]}{target}"
        lines = [f"{'GET' if self._request.body is None else 'POST'} {target} HTTP/1.1"]
        own = {name.lower() for name, _ in self._request.headers}
        headers = [
            ("Host", parts.netloc.rpartition("@")[2]),
            ("User-Agent", self._request.agent),
            ("Connection", "close"),
        ]
        if parts.username:
            credentials = f"{parts.username}:{parts.password or ''}".encode()
            headers.append(("Authorization", f"Basic {b64encode(credentials).decode()}"))
        if self._request.body is not None:
            headers += [("Content-Type", "application/x-www-form-urlencoded")]
            headers += [("Content-Length", str(len(self._request.body)))]
        lines += [f"{name}: {value}" for name, value in headers if name.lower() not in own]
        lines += [f"{name}: {value}" for name, value in self._request.headers]
        response = http.client.HTTPResponse(connection)
        try:
            connection.sendall("\r\n".join((*lines, "", "")).encode() + (self._request.body or b""))
            response.begin()
        except TimeoutError:
            raise Failure("download timed out") from None
        except (http.client.HTTPException, OSError):
            raise Failure("error getting response") from None
        if self._request.show_response:
            lines_shown = [_status_line(response), *(f"{name}: {value}" for name, value in response.getheaders())]
            print_line("\n".join(f"  {line}" for line in lines_shown), error=True)
        return response

    def _connect(self, host: str, port: int, *, shown: str) -> socket.socket:
        try:
            address = self._network.resolve(host)[0]
        except UnknownHost:
            raise Failure(f"bad address '{shown}'") from None
        if not self._request.quiet:
            print_line(f"Connecting to {shown} ({address}:{port})", error=True)
        try:
            return self._network.connect(host, port, self._request.timeout_s)
        except TimeoutError:
            raise Failure("download timed out") from None
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise Failure(f"can't connect to remote host ({address}): {reason}") from None

    def _secure(self, connection: socket.socket, host: str) -> socket.socket:
        context = ssl.create_default_context()
        if not self._request.check_certificate:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            return context.wrap_socket(connection, server_hostname=host)
        except (ssl.SSLError, OSError) as error:
            connection.close()
            raise Failure(f"TLS error from peer ({getattr(error, 'reason', None) or error})") from None

    def _save(self, response: http.client.HTTPResponse, url: str) -> None:
        name = self._request.output or Path(urlsplit(url).path).name or "index.html"
        if name == "-":
            self._copy(response, sys.stdout.buffer)
            if not self._request.quiet:
                print_line("writing to stdout\nwritten to stdout", error=True)
            return
        path = Path(self._request.directory) / name
        if not self._request.output and path.exists():
            raise Failure(f"can't open '{path}': File exists")
        try:
            with path.open("wb") as file:
                self._copy(response, file)
        except OSError as error:
            raise Failure(f"can't open '{path}': {error.strerror}") from None
        if not self._request.quiet:
            print_line(f"saving to '{path}'\n'{path}' saved", error=True)

    def _copy(self, response: http.client.HTTPResponse, file: BinaryIO) -> None:
        try:
            while data := response.read1(65536):
                file.write(data)
            file.flush()
        except TimeoutError:
            raise Failure("download timed out") from None
        except http.client.IncompleteRead:
            raise Failure("connection closed prematurely") from None
        except ConnectionResetError:
            raise Failure("read error: Connection reset by peer") from None


def _status_line(response: http.client.HTTPResponse) -> str:
    return f"HTTP/{response.version // 10}.{response.version % 10} {response.status} {response.reason}".rstrip()
