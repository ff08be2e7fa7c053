"""TLS of nginx's servers: certificates by server name, and client certificates."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping

from meshlab.minicluster.images.nginx.config import Server
from meshlab.minicluster.images.nginx.syntax import ConfigError

VERIFYING = ("on", "optional")


def tls_contexts(servers: Iterable[Server], host_path: Callable[[str], str]) -> dict[int, ssl.SSLContext]:
    """A TLS context for each port that has TLS; a client's server name chooses among the servers of a port.

    Raises:
        ConfigError: a file cannot be used.
    """
    ports: dict[int, list[tuple[Server, ssl.SSLContext]]] = {}
    for server in servers:
        if server.tls_ports:
            context = _context(dict(server.settings.tls), host_path)
            for port in server.tls_ports:
                ports.setdefault(port, []).append((server, context))
    for group in ports.values():
        group[0][1].sni_callback = _chooser(group)
    return {port: group[0][1] for port, group in ports.items()}


def asks_client(server: Server) -> bool:
    """Whether requests without a client certificate are turned away."""
    return dict(server.settings.tls).get("verify_client") == "on"


def _context(settings: Mapping[str, str], host_path: Callable[[str], str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    certificate, key = settings["certificate"], settings["certificate_key"]
    try:
        context.load_cert_chain(host_path(certificate), host_path(key))
    except OSError as error:
        raise ConfigError(f'cannot load certificate "{certificate}": {error.strerror or error}') from None
    if settings.get("verify_client") in VERIFYING:
        authority = settings.get("client_certificate", "")
        try:
            context.load_verify_locations(host_path(authority))
        except OSError as error:
            raise ConfigError(f'cannot load certificate "{authority}": {error.strerror or error}') from None
        # The handshake goes on without one: nginx tells such a client by a page.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _chooser(group: list[tuple[Server, ssl.SSLContext]]) -> Callable[..., None]:
    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = next((c for server, c in group if name in server.names), group[0][1])

    return choose
