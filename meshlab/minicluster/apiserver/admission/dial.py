"""How the server reaches a webhook: a URL, or a Service found through its endpoints.

A Service is not dialled by its ClusterIP: the server picks a ready endpoint itself, as upstream does when it runs
with endpoint routing, so that webhooks work before the L4 path is up. TLS is judged by the Service's DNS name.
"""

from __future__ import annotations

import base64
import random
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult

from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.kubeapi import Obj


class Unreachable(Exception):
    """The webhook's address cannot be determined; the text is upstream's."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post, and what really answers there."""

    url: str
    shown_url: str
    address: tuple[str, int] | None
    """The real (ip, port) behind a Service; None for a plain URL."""


def resolve_service(
    store: Store, real_port: Callable[[int], int], namespace: str, name: str, port: int
) -> tuple[str, int]:
    """The real (ip, port) of a ready endpoint of a Service's port.

    Raises:
        Unreachable: there is no such Service, port or endpoint.
    """
    service = store.get("services", (namespace, name))
    if service is None:
        raise Unreachable(f'service "{name}" not found')
    service_port = next((p for p in service.obj["spec"].get("ports") or () if p["port"] == port), None)
    if service_port is None:
        raise Unreachable(f'service port {port} not found for service "{name}"')
    candidates: list[tuple[str, int]] = []
    for _, record in store.collection("discovery.k8s.io/endpointslices").scan(namespace):
        if (record.obj["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != name:
            continue
        wanted = service_port.get("name") or ""
        target = next((p.get("port") for p in record.obj.get("ports") or () if (p.get("name") or "") == wanted), None)
        if target is None:
            continue
        for endpoint in record.obj.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready", True) is not False:
                candidates += [(address, target) for address in endpoint.get("addresses") or ()]
    if not candidates:
        raise Unreachable(f'no endpoints available for service "{name}"')
    address, target = random.choice(candidates)
    return address, real_port(target)


def webhook_target(store: Store, real_port: Callable[[int], int], client: Obj, timeout_s: float) -> Target:
    """Where a webhook's ``clientConfig`` points.

    Raises:
        Unreachable: its Service has nothing that answers.
    """
    query = f"timeout={timeout_s:g}s"
    if client.get("url"):
        url = client["url"] + ("&" if "?" in client["url"] else "?") + query
        return Target(url, url, None)
    service = client["service"]
    port = int(service.get("port") or 443)
    host = f"{service['name']}.{service['namespace']}.svc"
    path = "/" + (service.get("path") or "").lstrip("/")
    shown = f"https://{host}:{port}{path}?{query}"
    address = resolve_service(store, real_port, service["namespace"], service["name"], port)
    return Target(shown, shown, address)


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """Trust exactly the bundle (base64 PEM), or the system's authorities when there is none."""
    if not ca_bundle:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=base64.b64decode(ca_bundle).decode())
    return context


class FixedResolver(AbstractResolver):
    """Resolves every host to the one real address behind the Service."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        ip, real_port = self._address
        return [
            ResolveResult(
                hostname=host, host=ip, port=real_port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""
