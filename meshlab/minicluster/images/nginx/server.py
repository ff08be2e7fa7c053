"""``nginx``: serves what the configuration says, with nginx's pages and its combined access log."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Callable, Mapping
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

from meshlab.minicluster.images.http_server import BindError, HttpServer, catch_all, now, serve
from meshlab.minicluster.images.nginx import config
from meshlab.minicluster.images.nginx.config import Location, Server, Settings
from meshlab.minicluster.images.nginx.syntax import ConfigError
from meshlab.minicluster.images.nginx.tls import asks_client, tls_contexts
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

VERSION = "1.29.5"
WELCOME = """<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
<style>
html { color-scheme: light dark; }
body { width: 35em; margin: 0 auto; font-family: Tahoma, Verdana, Arial, sans-serif; }
</style>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>This page says that the web server of this pod works. To serve your own pages, mount a volume at
/usr/share/nginx/html; to change the server, mount a file in /etc/nginx/conf.d.</p>
</body>
</html>
"""
ERROR_50X = """<!DOCTYPE html>
<html>
<head>
<title>Error</title>
</head>
<body>
<h1>An error occurred.</h1>
<p>Sorry, the page you are looking for is currently unavailable.</p>
</body>
</html>
"""
BUILT_IN_PAGES = {f"{config.DEFAULT_ROOT}/index.html": WELCOME, f"{config.DEFAULT_ROOT}/50x.html": ERROR_50X}
_TYPES = {
    **{"html": "text/html", "htm": "text/html", "css": "text/css", "xml": "text/xml", "txt": "text/plain"},
    **{"js": "application/javascript", "json": "application/json", "svg": "image/svg+xml", "png": "image/png"},
    **{"gif": "image/gif", "jpg": "image/jpeg", "jpeg": "image/jpeg", "ico": "image/x-icon", "pdf": "application/pdf"},
    **{"wasm": "application/wasm", "webp": "image/webp", "woff2": "font/woff2", "zip": "application/zip"},
}
_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    302: "Found",
    404: "Not Found",
    408: "Request Time-out",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    416: "Requested Range Not Satisfiable",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
MAX_INTERNAL_REDIRECTS = 10


def main(argv: list[str], pod: PodContext) -> int:
    """``nginx [-g DIRECTIVES] [-c FILE] [-t] [-T] [-v]``."""
    test, main_file, extra = False, config.MAIN_FILE, ""
    arguments = iter(argv[1:])
    for argument in arguments:
        match argument:
            case "-v" | "-V":
                print_line(f"nginx version: nginx/{VERSION}", error=True)
                return 0
            case "-t" | "-T":
                test = True
            case "-c":
                main_file = next(arguments, config.MAIN_FILE)
            case "-g":
                extra = next(arguments, "")
            case "-s":
                return _signal_main_process(next(arguments, ""))
            case _:
                print_line(f'nginx: invalid option: "{argument}"', error=True)
                return 1
    try:
        extra = extra if not extra or extra.rstrip().endswith((";", "}")) else f"{extra};"
        servers = _load(pod, main_file, extra)
        contexts = tls_contexts(servers, pod.host_path)
    except ConfigError as error:
        print_line(f"{_stamp()} [emerg] {os.getpid()}#{os.getpid()}: {error}\nnginx: [emerg] {error}", error=True)
        if test:
            print_line(f"nginx: configuration file {main_file} test failed", error=True)
        return 1
    if test:
        print_line(f"nginx: the configuration file {main_file} syntax is ok", error=True)
        print_line(f"nginx: configuration file {main_file} test is successful", error=True)
        return 0
    return _run(servers, contexts, pod)


def _load(pod: PodContext, main_file: str, extra: str) -> list[Server]:
    return config.load(config.file_reader(pod.host_path), config.file_expander(pod.host_path), main_file, extra)


def _run(servers: list[Server], contexts: Mapping[int, ssl.SSLContext], pod: PodContext) -> int:
    site = Site(servers, pod.ports.nominal, pod.host_path)
    ports = sorted({port for server in servers for port in server.ports})
    pid = os.getpid()

    def stopping(number: signal.Signals) -> None:
        # SIGQUIT, the image's stop signal, finishes requests; nginx drops them at SIGTERM, which a pod must not see.
        words = "gracefully shutting down" if number == signal.SIGQUIT else "exiting"
        print_line(
            f"{_stamp()} [notice] {pid}#{pid}: signal {int(number)} ({number.name}) received, {words}", error=True
        )

    server = HttpServer(
        catch_all(site.answer),
        ports,
        grace_s=60,
        tls_ports=contexts,
        headers={"Server": f"nginx/{VERSION}"},
        stop_signals=(signal.SIGTERM, signal.SIGINT, signal.SIGQUIT),
        on_listening=lambda: print_line(
            f"{_stamp()} [notice] {pid}#{pid}: nginx/{VERSION}\n"
            f"{_stamp()} [notice] {pid}#{pid}: start worker processes",
            error=True,
        ),
        on_stop=stopping,
    )
    try:
        serve(server, pod)
    except BindError as error:
        message = f"bind() to 0.0.0.0:{error.port} failed (98: {error.reason})"
        print_line(f"{_stamp()} [emerg] {pid}#{pid}: {message}\nnginx: [emerg] {message}", error=True)
        return 1
    return 0


class Site:
    """The answers of all servers.

    Args:
        servers: as configured.
        nominal: the nominal port of a real one.
        host_path: where a file of the container really is.
    """

    def __init__(self, servers: list[Server], nominal: Callable[[int], int], host_path: Callable[[str], str]) -> None:
        self._servers = servers
        self._nominal = nominal
        self._host_path = host_path

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer and log one request."""
        server = self._server(request)
        path = unquote(request.raw_path.partition("?")[0])
        location = server.locate(path)
        settings = location.settings if location else server.settings
        if request.secure and asks_client(server) and not request.get_extra_info("peercert"):
            response = self._page(400, title="400 No required SSL certificate was sent")
        else:
            response = self._resolve(request, server, path, location)
        for name, value, always in settings.headers:
            if always or response.status in {200, 201, 204, 206, 301, 302, 303, 304, 307, 308}:
                response.headers[name] = self._variables(value, request)
        if settings.access_log:
            self._log(request, response)
        return response

    def _server(self, request: web.Request) -> Server:
        sockname = request.transport.get_extra_info("sockname") if request.transport else None
        port = self._nominal(sockname[1]) if sockname else 80
        here = [server for server in self._servers if port in server.ports] or self._servers
        host = request.host.partition(":")[0].lower()
        for server in here:
            if host in server.names:
                return server
        for server in here:
            if any(name.startswith("*.") and host.endswith(name[1:]) for name in server.names):
                return server
        return next((server for server in here if port in server.default_for), here[0])

    def _resolve(
        self, request: web.Request, server: Server, path: str, location: Location | None, depth: int = 0
    ) -> web.Response:
        settings = location.settings if location else server.settings
        if server.settings.answer and depth == 0:
            return self._returned(request, server.settings.answer, settings)
        if settings.answer:
            return self._returned(request, settings.answer, settings)
        if request.method not in {"GET", "HEAD"}:
            return self._error(request, server, settings, 405, depth)
        for candidate in settings.try_files[:-1]:
            wanted = self._variables(candidate, request, path)
            file = self._file(settings, location, wanted)
            if file is not None and (wanted.endswith("/") or not Path(file).is_dir()):
                return self._serve(request, server, settings, location, wanted, depth)
        if settings.try_files:
            last = self._variables(settings.try_files[-1], request, path)
            if last.startswith("="):
                return self._error(request, server, settings, int(last[1:]), depth)
            if depth >= MAX_INTERNAL_REDIRECTS:
                return self._error(request, server, settings, 500, depth)
            last = last.partition("?")[0]
            return self._resolve(request, server, last, server.locate(last), depth + 1)
        return self._serve(request, server, settings, location, path, depth)

    def _serve(
        self, request: web.Request, server: Server, settings: Settings, location: Location | None, path: str, depth: int
    ) -> web.Response:
        if path.endswith("/"):
            for name in settings.index:
                if self._file(settings, location, path + name) is not None:
                    inner = path + name
                    found = server.locate(inner)
                    return self._static(request, found.settings if found else settings, found or location, inner)
            exists = self._file(settings, location, path) is not None
            return self._error(request, server, settings, 403 if exists else 404, depth)
        file = self._file(settings, location, path)
        if file is None:
            return self._error(request, server, settings, 404, depth)
        if Path(file).is_dir():
            query = request.raw_path.partition("?")[2]
            target = f"{request.scheme}://{request.host}{path}/" + (f"?{query}" if query else "")
            return self._page(301, {"Location": target})
        return self._static(request, settings, location, path)

    def _file(self, settings: Settings, location: Location | None, path: str) -> str | None:
        """The file of a path, as the container names it; None if there is none."""
        if ".." in path.split("/") or "\0" in path:
            return None
        if settings.alias and location is not None:
            name = settings.alias + path.removeprefix(location.pattern)
        else:
            name = settings.root.rstrip("/") + path
        if name in BUILT_IN_PAGES and not Path(self._host_path(config.DEFAULT_ROOT)).is_dir():
            return name
        if path == "/" and settings.root == config.DEFAULT_ROOT:
            return name
        return name if Path(self._host_path(name)).exists() else None

    def _static(self, request: web.Request, settings: Settings, location: Location | None, path: str) -> web.Response:
        name = self._file(settings, location, path) or ""
        real = Path(self._host_path(name))
        try:
            body, modified = real.read_bytes(), real.stat().st_mtime
        except FileNotFoundError:
            body, modified = BUILT_IN_PAGES[name].encode(), 1770163200.0
        except PermissionError:
            return self._page(403)
        content_type = _TYPES.get(name.rpartition(".")[2].lower(), settings.default_type)
        headers = {
            "Content-Type": content_type,
            "Last-Modified": formatdate(modified, usegmt=True),
            "ETag": f'"{int(modified):x}-{len(body):x}"',
            "Accept-Ranges": "bytes",
        }
        if self._unchanged(request, headers["ETag"], modified):
            return web.Response(status=304, headers=headers)
        try:
            wanted = request.http_range
        except ValueError:
            wanted = slice(None)
        if wanted.start is None and wanted.stop is None:
            return web.Response(body=body, headers=headers)
        start, stop, _ = wanted.indices(len(body))
        if start >= stop:
            return self._page(416, {"Content-Range": f"bytes */{len(body)}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return web.Response(status=206, body=body[start:stop], headers=headers)

    def _unchanged(self, request: web.Request, etag: str, modified: float) -> bool:
        if tags := request.headers.get("If-None-Match"):
            return etag in (tag.strip().removeprefix("W/") for tag in tags.split(","))
        try:
            since = parsedate_to_datetime(request.headers.get("If-Modified-Since", ""))
        except ValueError:
            return False
        return since.timestamp() >= int(modified)

    def _returned(self, request: web.Request, answer: tuple[int, str], settings: Settings) -> web.Response:
        status, text = answer
        text = self._variables(text, request)
        if status in {301, 302, 303, 307, 308} and text:
            target = text if "://" in text else f"{request.scheme}://{request.host}{text}"
            return self._page(status, {"Location": target})
        if text or status < 300:
            return web.Response(status=status, body=text.encode(), headers={"Content-Type": settings.default_type})
        return self._page(status)

    def _error(self, request: web.Request, server: Server, settings: Settings, status: int, depth: int) -> web.Response:
        page = settings.error_pages.get(status)
        if page and page.startswith("/") and depth < MAX_INTERNAL_REDIRECTS:
            location = server.locate(page)
            inner = location.settings if location else settings
            if inner.answer:
                return self._returned(request, inner.answer, inner)
            if self._file(inner, location, page) is not None:
                response = self._static(request, inner, location, page)
                response.set_status(status)
                return response
        return self._page(status)

    def _page(self, status: int, headers: dict[str, str] | None = None, *, title: str = "") -> web.Response:
        title = title or f"{status} {_PHRASES.get(status, '')}".strip()
        text = (
            f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
            f"<hr><center>nginx/{VERSION}</center>\r\n</body>\r\n</html>\r\n"
        )
        return web.Response(
            status=status,
            reason="Moved Temporarily" if status == 302 else _PHRASES.get(status),
            body=text.encode(),
            headers={"Content-Type": "text/html", **(headers or {})},
        )

    def _variables(self, text: str, request: web.Request, path: str | None = None) -> str:
        """A value with the variables that an exercise may use put in."""
        if "$" not in text:
            return text
        raw_path, _, query = request.raw_path.partition("?")
        values = {
            "request_uri": request.raw_path,
            "remote_addr": request.remote or "",
            "request_method": request.method,
            "http_host": request.headers.get("Host", ""),
            "hostname": os.environ.get("HOSTNAME", ""),
            "is_args": "?" if query else "",
            "server_port": "80",
            "scheme": request.scheme,
            "host": request.host.partition(":")[0],
            "args": query,
            "uri": path if path is not None else unquote(raw_path),
        }
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value).replace(f"${name}", value)
        return text

    def _log(self, request: web.Request, response: web.Response) -> None:
        size = 0 if request.method == "HEAD" or response.status == 304 else response.content_length or 0
        protocol = f"HTTP/{request.version.major}.{request.version.minor}"
        values = [request.headers.get(name, "-") for name in ("Referer", "User-Agent", "X-Forwarded-For")]
        print_line(
            f'{request.remote} - - [{now():%d/%b/%Y:%H:%M:%S %z}] "{request.method} {request.raw_path} {protocol}" '
            f'{response.status} {size} "{values[0]}" "{values[1]}" "{values[2]}"'
        )


def _stamp() -> str:
    return f"{now():%Y/%m/%d %H:%M:%S}"


def _signal_main_process(name: str) -> int:
    print_line(f'nginx: [error] "-s {name}": the lab\'s nginx has no control process; restart the pod', error=True)
    return 1
