"""Gateway: the servers of proxies at the mesh's edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.protocol import declared_protocol
from meshlab.minicluster.mesh.istio.reading import (
    Problems,
    boolean,
    created,
    integer,
    mapping,
    objects,
    string_map,
    text,
    texts,
)
from meshlab.minicluster.mesh.model import ConfigRef, Protocol
from meshlab.minicluster.mesh.routing import Gateway, GatewayServer, ServerTls

Mode = Literal["NONE", "SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "PASSTHROUGH", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL"]
MODES: dict[str, Mode] = {
    "SIMPLE": "SIMPLE",
    "MUTUAL": "MUTUAL",
    "OPTIONAL_MUTUAL": "OPTIONAL_MUTUAL",
    "PASSTHROUGH": "PASSTHROUGH",
    "AUTO_PASSTHROUGH": "AUTO_PASSTHROUGH",
    "ISTIO_MUTUAL": "ISTIO_MUTUAL",
}

CIPHER_SUITES = frozenset(
    [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
    ]
)
"""Those that Envoy takes; Istio leaves others out, as Envoy would refuse the whole listener."""

TERMINATING = ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
"""Modes in which the server needs a certificate of its own."""


def translate_gateway(obj: Obj, ref: ConfigRef, problems: Problems) -> list[Gateway]:
    """One Gateway with its servers."""
    spec = mapping(obj.get("spec"))
    servers = []
    for item in objects(spec.get("servers")):
        server = _server(item, ref)
        if server is None:
            problems.add("gateway.server", ref, f"{ref}: a server without a port number or hosts is ignored", "error")
        elif server.protocol in (Protocol.HTTPS, Protocol.TLS) and server.tls.mode == "NONE":
            problems.add("gateway.tls", ref, f"{ref}: port {server.port} is {server.protocol} without tls", "error")
        elif server.tls.mode in TERMINATING and not (server.tls.credentials or server.tls.files):
            problems.add("gateway.tls", ref, f"{ref}: port {server.port} has no certificate (credentialName)", "error")
        else:
            servers.append(server)
    return [Gateway(ref.namespace, ref.name, string_map(spec.get("selector")), tuple(servers), ref, created(obj))]


def _server(item: Mapping[str, Any], ref: ConfigRef) -> GatewayServer | None:
    port = mapping(item.get("port"))
    number = integer(port.get("number"))
    hosts = tuple(_host(host, ref.namespace) for host in texts(item.get("hosts")))
    if number is None or not 0 < number < 65536 or not hosts:
        return None
    return GatewayServer(
        port=number,
        port_name=text(port.get("name")),
        protocol=declared_protocol(text(port.get("protocol"))),
        hosts=hosts,
        tls=_tls(item.get("tls")),
        name=text(item.get("name")),
        bind=text(item.get("bind")),
    )


def _host(host: str, namespace: str) -> tuple[str, str]:
    owner, _, name = host.rpartition("/")
    return ({"": "*", ".": namespace}.get(owner, owner), name.lower())


def _tls(value: Any) -> ServerTls:
    if not isinstance(value, dict):
        return ServerTls("NONE")
    redirect = boolean(value.get("httpsRedirect")) or False
    # A server that only redirects has tls without a mode; any other tls without one means PASSTHROUGH upstream.
    mode: Mode = "NONE" if redirect and not value.get("mode") else MODES.get(text(value.get("mode")), "PASSTHROUGH")
    return ServerTls(
        mode=mode,
        credentials=tuple(
            filter(own_secret, (text(value.get("credentialName")), *texts(value.get("credentialNames"))))
        ),
        ca_credential=own_secret(text(value.get("caCertCredentialName"))),
        files=tuple(
            (text(pair.get("serverCertificate")), text(pair.get("privateKey")))
            for pair in (*objects(value.get("tlsCertificates")), value)
            if pair.get("serverCertificate")
        ),
        ca_file=text(value.get("caCertificates")),
        subject_alt_names=texts(value.get("subjectAltNames")),
        https_redirect=redirect,
        minimum_version=text(value.get("minProtocolVersion")),
        maximum_version=text(value.get("maxProtocolVersion")),
        cipher_suites=tuple(name for name in texts(value.get("cipherSuites")) if name in CIPHER_SUITES),
        certificate_hashes=texts(value.get("verifyCertificateHash")),
        public_key_hashes=texts(value.get("verifyCertificateSpki")),
    )


def own_secret(name: str) -> str:
    """A secret's name as a Gateway may give it; names of other namespaces' secrets are nothing a Gateway may use."""
    return "" if "://" in name and not name.startswith("kubernetes://") else name
