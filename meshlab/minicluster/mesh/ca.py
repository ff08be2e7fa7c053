"""The mesh's certificate authority: one self-signed root, workload certificates with a SPIFFE ID, serving ones.

The root lives in the Secret ``istio-ca-secret``, under the keys that upstream uses, so that identities survive a
restart of the control plane. Who has a CA of their own plugs it in: the Secret ``cacerts`` holds an intermediate's
certificate and key, the chain up to the root, and the root. Workload certificates follow the X.509-SVID rules: one URI
SAN, critical because the subject is empty.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError

CA_SECRET = "istio-ca-secret"
CA_SECRET_TYPE = "istio.io/ca-root"
PLUGGED_SECRET = "cacerts"
CERT_KEY = "ca-cert.pem"
PRIVATE_KEY = "ca-key.pem"
CHAIN_KEY = "cert-chain.pem"
ROOT_KEY = "root-cert.pem"

ROOT_LIFETIME = dt.timedelta(days=3650)
WORKLOAD_LIFETIME = dt.timedelta(hours=24)
SERVING_LIFETIME = dt.timedelta(days=365)
BACKDATE = dt.timedelta(minutes=2)
"""How far before now a certificate begins to be valid: clocks differ."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain (leaf first) and its private key, as PEM text."""

    chain_pem: str
    key_pem: str
    not_before: dt.datetime
    not_after: dt.datetime

    def rotation_due(self, grace: float = 0.5) -> dt.datetime:
        """When to replace it: with ``grace`` of its life left, as upstream's SECRET_GRACE_PERIOD_RATIO."""
        issued = self.not_before + BACKDATE
        return self.not_after - (self.not_after - issued) * grace


def spiffe_id(namespace: str, service_account: str, trust_domain: str = "cluster.local") -> str:
    """The identity of a workload: ``spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT``."""
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"


class CertificateAuthority:
    """Signs with a root that was generated, or with what was read from a Secret.

    Args:
        cert_pem: the signing certificate.
        key_pem: its private key.
        chain_pem: the certificates between those it signs and the root; empty for a self-signed root.
        root_pem: what others are to trust; by default the signing certificate itself.

    Raises:
        ValueError: the certificate and the key do not belong together, or cannot be read.
    """

    def __init__(self, cert_pem: str, key_pem: str, chain_pem: str = "", root_pem: str = "") -> None:
        self.root_pem = root_pem or cert_pem
        self.key_pem = key_pem
        self._chain_pem = chain_pem
        self._certificate = x509.load_pem_x509_certificate(cert_pem.encode())
        x509.load_pem_x509_certificates(self.root_pem.encode())
        key = serialization.load_pem_private_key(key_pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("the CA's private key is neither an elliptic-curve nor an RSA key")
        if key.public_key() != self._certificate.public_key():
            raise ValueError("the CA's private key does not belong to its certificate")
        self._key = key

    @classmethod
    def generate(cls, organization: str = "cluster.local") -> CertificateAuthority:
        """A fresh self-signed root, valid for ten years."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + ROOT_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(cert_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(_cert_pem(certificate), _key_pem(key))

    @classmethod
    def from_secret(cls, secret: Obj) -> CertificateAuthority:
        """What a Secret holds that `to_secret`, upstream's istiod or a user wrote.

        Raises:
            ValueError: a key is missing, or what it holds cannot be used.
        """
        data = secret.get("data") or {}
        try:
            cert, key = (base64.b64decode(data[name]).decode() for name in (CERT_KEY, PRIVATE_KEY))
        except KeyError as error:
            raise ValueError(f"the Secret has no key {error}") from None
        chain, root = (base64.b64decode(data.get(name) or "").decode() for name in (CHAIN_KEY, ROOT_KEY))
        return cls(cert, key, chain, root)

    def to_secret(self, namespace: str) -> Obj:
        """The Secret that keeps this root; for a self-signed root chain and root are the certificate itself."""
        values = {CERT_KEY: self.root_pem, PRIVATE_KEY: self.key_pem, CHAIN_KEY: "", ROOT_KEY: self.root_pem}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": CA_SECRET, "namespace": namespace},
            "type": CA_SECRET_TYPE,
            "data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()},
        }

    def issue_workload(
        self,
        namespace: str,
        service_account: str,
        *,
        trust_domain: str = "cluster.local",
        ttl: dt.timedelta | None = None,
    ) -> KeyPair:
        """A certificate for a workload: its SPIFFE ID as the only SAN."""
        name = x509.UniformResourceIdentifier(spiffe_id(namespace, service_account, trust_domain))
        return self._issue([name], ttl or WORKLOAD_LIFETIME)

    def issue_serving(self, dns_names: Sequence[str], *, ttl: dt.timedelta | None = None) -> KeyPair:
        """A certificate for a server that clients reach by these DNS names."""
        return self._issue([x509.DNSName(name) for name in dns_names], ttl or SERVING_LIFETIME)

    def _issue(self, names: Sequence[x509.GeneralName], ttl: dt.timedelta) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        begin, end = now - BACKDATE, now + ttl
        issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            # RFC 5280, 4.2.1.6: with an empty subject the alternative names must be critical.
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(cert_sign=False), critical=True)
            .add_extension(usages, critical=False)
            .add_extension(issuer_key_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return KeyPair(_cert_pem(certificate) + self._chain_pem, _key_pem(key), begin, end)


async def load_or_create(api: KubeApi, namespace: str) -> CertificateAuthority:
    """The mesh's CA: the one plugged in, else the root in istiod's own Secret, else a new one that becomes that Secret.

    Two replicas that start together both try to create it; the loser of that race reads the winner's.

    Raises:
        StatusError: the API refused.
        ValueError: a Secret exists but holds nothing usable.
    """
    while True:
        for name in (PLUGGED_SECRET, CA_SECRET):
            try:
                return CertificateAuthority.from_secret(await api.get("secrets", name, namespace))
            except StatusError as error:
                if error.code != 404:
                    raise
        authority = CertificateAuthority.generate()
        try:
            await api.create("secrets", authority.to_secret(namespace), namespace)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        else:
            return authority


def serving_names(namespace: str, revision: str = "default") -> list[str]:
    """The DNS names under which istiod is reached, as upstream puts them into its serving certificate."""
    names = [f"istiod.{namespace}.svc", f"istiod.{namespace}.svc.cluster.local", "istiod-remote." + namespace + ".svc"]
    if revision and revision != "default":
        names += [f"istiod-{revision}.{namespace}.svc", f"istiod-{revision}.{namespace}.svc.cluster.local"]
    return [*names, f"istio-pilot.{namespace}.svc"]


def _key_usage(*, cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not cert_sign,
        content_commitment=False,
        key_encipherment=not cert_sign,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert_sign,
        crl_sign=cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _cert_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
