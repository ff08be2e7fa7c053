"""``/bin/go-httpbin``: flags, environment, log lines, and the middleware around every endpoint."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Middleware

from meshlab.minicluster.images.go_flags import Flag, FlagError, parse_duration, parse_flags, usage
from meshlab.minicluster.images.http_server import BindError, Handler, HttpServer, now, serve
from meshlab.minicluster.images.httpbin import echo
from meshlab.minicluster.images.httpbin.responses import BadInput, Limits, error_response
from meshlab.minicluster.images.httpbin.routes import ROUTES, Httpbin
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

FLAGS = {
    "host": Flag("Host to listen on", "0.0.0.0"),
    "port": Flag("Port to listen on", 8080, "int"),
    "prefix": Flag("Path prefix (empty or start with slash and does not end with slash)"),
    "max-duration": Flag("Maximum duration a response may take", 10.0, "duration"),
    "max-body-size": Flag("Maximum size of request or response, in bytes", 1024 * 1024, "int"),
    "use-real-hostname": Flag("Expose value of os.Hostname() in the /hostname endpoint", False, "bool"),
    "https-cert-file": Flag("HTTPS Server certificate file"),
    "https-key-file": Flag("HTTPS Server private key file"),
    "log-format": Flag("Log format (text or json)", "text"),
}
_ALLOWED_METHODS = "GET, POST, HEAD, PUT, DELETE, PATCH, QUERY, OPTIONS"


class ConfigError(Exception):
    """Flags or environment are wrong."""


@dataclass(frozen=True, slots=True)
class Config:
    """What flags and environment say; flags win."""

    host: str
    port: int
    prefix: str
    limits: Limits
    real_hostname: bool
    cert_file: str
    key_file: str
    log_format: str

    @classmethod
    def read(cls, arguments: list[str], environment: Mapping[str, str]) -> Config:
        """Read both.

        Raises:
            FlagError: a flag is wrong.
            ConfigError: a variable is, or they do not fit together.
        """
        values, _ = parse_flags(FLAGS, arguments)

        def setting(flag: str, parse: Callable[[str], str | int | float] = str) -> str | int | bool | float:
            variable = flag.upper().replace("-", "_")
            if values[flag] != FLAGS[flag].default or not environment.get(variable):
                return values[flag]
            try:
                return parse(environment[variable])
            except ValueError:
                raise ConfigError(
                    f'invalid value "{environment[variable]}" for env var {variable}: parse error'
                ) from None

        prefix = str(setting("prefix"))
        if prefix and not prefix.startswith("/"):
            raise ConfigError(f'Prefix "{prefix}" must start with a slash')
        if prefix.endswith("/"):
            raise ConfigError(f'Prefix "{prefix}" must not end with a slash')
        cert_file, key_file = str(setting("https-cert-file")), str(setting("https-key-file"))
        if bool(cert_file) != bool(key_file):
            raise ConfigError("https cert and key must both be provided")
        log_format = str(setting("log-format"))
        if log_format not in {"text", "json"}:
            raise ConfigError(f'invalid log format "{log_format}", must be "text" or "json"')
        return cls(
            host=str(setting("host")),
            port=int(setting("port", int)),
            prefix=prefix,
            limits=Limits(int(setting("max-body-size", int)), float(setting("max-duration", parse_duration))),
            real_hostname=bool(values["use-real-hostname"]) or environment.get("USE_REAL_HOSTNAME") in {"1", "true"},
            cert_file=cert_file,
            key_file=key_file,
            log_format=log_format,
        )


def main(argv: list[str], pod: PodContext) -> int:
    """``go-httpbin [-host ADDRESS] [-port PORT] ...``."""
    try:
        config = Config.read(argv[1:], os.environ)
    except (FlagError, ConfigError) as error:
        wanted = isinstance(error, FlagError) and error.help_wanted
        text = usage("go-httpbin", FLAGS)
        print_line((text if wanted else f"error: {error}\n\n{text}").rstrip("\n"), error=True)
        return 0 if wanted else 2
    log = partial(_log, config.log_format)
    httpbin = Httpbin(
        limits=config.limits,
        hostname=pod.name if config.real_hostname else "go-httpbin",
        environment={name: value for name, value in sorted(os.environ.items()) if name.startswith("HTTPBIN_")},
        prefix=config.prefix,
    )
    tls = None
    try:
        if config.cert_file:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(config.cert_file, config.key_file)
        address = f"{config.host}:{config.port}"
        server = HttpServer(
            application(httpbin, log),
            [config.port],
            grace_s=config.limits.max_duration_s + 1,
            tls=tls,
            on_listening=lambda: log("INFO", f"go-httpbin listening on {'https' if tls else 'http'}://{address}"),
            on_stop=lambda _: log("INFO", "shutting down ..."),
        )
        serve(server, pod)
    except BindError as error:
        log("ERROR", f"error: listen tcp {address}: bind: {error.reason.lower()}")
        return 1
    except OSError as error:
        log("ERROR", f"error: open {config.cert_file or config.key_file}: {(error.strerror or str(error)).lower()}")
        return 1
    return 0


def application(httpbin: Httpbin, log: Callable[..., None]) -> web.Application:
    """All endpoints behind the middleware."""
    app = web.Application(middlewares=[observe(log)], client_max_size=httpbin.limits.max_body_size)
    app.on_response_prepare.append(_allow_origin)
    for methods, path, endpoint in ROUTES:
        handler = partial(endpoint, httpbin)
        for method in methods:
            app.router.add_route(method, httpbin.prefix + path, handler)
            if method == "GET":
                app.router.add_route("HEAD", httpbin.prefix + path, handler)
    return app


def observe(log: Callable[..., None]) -> Middleware:
    """Errors as documents, and a log line for each request."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        response = await _answer(request, handler)
        elapsed_ms = (time.perf_counter() - started) * 1000
        level = "ERROR" if response.status >= 500 else "WARN" if response.status >= 400 else "INFO"
        log(
            level,
            f"{response.status} {request.method} {request.raw_path} {elapsed_ms:.1f}ms",
            status=response.status,
            method=request.method,
            uri=request.raw_path,
            size_bytes=response.content_length or response.body_length,
            duration_ms=round(elapsed_ms, 6),
            user_agent=request.headers.get("User-Agent", ""),
            client_ip=echo.origin(request),
        )
        return response

    return middleware


async def _allow_origin(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin") or "*"
    response.headers["Access-Control-Allow-Credentials"] = "true"


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method == "OPTIONS":
        headers = {"Access-Control-Allow-Methods": _ALLOWED_METHODS, "Access-Control-Max-Age": "3600"}
        if asked := request.headers.get("Access-Control-Request-Headers"):
            headers["Access-Control-Allow-Headers"] = asked
        return web.Response(headers=headers)
    try:
        return await handler(request)
    except BadInput as error:
        return error_response(400, str(error))
    except web.HTTPNotFound:
        return error_response(404)
    except web.HTTPMethodNotAllowed as error:
        allow = ", ".join(sorted(error.allowed_methods))
        headers = {"Allow": allow, "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=b"Method Not Allowed\n", status=405, headers=headers)
    except web.HTTPRequestEntityTooLarge:
        return error_response(400, "error parsing request body: http: request body too large")


def _log(log_format: str, level: str, message: str, **values: str | int | float) -> None:
    """One line of Go's ``log/slog``, on stderr."""
    stamp = now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if log_format == "json":
        line = json.dumps({"time": stamp, "level": level, "msg": message, **values}, separators=(",", ":"))
    else:
        pairs = {"time": stamp, "level": level, "msg": message, **values}
        line = " ".join(f"{name}={_quoted(value)}" for name, value in pairs.items())
    print_line(line, error=True)


def _quoted(value: str | int | float) -> str:
    text = str(value)
    if text and all(character > " " and character not in '"=' for character in text):
        return text
    return json.dumps(text, ensure_ascii=False)
