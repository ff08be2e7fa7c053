"""``fortio``: its sub-commands ``load``, ``curl``, ``server`` and ``version``."""

from __future__ import annotations

import asyncio
import json
import random
import sys

from aiohttp import web

from meshlab.minicluster.images.dial import PodNetwork
from meshlab.minicluster.images.fortio.client import VERSION, BadUrl, Client, Request
from meshlab.minicluster.images.fortio.load import LEVEL_NUMBERS, LEVELS, Plan, log, run
from meshlab.minicluster.images.go_flags import Flag, FlagError, parse_duration, parse_flags
from meshlab.minicluster.images.http_server import BindError, HttpServer, catch_all, serve
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

FLAGS = {
    "c": Flag("Number of connections/goroutine/threads", 4, "int"),
    "qps": Flag("Queries Per Seconds or 0 for no wait/max qps", "8"),
    "n": Flag("Run for exactly this number of calls instead of duration", 0, "int"),
    "t": Flag("How long to run the test or 0 to run until ^C", 5.0, "duration"),
    "timeout": Flag("Connection and read timeout value", 3.0, "duration"),
    "loglevel": Flag("log level", "Info"),
    "quiet": Flag("Quiet mode, sets log level to Error", False, "bool"),
    "curl": Flag("Just fetch the content once", False, "bool"),
    "curl-stdout-headers": Flag("Restore pre 1.22 behavior where http headers go to stdout", False, "bool"),
    "H": Flag("Additional http header(s)"),
    "X": Flag("HTTP method to use instead of GET/POST"),
    "user": Flag("User credentials for basic authentication, user:password"),
    "payload": Flag("Payload string to send along"),
    "content-type": Flag("Sets http content type"),
    "payload-file": Flag("File path to be use as payload"),
    "k": Flag("Do not verify certs in https/tls/grpc connections", False, "bool"),
    "insecure": Flag("Long form of the -k flag", False, "bool"),
    "keepalive": Flag("Keep connection alive", True, "bool"),
    "allow-initial-errors": Flag("Allow and don't abort on initial warmup errors", False, "bool"),
    "p": Flag("List of pXX to calculate", "50,75,90,99,99.9"),
    "r": Flag("Resolution of the histogram lowest buckets in seconds", "0.001"),
    "json": Flag("Json output to provided file or '-' for stdout"),
    "a": Flag("Automatically save JSON result", False, "bool"),
    "jitter": Flag("Adds jitter", False, "bool"),
    "uniform": Flag("Sends with uniform distribution", False, "bool"),
    "nocatchup": Flag("Do not catch up", False, "bool"),
    "stdclient": Flag("Use the slower net/http standard client", False, "bool"),
    "http1.0": Flag("Use http1.0", False, "bool"),
    "h2": Flag("Attempt to use http2.0", False, "bool"),
    "http-port": Flag("http echo server port", "8080"),
    "grpc-port": Flag("grpc port", "8079"),
    "tcp-port": Flag("tcp echo server port", "8078"),
    "udp-port": Flag("udp echo server port", "8078"),
    "redirect-port": Flag("Redirect all incoming traffic to https URL", "8081"),
    "echo-server-default-params": Flag("Default parameters of the echo server"),
    "config-dir": Flag("Config directory"),
    "data-dir": Flag("Directory where JSON results are stored", "."),
    "base-url": Flag("Base URL"),
    "labels": Flag("Additional config data/labels"),
    "logger-force-color": Flag("Force color mode", False, "bool"),
}
COMMANDS = "load, server, curl, version"
USAGE = f"Fortio {VERSION} usage:\n\tfortio command [flags] target\nwhere command is one of: {COMMANDS}"
INFO = 2


def main(argv: list[str], pod: PodContext) -> int:
    """``fortio COMMAND [FLAGS] [URL]``; flags may stand before the command too."""
    arguments = list(argv[1:])
    command = next((a for a in arguments if not a.startswith("-")), "") if arguments[:1] else ""
    if arguments[:1] and not arguments[0].startswith("-"):
        command = arguments.pop(0)
    if command == "version":
        print_line(VERSION)
        return 0
    if command not in ("load", "curl", "server"):
        print_line(
            f"Error: {f'Unknown command {command!r}' if command else 'need at least 1 command parameter'}", error=True
        )
        print_line(USAGE, error=True)
        return 1
    try:
        headers, arguments = _headers(arguments)
        values, rest = parse_flags(FLAGS, arguments)
        plan = _plan(values)
        if command == "server":
            return _serve(values, pod)
        if len(rest) != 1:
            raise FlagError(f"Error: fortio {command} needs a url or destination")
        request = _request(rest[0], values, headers)
    except (FlagError, ValueError) as error:
        print_line(f"{error}\n{USAGE}", error=True)
        return 1
    if plan.level != INFO and not plan.quiet:
        name = LEVELS[plan.level].capitalize()
        log(Plan(1, 0, 1, 0), INFO, f"Log level is now {plan.level} {name} (was 2 Info)")
    try:
        return _curl(plan, request, values, pod) if command == "curl" or values["curl"] else run(plan, request, pod)
    except BadUrl as error:
        print_line(str(error), error=True)
        return 1


def _headers(arguments: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The values of ``-H``, which may be given several times, and the other arguments."""
    found: list[tuple[str, str]] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument in ("-H", "--H"):
            name, _, value = next(remaining, "").partition(":")
            found.append((name.strip(), value.strip()))
        else:
            rest.append(argument)
    return found, rest


def _plan(values: dict[str, str | int | bool | float]) -> Plan:
    quiet = bool(values["quiet"])
    level = LEVEL_NUMBERS.get("error" if quiet else str(values["loglevel"]).lower())
    if level is None:
        raise FlagError(f"invalid log level {values['loglevel']!r}")
    rate = str(values["qps"])
    return Plan(
        threads=max(int(values["c"]), 1),
        rate=0.0 if rate == "max" else max(float(rate), 0.0),
        calls=max(int(values["n"]), 0),
        duration_s=float(values["t"]),
        level=level,
        percentiles=[float(part) for part in str(values["p"]).split(",") if part],
        resolution=float(str(values["r"])),
        allow_initial_errors=bool(values["allow-initial-errors"]),
        json_to=str(values["json"]),
        quiet=quiet,
    )


def _request(url: str, values: dict[str, str | int | bool | float], headers: list[tuple[str, str]]) -> Request:
    payload = str(values["payload"]).encode()
    if values["content-type"]:
        headers.append(("Content-Type", str(values["content-type"])))
    return Request(
        url=url if "://" in url else f"http://{url}",
        headers=headers,
        method=str(values["X"]) or ("POST" if payload else "GET"),
        payload=payload,
        timeout_s=float(values["timeout"]),
        insecure=bool(values["k"] or values["insecure"]),
        keep_alive=bool(values["keepalive"]),
        user=str(values["user"]),
    )


def _curl(plan: Plan, request: Request, values: dict[str, str | int | bool | float], pod: PodContext) -> int:
    """Fetch once: headers to stderr, body to stdout; an answer that is not 2xx is an error."""
    answer = Client(request, PodNetwork(pod)).fetch()
    head = sys.stdout if values["curl-stdout-headers"] else sys.stderr
    if answer.code > 0:
        head.write(answer.head.decode(errors="replace"))
        head.flush()
        sys.stdout.write(answer.body.decode(errors="replace"))
        sys.stdout.flush()
    if not answer.good:
        reason = "" if answer.code > 0 else answer.body.decode(errors="replace")
        log(plan, 4, f"Error status {answer.code}" + (f": {reason}" if reason else ""))
        return 1
    return 0


def _serve(values: dict[str, str | int | bool | float], pod: PodContext) -> int:
    """The echo server, with ``status``, ``delay``, ``size`` and ``header`` as query arguments; no web interface."""
    ports = [int(str(values[name]).rpartition(":")[2]) for name in ("http-port",)]

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        delay = _chosen(request.query.get("delay", ""))
        if delay:
            await asyncio.sleep(min(parse_duration(delay), 60.0))
        status = _chosen(request.query.get("status", "")) or "200"
        size = request.query.get("size", "")
        if size.isdecimal():
            body = (b"x" * int(size))[: 1 << 20]
        response = web.Response(body=body, status=int(status) if status.isdecimal() else 400)
        for header in request.query.getall("header", []):
            name, _, value = header.partition(":")
            response.headers[name.strip()] = value.strip()
        if request.path.startswith("/debug"):
            response.text = f"Φορτίο version {VERSION} echo debug server on {pod.name}\n\n" + "\n".join(
                [f"{request.method} {request.path_qs} HTTP/1.1", *(f"{k}: {v}" for k, v in request.headers.items())]
            )
        return response

    def started() -> None:
        print_line(
            json.dumps({"level": "info", "msg": f"Fortio {VERSION} echo server listening on tcp [::]:{ports[0]}"}),
            error=True,
        )

    try:
        serve(HttpServer(catch_all(answer), ports, on_listening=started), pod)
    except BindError as error:
        print_line(f"unable to listen on port {error.port}: {error.reason}", error=True)
        return 1
    return 0


def _chosen(text: str) -> str:
    """One of ``value:share,value:share``; what is left of 100 % is nothing."""
    drawn = random.random() * 100
    for part in text.split(","):
        value, colon, share = part.partition(":")
        drawn -= float(share) if colon and share.replace(".", "", 1).isdecimal() else 100.0
        if drawn < 0:
            return value
    return ""
