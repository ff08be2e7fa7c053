"""Certificates in Secrets: whether a gateway could serve with them, in the words of Istio and Go's ``crypto/tls``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from meshlab.minicluster.mesh.istio.reading import mapping

KEY_PAIRS = (("cert", "key"), ("tls.crt", "tls.key"))
"""The keys of a generic Secret, and those of ``kubernetes.io/tls``."""


def certificate_problem(secret: Mapping[str, Any]) -> str:
    """Why a Secret's certificate cannot be served with; empty if it can."""
    data = mapping(secret.get("data"))
    for certificate, key in KEY_PAIRS:
        chain, private = _decoded(data.get(certificate)), _decoded(data.get(key))
        if chain and private:
            problem = key_pair_problem(chain, private)
            return f"the certificate is malformed: {problem}" if problem else ""
        if certificate in data and key in data:
            return f'found keys "{certificate}" and "{key}", but they were empty'
    wanted = " or ".join(f"({certificate} and {key})" for certificate, key in KEY_PAIRS)
    return f"found secret, but didn't have expected keys {wanted}; found: {', '.join(sorted(data))}"


@lru_cache(maxsize=256)
def key_pair_problem(chain: bytes, private: bytes) -> str:
    """What is wrong with a certificate and its key, both PEM; empty if they go together."""
    if b"-----BEGIN CERTIFICATE-----" not in chain:
        return "tls: failed to find any PEM data in certificate input"
    if b"-----BEGIN " not in private:
        return "tls: failed to find any PEM data in key input"
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        key = load_pem_private_key(private, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != public.public_bytes(*form):
        return "tls: private key does not match public key"
    return ""


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(value) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        return b""
