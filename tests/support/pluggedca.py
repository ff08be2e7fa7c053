"""A certificate authority of a user's own, with the four files that upstream's tasks have users make."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def plugged_ca() -> dict[str, str]:
    """``ca-cert.pem``, ``ca-key.pem``, ``cert-chain.pem`` and ``root-cert.pem``: an RSA intermediate below a root."""
    root_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    now = dt.datetime.now(dt.UTC)
    issuer = _name("root")

    def sign(subject: str, public: rsa.RSAPublicKey) -> str:
        certificate = (
            x509.CertificateBuilder(issuer_name=issuer, subject_name=_name(subject), public_key=public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=2))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(root_key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode()

    root, cert = sign("root", root_key.public_key()), sign("intermediate", key.public_key())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    return {"ca-cert.pem": cert, "ca-key.pem": private, "cert-chain.pem": cert + root, "root-cert.pem": root}


def _name(organization: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
