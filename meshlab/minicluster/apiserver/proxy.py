"""The proxy subresources of pods and Services: an HTTP request passed on to a port behind them."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from meshlab.minicluster.apiserver.admission.dial import Unreachable, resolve_service
from meshlab.minicluster.apiserver.paths import ApiPath
from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.kubeapi import Obj, StatusError

_HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers", "upgrade"}
_HOP_BY_HOP |= {"transfer-encoding", "content-length", "host", "authorization", "accept-encoding", "content-encoding"}
_CHUNK = 64 * 1024


async def serve_proxy(
    request: web.Request, body: bytes, path: ApiPath, store: Store, real_port: Callable[[int], int]
) -> web.StreamResponse:
    """Pass the request on and the answer back.

    Raises:
        StatusError: 404 for what does not exist, 503 for what does not answer.
    """
    scheme, name, port = _split(path.name)
    try:
        if path.plural == "services":
            address = _service_address(store, real_port, path.namespace, name, port)
        else:
            address = _pod_address(store, real_port, path.namespace, name, port)
    except Unreachable as error:
        raise _unavailable(str(error)) from error
    url = f"{scheme}://{address[0]}:{address[1]}{path.tail or '/'}"
    if request.query_string:
        url += f"?{request.query_string}"
    headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP)
    try:
        async with (
            aiohttp.ClientSession(trust_env=False, auto_decompress=True) as session,
            session.request(
                request.method, url, data=body or None, headers=headers, allow_redirects=False, ssl=False
            ) as answer,
        ):
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for key, value in answer.headers.items():
                if key.lower() not in _HOP_BY_HOP:
                    response.headers.add(key, value)
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(_CHUNK):
                await response.write(chunk)
            await response.write_eof()
            return response
    except aiohttp.ClientConnectionError as error:
        raise _unavailable(f"error trying to reach service: {error}") from error


def _split(text: str) -> tuple[str, str, str]:
    """(scheme, name, port) of ``[scheme:]name[:port]``."""
    parts = text.split(":")
    if len(parts) == 3:
        return parts[0] or "http", parts[1], parts[2]
    return "http", parts[0], parts[1] if len(parts) == 2 else ""


def _service_address(
    store: Store, real_port: Callable[[int], int], namespace: str, name: str, port: str
) -> tuple[str, int]:
    service = store.get("services", (namespace, name))
    if service is None:
        raise StatusError(404, "NotFound", f'services "{name}" not found', {"name": name, "kind": "services"})
    ports = service.obj["spec"].get("ports") or []
    wanted = [p for p in ports if port in (p.get("name"), str(p["port"]))] if port else ports[:1]
    if not wanted:
        raise Unreachable(f'no endpoints available for service "{name}"')
    return resolve_service(store, real_port, namespace, name, wanted[0]["port"])


def _pod_address(
    store: Store, real_port: Callable[[int], int], namespace: str, name: str, port: str
) -> tuple[str, int]:
    pod = store.get("pods", (namespace, name))
    if pod is None:
        raise StatusError(404, "NotFound", f'pods "{name}" not found', {"name": name, "kind": "pods"})
    ip = (pod.obj.get("status") or {}).get("podIP")
    if not ip:
        raise Unreachable(f"address not allowed: pod {name} has no address yet")
    return ip, real_port(_container_port(pod.obj, port))


def _container_port(pod: Obj, port: str) -> int:
    if port.isdigit():
        return int(port)
    declared = [p for container in pod["spec"]["containers"] for p in container.get("ports") or ()]
    for candidate in declared:
        if not port or candidate.get("name") == port:
            return int(candidate["containerPort"])
    return 80


def _unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message)
