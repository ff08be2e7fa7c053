"""The mesh's certificate authority."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.mesh import ca
from tests.fakes.kube_api import FakeKubeApi
from tests.support.pluggedca import plugged_ca


def leaf(pair: ca.KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificates(pair.chain_pem.encode())[0]


def test_a_workload_certificate_carries_its_identity_and_nothing_else() -> None:
    authority = ca.CertificateAuthority.generate()
    certificate = leaf(authority.issue_workload("shop", "cart"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert list(names.value) == [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/cart")]
    assert len(certificate.subject) == 0
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    life = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    assert dt.timedelta(hours=23) < life <= dt.timedelta(hours=24)


def test_a_serving_certificate_is_accepted_by_a_verifier() -> None:
    authority = ca.CertificateAuthority.generate()
    pair = authority.issue_serving(ca.serving_names("istio-system"))
    store = Store([x509.load_pem_x509_certificate(authority.root_pem.encode())])
    verifier = PolicyBuilder().store(store).build_server_verifier(x509.DNSName("istiod.istio-system.svc"))
    verifier.verify(leaf(pair), [])


def test_a_revision_has_names_of_its_own() -> None:
    assert "istiod-canary.istio-system.svc" in ca.serving_names("istio-system", "canary")
    assert not any("default" in name for name in ca.serving_names("istio-system", "default"))


def test_rotation_is_due_at_half_of_the_life() -> None:
    pair = ca.CertificateAuthority.generate().issue_workload("a", "b", ttl=dt.timedelta(hours=2))
    assert pair.not_before < pair.rotation_due() < pair.not_after
    assert pair.not_after - pair.rotation_due() == dt.timedelta(hours=1)


def test_the_root_survives_in_its_secret() -> None:
    authority = ca.CertificateAuthority.generate()
    secret = authority.to_secret("istio-system")
    assert set(secret["data"]) == {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"}
    assert ca.CertificateAuthority.from_secret(secret).root_pem == authority.root_pem


async def test_a_ca_that_is_plugged_in_signs_and_its_root_is_trusted() -> None:
    api = FakeKubeApi()
    await ca.load_or_create(api, "istio-system")
    files = plugged_ca()
    data = {name: base64.b64encode(value.encode()).decode() for name, value in files.items()}
    metadata = {"name": "cacerts", "namespace": "istio-system"}
    await api.create("secrets", {"metadata": metadata, "data": data}, "istio-system")
    authority = await ca.load_or_create(api, "istio-system")
    assert authority.root_pem == files["root-cert.pem"]
    first, *chain = x509.load_pem_x509_certificates(authority.issue_workload("shop", "cart").chain_pem.encode())
    assert [c.subject.rfc4514_string() for c in chain] == ["O=intermediate", "O=root"]
    first.verify_directly_issued_by(chain[0])
    chain[0].verify_directly_issued_by(chain[1])


def test_a_key_of_another_root_is_refused() -> None:
    one, two = (ca.CertificateAuthority.generate().to_secret("x") for _ in range(2))
    one["data"]["ca-key.pem"] = two["data"]["ca-key.pem"]
    with pytest.raises(ValueError, match="does not belong"):
        ca.CertificateAuthority.from_secret(one)
    with pytest.raises(ValueError, match=r"ca-cert\.pem"):
        ca.CertificateAuthority.from_secret({"data": {}})


async def test_an_existing_root_is_used_again() -> None:
    api = FakeKubeApi()
    first = await ca.load_or_create(api, "istio-system")
    assert (await ca.load_or_create(api, "istio-system")).root_pem == first.root_pem


class RacingApi(FakeKubeApi):
    """Another replica writes its root between our look and our write."""

    winner = ca.CertificateAuthority.generate()

    async def create(
        self, resource: str, obj: Obj, namespace: str | None = None, *, subresource: str = "", dry_run: bool = False
    ) -> Obj:
        await super().create(resource, self.winner.to_secret("istio-system"), namespace)
        raise StatusError(409, "AlreadyExists", 'secrets "istio-ca-secret" already exists')


async def test_the_loser_of_a_race_takes_the_winners_root() -> None:
    api = RacingApi()
    assert (await ca.load_or_create(api, "istio-system")).root_pem == RacingApi.winner.root_pem
    stored = await api.get("secrets", "istio-ca-secret", "istio-system")
    assert base64.b64decode(stored["data"]["ca-cert.pem"]).decode() == RacingApi.winner.root_pem
