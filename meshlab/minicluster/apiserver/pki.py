"""The lab's certificate authority: the server's certificate and those of its administrators.

Keys are made once per lab and kept 0600. The server's certificate is made again when its names change or it runs out.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
LEAF_DAYS = 825
_RENEW_BEFORE = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as unencrypted PKCS #8 PEM."""
        return key_pem(self.key)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as unencrypted PKCS #8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, in one step."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The EC key kept in a file; made when there is none."""
    if path.exists():
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(path, key_pem(key))
    return key


class Authority:
    """The lab's CA.

    Args:
        directory: where ``ca.crt``, ``ca.key`` and ``server.*`` are kept; made 0700.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        key = load_key(directory / "ca.key")
        path = directory / "ca.crt"
        certificate = _load(path, key)
        if certificate is None:
            certificate = _self_signed(key)
            path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.pair = Pair(certificate, key)

    @property
    def ca_pem(self) -> str:
        """The CA's certificate, as ``kube-root-ca.crt`` holds it."""
        return self.pair.certificate_pem.decode()

    def server_files(self, dns_names: Sequence[str], addresses: Sequence[str]) -> tuple[Path, Path]:
        """Paths of a server certificate for these names and of its key."""
        key = load_key(self._directory / "server.key")
        path = self._directory / "server.crt"
        alternative = x509.SubjectAlternativeName(
            [*map(x509.DNSName, dns_names), *(x509.IPAddress(ipaddress.ip_address(a)) for a in addresses)]
        )
        current = _load(path, key)
        if current is None or not self._issued(current) or _names(current) != alternative:
            certificate = self._issue(
                _subject("kube-apiserver"), key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, alternative
            )
            path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path, self._directory / "server.key"

    def client(self, user: str, groups: Sequence[str] = ()) -> Pair:
        """A new client certificate: CN is the user, every O a group."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(user, groups)
        return Pair(self._issue(subject, key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH, None), key)

    def _issued(self, certificate: x509.Certificate) -> bool:
        try:
            certificate.verify_directly_issued_by(self.pair.certificate)
        except Exception:
            return False
        return True

    def _issue(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        usage: x509.ObjectIdentifier,
        alternative: x509.SubjectAlternativeName | None,
    ) -> x509.Certificate:
        issuer = self.pair
        builder = (
            _builder(subject, issuer.certificate.subject, public_key, LEAF_DAYS)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(_key_usage(ca=False), True)
            .add_extension(x509.ExtendedKeyUsage([usage]), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
        )
        if alternative is not None:
            builder = builder.add_extension(alternative, False)
        return builder.sign(issuer.key, hashes.SHA256())


def _subject(name: str, organizations: Sequence[str] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    # An hour back: machines whose clocks were just corrected must not see a certificate from the future.
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    subject = _subject("meshlab-ca")
    return (
        _builder(subject, subject, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(_key_usage(ca=True), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )


def _load(path: Path, key: ec.EllipticCurvePrivateKey) -> x509.Certificate | None:
    """The certificate in a file, if it belongs to the key and stays valid for a while."""
    if not path.exists():
        return None
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    if certificate.public_key() != key.public_key():
        return None
    expires = certificate.not_valid_after_utc
    return certificate if expires - datetime.datetime.now(datetime.UTC) > _RENEW_BEFORE else None


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def write_kubeconfig(path: Path, *, server: str, ca_pem: str, client: Pair, name: str = "meshlab") -> None:
    """Write a kubeconfig (0600) with one cluster, one user and one context, all of that name."""

    def encoded(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": encoded(ca_pem.encode())}}
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": encoded(client.certificate_pem),
                    "client-key-data": encoded(client.key_pem),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, yaml.safe_dump(config, sort_keys=False).encode())
