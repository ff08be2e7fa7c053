"""What makes a Gateway invalid; the TLS settings of its servers also occur in Sidecars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, text, texts
from meshlab.minicluster.mesh.istio.validation_common import (
    HTTP_PROTOCOLS,
    PROTOCOLS,
    TLS_PROTOCOLS,
    UNIX,
    Caution,
    Messages,
    ip_address,
    is_label,
    namespaced_host,
    port,
    protocol_of,
    quote,
    unix_address,
)

PASS_THROUGH = ("PASSTHROUGH", "AUTO_PASSTHROUGH")
NOT_WITH_ISTIO_MUTUAL = {
    "serverCertificate": "server certificate",
    "privateKey": "private key",
    "caCertificates": "CA bundle",
    "tlsCertificates": "tlsCertificates",
    "credentialName": "credentialName",
    "credentialNames": "credentialNames",
}
CIPHERS = frozenset(
    [
        *(f"ECDHE-{key}-AES{bits}" for key in ("ECDSA", "RSA") for bits in ("128-GCM-SHA256", "256-GCM-SHA384")),
        *(
            f"ECDHE-{key}-{rest}"
            for key in ("ECDSA", "RSA")
            for rest in ("CHACHA20-POLY1305", "AES128-SHA", "AES256-SHA")
        ),
        *("AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA"),
    ]
)
"""The cipher suites that BoringSSL knows."""


def validate_gateway(obj: Obj) -> Messages:
    """The messages for one Gateway."""
    name = text(mapping(obj.get("metadata")).get("name"))
    if not is_label(name):
        yield f"invalid gateway name: {quote(name)}"
    servers = objects(mapping(obj.get("spec")).get("servers"))
    if not servers:
        yield "gateway must have at least one server"
    for server in servers:
        yield from _server(server)
    seen = set()
    for server in servers:
        if server.get("port") is None:
            continue
        port_named = text(mapping(server["port"]).get("name"))
        if port_named in seen:
            yield f"port names in servers must be unique: duplicate name {port_named}"
        seen.add(port_named)
        if protocol_of(server["port"]) not in HTTP_PROTOCOLS and mapping(server.get("tls")).get("httpsRedirect"):
            yield Caution("tls.httpsRedirect should only be used with http servers")


def _server(server: Mapping[str, Any]) -> Messages:
    hosts = texts(server.get("hosts"))
    if not hosts:
        yield "server config must contain at least one host"
    for host in hosts:
        yield from namespaced_host(host, gateway=True)
    bind = text(server.get("bind"))
    wrong_port = list(_server_port(server.get("port"), bind))
    yield from wrong_port
    yield from _server_bind(mapping(server.get("port")), bind)
    tls = server.get("tls")
    yield from server_tls(tls)
    if wrong_port:
        return
    protocol = protocol_of(server["port"])
    if protocol in TLS_PROTOCOLS and tls is None:
        yield "server must have TLS settings for HTTPS/TLS protocols"
    elif protocol not in TLS_PROTOCOLS and tls is not None:
        if protocol not in HTTP_PROTOCOLS:
            yield "server cannot have TLS settings for non HTTPS/TLS ports"
        elif text(tls.get("mode")) not in ("", *PASS_THROUGH) or any(
            tls.get(field) for field in ("caCertificates", "privateKey", "serverCertificate")
        ):
            yield "server cannot have TLS settings for plain text HTTP ports"


def _server_bind(given: Mapping[str, Any], bind: str) -> Messages:
    if bind.startswith(UNIX):
        yield from unix_address(bind.removeprefix(UNIX))
        if given.get("number"):
            yield f"port number must be 0 for unix domain socket: {_shown(given)}"
    elif bind:
        yield from ip_address(bind)


def _shown(given: Mapping[str, Any]) -> str:
    """A port as Go prints the message."""
    fields = []
    if given.get("number"):
        fields.append(f"number:{given['number']}")
    fields += [f'{field}:"{given[field]}"' for field in ("protocol", "name") if given.get(field)]
    return " ".join(fields)


def _server_port(given: Any, bind: str) -> Messages:
    if given is None:
        yield "port is required"
        return
    if protocol_of(given) not in PROTOCOLS:
        yield (
            f"invalid protocol {quote(text(given.get('protocol')))}, supported protocols are "
            "HTTP, HTTP2, GRPC, GRPC-WEB, MONGO, REDIS, MYSQL, TCP"
        )
    if given.get("number") or not bind.startswith(UNIX):
        yield from port(given.get("number"))
    if given.get("targetPort"):
        yield "targetPort has no impact on Gateways"
    if not given.get("name"):
        yield f"port name must be set: {_shown(given)}"


def server_tls(tls: Any) -> Messages:
    """TLS settings of a server."""
    if tls is None:
        return
    mode = text(tls.get("mode")) or "PASSTHROUGH"
    yield from _ciphers(tls)
    if mode == "ISTIO_MUTUAL":
        for field, what in NOT_WITH_ISTIO_MUTUAL.items():
            if tls.get(field):
                yield f"ISTIO_MUTUAL TLS cannot have associated {what}"
        return
    if mode in PASS_THROUGH and any(tls.get(field) for field in (*NOT_WITH_ISTIO_MUTUAL, "caCrl")):
        yield Caution(f"{mode} mode does not use certificates, they will be ignored")
    sources = [
        bool(tls.get("serverCertificate") and tls.get("privateKey")),
        bool(tls.get("credentialName")),
        bool(tls.get("credentialNames")),
        bool(tls.get("tlsCertificates")),
    ]
    if sum(sources) > 1:
        yield (
            "only one of credential_name, credential_names, server_certificate/private_key, "
            "tls_certificates should be specified"
        )
    terminates = mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
    if terminates and (tls.get("credentialName") or tls.get("credentialNames")):
        return
    if terminates:
        yield from _certificates(tls, mode)
    if tls.get("caCrl"):
        if tls.get("credentialName"):
            yield "CRL is not supported with credentialName. CRL has to be specified in the credential"
        if mode == "SIMPLE":
            yield "CRL is not supported with SIMPLE TLS"


def _certificates(tls: Mapping[str, Any], mode: str) -> Messages:
    """The files that a server needs which gets no secret."""
    words = "SIMPLE TLS" if mode == "SIMPLE" else "MUTUAL TLS"
    if mode != "SIMPLE" and not tls.get("caCertificates"):
        yield f"{words} requires a client CA bundle"
    certificates = objects(tls.get("tlsCertificates"))
    if len(certificates) > 2:
        yield Caution(f"{words} can support up to 2 server certificates")
    for certificate in certificates or [tls]:
        if not certificate.get("serverCertificate"):
            yield f"{words} requires a server certificate"
        if not certificate.get("privateKey"):
            yield f"{words} requires a private key"


def _ciphers(tls: Mapping[str, Any]) -> Messages:
    given = texts(tls.get("cipherSuites"))
    if text(tls.get("minProtocolVersion")) in ("TLSV1_0", "TLSV1_1") and not given:
        yield Caution(
            "TLS version below TLSV1_2 require setting compatible ciphers as by default they no longer include "
            "compatible ciphers."
        )
    # A name that starts with an operator is an expression of OpenSSL's cipher list.
    known = [suite for suite in given if suite in ("", "ALL", *CIPHERS) or not suite[0].isalnum()]
    invalid = sorted(set(given) - set(known))
    repeated = sorted({suite for suite in known if known.count(suite) > 1})
    if invalid:
        yield Caution(f"ignoring invalid cipher suites: [{' '.join(invalid)}]")
    if repeated:
        yield Caution(f"ignoring duplicate cipher suites: [{' '.join(repeated)}]")
