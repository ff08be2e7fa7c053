"""Which protocol a service port speaks: ``appProtocol``, else the port's name up to the first dash, else a guess.

Source: https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/
"""

from __future__ import annotations

from meshlab.minicluster.mesh.model import Protocol

BY_NAME = {
    "http": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "grpc-web": Protocol.GRPC_WEB,
    "https": Protocol.HTTPS,
    "tls": Protocol.TLS,
    "tcp": Protocol.TCP,
    "udp": Protocol.UDP,
    "mongo": Protocol.TCP,
    "mysql": Protocol.TCP,
    "redis": Protocol.TCP,
}
"""Protocols whose contents Istio's defaults do not look into are TCP to a proxy."""

BY_APP_PROTOCOL = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
}

SERVER_FIRST_PORTS = {25: "smtp", 53: "dns", 3306: "mysql", 27017: "mongo"}
"""Well-known ports on which sniffing would wait for ever, as the server speaks first."""


def port_protocol(port: int, name: str, app_protocol: str | None = None, transport: str = "TCP") -> Protocol:
    """The protocol of a service port.

    Args:
        port: the service port's number.
        name: the port's name, such as ``http-web``.
        app_protocol: the port's ``appProtocol``; it wins over the name.
        transport: ``TCP`` or ``UDP``.
    """
    if transport == "UDP":
        return Protocol.UDP
    if app_protocol:
        declared = BY_APP_PROTOCOL.get(app_protocol.lower()) or _named(app_protocol.lower())
        if declared is not None:
            return declared
    by_name = _named(name.lower())
    if by_name is not None:
        return by_name
    return Protocol.TCP if port in SERVER_FIRST_PORTS else Protocol.AUTO


def _named(name: str) -> Protocol | None:
    if name == "grpc-web" or name.startswith("grpc-web-"):
        return Protocol.GRPC_WEB
    return BY_NAME.get(name.partition("-")[0])


def declared_protocol(name: str) -> Protocol:
    """The protocol for a field that holds nothing but a protocol's name (Gateway servers, ServiceEntry ports)."""
    return _named(name.lower()) or Protocol.AUTO
