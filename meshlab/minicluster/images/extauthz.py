"""``istio/ext-authz``: the sample authorizer of Istio's task on external authorization.

It agrees to requests with the header ``x-ext-authz: allow``. Asked by gRPC it also agrees to callers with a certain
service account if the header is missing.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from aiohttp import web
from google.protobuf.message import Message

from meshlab.minicluster.images.go_flags import Flag, FlagError, parse_flags
from meshlab.minicluster.images.grpc_server import GrpcServer
from meshlab.minicluster.images.http_server import BindError, HttpServer, catch_all, now
from meshlab.minicluster.mesh import proto
from meshlab.minicluster.pod import PodContext

CHECK = "x-ext-authz"
RESULT = "x-ext-authz-check-result"
RECEIVED = "x-ext-authz-check-received"
OVERRIDE = "x-ext-authz-additional-header-override"
OVERRIDE_BY_GRPC = "grpc-additional-header-override-value"
DENIED = f"denied by ext_authz for not found header `{CHECK}: allow` in the request"
LONGEST_HEADER = 60_000
"""Envoy takes no longer ones."""

PERMISSION_DENIED = 7
FLAGS = {
    "allow_service_account": Flag(
        "allowed service account, matched against the service account in the source principal from the client "
        "certificate",
        "a",
    ),
    "http": Flag("HTTP server port", "8000"),
    "grpc": Flag("gRPC server port", "9000"),
}


def main(argv: list[str], pod: PodContext) -> int:
    """``extauthz [-http PORT] [-grpc PORT] [-allow_service_account NAME]``."""
    try:
        values, _ = parse_flags(FLAGS, argv[1:])
        ports = int(str(values["http"])), int(str(values["grpc"]))
    except (FlagError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(_run(pod, *ports, str(values["allow_service_account"])))


async def _run(pod: PodContext, http_port: int, grpc_port: int, account: str) -> int:
    async def check(request: Any) -> Message:
        return _check(request, account)

    grpc = GrpcServer(
        "envoy.service.auth.v3.Authorization",
        "Check",
        "envoy.service.auth.v3.CheckRequest",
        "envoy.service.auth.v3.CheckResponse",
        check,
    )

    def listening() -> None:
        _log(f"Starting HTTP server at [::]:{http_port}")
        _log(f"Starting gRPC server at [::]:{grpc_port}")

    try:
        await grpc.start(pod, grpc_port)
        await HttpServer(catch_all(_answer), [http_port], headers={"Server": ""}, on_listening=listening).run(pod)
    except BindError as error:
        _log(f"Failed to start server: listen tcp :{error.port}: bind: {error.reason}")
        return 1
    finally:
        await grpc.stop()
    return 0


def _log(text: str) -> None:
    print(f"{now():%Y/%m/%d %H:%M:%S} {text}", file=sys.stderr, flush=True)


async def _answer(request: web.Request) -> web.Response:
    body = await request.text()
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        if name.lower() != "host":
            headers.setdefault(name.title(), []).append(value)
    shown = " ".join(f"{name}:[{' '.join(values)}]" for name, values in sorted(headers.items()))
    line = f"{request.method} {request.host}{request.path_qs}, headers: map[{shown}], body: [{_short(body)}]"
    allowed = request.headers.get(CHECK) == "allow"
    _log(f"[HTTP][{'allowed' if allowed else 'denied'}]: {line}\n")
    answer = {RESULT: "allowed" if allowed else "denied", OVERRIDE: request.headers.get(OVERRIDE, ""), RECEIVED: line}
    return web.Response(status=200 if allowed else 403, text="" if allowed else DENIED, headers=answer)


def _check(request: Any, account: str) -> Message:
    attributes = request.attributes
    http = attributes.request.http
    if CHECK in http.headers:
        allowed = http.headers[CHECK] == "allow"
    else:
        allowed = bool(attributes.source.principal.endswith(f"/sa/{account}"))
    shown = go_text(attributes)
    _log(f"[gRPCv3][{'allowed' if allowed else 'denied'}]: {http.host}{http.path}, attributes: {shown}\n")
    added = {RESULT: "allowed" if allowed else "denied", RECEIVED: _short(shown), OVERRIDE: OVERRIDE_BY_GRPC}
    headers = [{"header": {"key": name, "value": value}} for name, value in added.items()]
    if allowed:
        answer: dict[str, Any] = {"status": {"code": 0}, "ok_response": {"headers": headers}}
    else:
        denied = {"status": {"code": "Forbidden"}, "body": DENIED, "headers": headers}
        answer = {"status": {"code": PERMISSION_DENIED}, "denied_response": denied}
    return proto.to_message("envoy.service.auth.v3.CheckResponse", answer)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_HEADER else "<too-long>"


def go_text(message: Message) -> str:
    """A message as Go's ``String`` prints it: ``source:{principal:"x"}  request:{...}``."""
    parts: list[str] = []
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entries = [f"key:{_scalar(key)} value:{_scalar(value[key])}" for key in sorted(value)]
            parts += [f"{field.name}:{{{entry}}}" for entry in entries]
            continue
        values = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
        parts += [f"{field.name}:{_scalar(item)}" for item in values]
    return " ".join(parts)


def _scalar(value: Any) -> str:
    if isinstance(value, Message):
        return f"{{{go_text(value)}}}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else str(value)
