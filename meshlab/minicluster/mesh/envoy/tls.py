"""Transport sockets: mutual TLS between workloads, and TLS of clients' and gateways' own choice."""

from __future__ import annotations

from collections.abc import Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.vocabulary import ADS, extension
from meshlab.minicluster.mesh.policy import ClientTls
from meshlab.minicluster.mesh.routing import ServerTls

TLS_SOCKET = "envoy.transport_sockets.tls"
UPSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
DOWNSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"

WORKLOAD_SECRET = "default"
ROOT_SECRET = "ROOTCA"

ALPN_TCP = ("istio-peer-exchange", "istio")
ALPN_HTTP1 = ("istio-http/1.1", "istio", "http/1.1")
ALPN_HTTP2 = ("istio-h2", "istio", "h2")
"""What clients offer. The server never selects an ``istio*`` one, as Envoy would not know which HTTP that is; its
filter chains tell meshed clients from others by what they offer."""

MESH_HTTP_ALPN = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
MESH_TCP_ALPN = ("istio-peer-exchange", "istio")
MESH_ALPN = (*MESH_TCP_ALPN, *MESH_HTTP_ALPN)

SYSTEM_AUTHORITIES = "system"
"""In place of a file's name: the authorities that the operating system trusts."""

VERSIONS = {"TLSV1_0": "TLSv1_0", "TLSV1_1": "TLSv1_1", "TLSV1_2": "TLSv1_2", "TLSV1_3": "TLSv1_3"}

RAW_BUFFER: Obj = extension(
    "envoy.transport_sockets.raw_buffer", "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
)


def sds(name: str) -> Obj:
    """A secret that istiod serves."""
    return {"name": name, "sds_config": ADS}


def kubernetes_secret(credential: str) -> str:
    """The SDS name of a Kubernetes secret."""
    return credential if "://" in credential else f"kubernetes://{credential}"


def file_certificate(certificate: str, key: str) -> str:
    """The SDS name of a certificate in the proxy's own files; a missing file then costs only its user."""
    return f"file-cert:{certificate}~{key}"


def san_matchers(names: Sequence[str]) -> list[Obj]:
    """Exact subject alternative names; those with a scheme are URIs, the others DNS names."""
    return [
        {"san_type": "URI" if "://" in name else "DNS", "matcher": {"exact": name}} for name in dict.fromkeys(names)
    ]


def mesh_client(sni: str, sans: Sequence[str], alpn: Sequence[str]) -> Obj:
    """Mutual TLS with the workload's own certificate, to servers with one of the given identities."""
    context: Obj = {"match_typed_subject_alt_names": san_matchers(sans)} if sans else {}
    return extension(
        TLS_SOCKET,
        UPSTREAM_TLS,
        sni=sni,
        common_tls_context={
            "alpn_protocols": list(alpn),
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificate_sds_secret_configs": [sds(WORKLOAD_SECRET)],
            "combined_validation_context": {
                "default_validation_context": context,
                "validation_context_sds_secret_config": sds(ROOT_SECRET),
            },
        },
    )


def mesh_server(
    trust_domain: str,
    alpn: Sequence[str] = ("h2", "http/1.1"),
    aliases: Sequence[str] = (),
    minimum: str = "TLSV1_2",
) -> Obj:
    """Mutual TLS with the workload's own certificate, for clients of the trust domain or of one of its aliases."""
    trusted = [
        {"san_type": "URI", "matcher": {"prefix": f"spiffe://{domain}/"}}
        for domain in dict.fromkeys((trust_domain, *aliases))
    ]
    oldest = VERSIONS.get(minimum, "TLSv1_2")
    context: Obj = {
        "tls_params": {"tls_minimum_protocol_version": oldest, "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [sds(WORKLOAD_SECRET)],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": trusted},
            "validation_context_sds_secret_config": sds(ROOT_SECRET),
        },
    }
    if alpn:
        context["alpn_protocols"] = list(alpn)
    return extension(TLS_SOCKET, DOWNSTREAM_TLS, require_client_certificate=True, common_tls_context=context)


def auto_mtls_matches(sni: str, sans: Sequence[str], alpn: Sequence[str]) -> list[Obj]:
    """Mutual TLS to endpoints that have a sidecar, plain text to the others: auto-mTLS."""
    return [
        {
            "name": "tlsMode-istio",
            "match": {"tlsMode": "istio"},
            "transport_socket": mesh_client(sni, sans, alpn),
        },
        {"name": "tlsMode-disabled", "match": {}, "transport_socket": RAW_BUFFER},
    ]


def client_socket(tls: ClientTls, host: str, sni: str, sans: Sequence[str], alpn: Sequence[str]) -> Obj | None:
    """The transport socket for client TLS settings that somebody wrote; None for plain text.

    Args:
        tls: the settings. As upstream (VERIFY_CERTIFICATE_AT_CLIENT, AUTO_SNI) a server outside the mesh is verified
            with the system's authorities, and for its host, unless they say otherwise.
        host: the service's host, the SNI of TLS outside the mesh unless the settings have one.
        sni: the SNI inside the mesh.
        sans: the server's known identities.
        alpn: what is offered inside the mesh; outside only its standard names are.
    """
    if tls.mode == "DISABLE":
        return None
    if tls.mode == "MESH_MUTUAL":
        return mesh_client(tls.sni or sni, tls.subject_alt_names or sans, alpn)
    common: Obj = {"tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}}
    standard = [name for name in alpn if not name.startswith("istio")]
    if standard:
        common["alpn_protocols"] = standard
    validation: Obj = {}
    wildcard = "*" in host
    if tls.subject_alt_names:
        validation["match_typed_subject_alt_names"] = san_matchers(tls.subject_alt_names)
    if tls.credential:
        secret = kubernetes_secret(tls.credential)
        if tls.mode == "MUTUAL":
            common["tls_certificate_sds_secret_configs"] = [sds(secret)]
        common["combined_validation_context"] = {
            "default_validation_context": validation,
            "validation_context_sds_secret_config": sds(f"{secret}-cacert"),
        }
    else:
        if tls.mode == "MUTUAL" and tls.certificate_file and tls.key_file:
            common["tls_certificate_sds_secret_configs"] = [sds(file_certificate(tls.certificate_file, tls.key_file))]
        if not tls.insecure_skip_verify:
            if not (tls.subject_alt_names or tls.sni or wildcard):
                validation["match_typed_subject_alt_names"] = san_matchers((host,))
            common["combined_validation_context"] = {
                "default_validation_context": validation,
                "validation_context_sds_secret_config": sds(f"file-root:{tls.ca_file or SYSTEM_AUTHORITIES}"),
            }
    return extension(TLS_SOCKET, UPSTREAM_TLS, sni=tls.sni or ("" if wildcard else host), common_tls_context=common)


def announced(members: Obj, version: str | None) -> Obj:
    """A cluster's transport sockets, each behind a PROXY header if a version of that protocol is wanted."""
    if version is None:
        return members

    def wrap(socket: Obj) -> Obj:
        return extension(
            "envoy.transport_sockets.upstream_proxy_protocol",
            "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            config={"version": version},
            transport_socket=socket,
        )

    if "transport_socket_matches" in members:
        matches = members["transport_socket_matches"]
        return {"transport_socket_matches": [{**m, "transport_socket": wrap(m["transport_socket"])} for m in matches]}
    return {"transport_socket": wrap(members.get("transport_socket", RAW_BUFFER))}


def gateway_socket(tls: ServerTls, trust_domain: str) -> Obj | None:
    """The transport socket of a gateway's server; None where TLS is absent or passed on."""
    if tls.mode in ("NONE", "PASSTHROUGH", "AUTO_PASSTHROUGH"):
        return None
    if tls.mode == "ISTIO_MUTUAL":
        return mesh_server(trust_domain)
    parameters: Obj = {
        "tls_minimum_protocol_version": VERSIONS.get(tls.minimum_version, "TLSv1_2"),
        "tls_maximum_protocol_version": VERSIONS.get(tls.maximum_version, "TLSv1_3"),
    }
    if tls.cipher_suites:
        parameters["cipher_suites"] = list(tls.cipher_suites)
    certificates = [kubernetes_secret(name) for name in tls.credentials]
    certificates += [file_certificate(*pair) for pair in tls.files]
    common: Obj = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": parameters,
        "tls_certificate_sds_secret_configs": [sds(name) for name in certificates],
    }
    if tls.mode in ("MUTUAL", "OPTIONAL_MUTUAL"):
        if tls.ca_credential:
            authority = kubernetes_secret(tls.ca_credential)
        elif tls.credentials:
            authority = f"{certificates[0]}-cacert"
        else:
            authority = f"file-root:{tls.ca_file}"
        common["combined_validation_context"] = {
            "default_validation_context": _client_validation(tls),
            "validation_context_sds_secret_config": sds(authority),
        }
    return extension(
        TLS_SOCKET, DOWNSTREAM_TLS, require_client_certificate=tls.mode == "MUTUAL", common_tls_context=common
    )


def _client_validation(tls: ServerTls) -> Obj:
    """What a client's certificate has to be, beyond one of the right authority."""
    found: Obj = {}
    if tls.subject_alt_names:
        found["match_typed_subject_alt_names"] = san_matchers(tls.subject_alt_names)
    if tls.public_key_hashes:
        found["verify_certificate_spki"] = list(tls.public_key_hashes)
    if tls.certificate_hashes:
        found["verify_certificate_hash"] = list(tls.certificate_hashes)
    return found
