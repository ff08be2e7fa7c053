"""The secrets that proxies are given."""

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.ca import CertificateAuthority
from meshlab.minicluster.mesh.istio.pilot.secrets import (
    WorkloadCertificates,
    credential_secret,
    file_secret,
    requested_names,
    workload_secrets,
)
from meshlab.minicluster.mesh.xds.identity import ByIdentity


def secret(**data: str) -> Obj:
    return {"data": {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}}


SECRETS = {
    "tls": secret(tls_crt="CHAIN", tls_key="KEY", ca_crt="CA"),
    "old": secret(cert="CHAIN", key="KEY", cacert="CA"),
    "apart": secret(tls_crt="CHAIN", tls_key="KEY"),
    "apart-cacert": secret(ca_crt="OTHER"),
    "empty": secret(),
    "broken": {"data": {"tls.crt": "%%%", "tls.key": "%%%"}},
}


def ca_of(name: str) -> str | None:
    found = credential_secret(name, SECRETS.get)
    return found["validation_context"]["trusted_ca"]["inline_string"] if found else None


def test_certificates_of_gateways() -> None:
    for name in ("tls", "old", "apart"):
        found = credential_secret(f"kubernetes://{name}", SECRETS.get)
        assert found is not None
        assert found["name"] == f"kubernetes://{name}"
        assert found["tls_certificate"]["private_key"] == {"inline_string": "KEY"}
    for name in ("empty", "broken", "missing"):
        assert credential_secret(f"kubernetes://{name}", SECRETS.get) is None


def test_client_authorities_of_gateways() -> None:
    assert ca_of("kubernetes://tls-cacert") == "CA"
    assert ca_of("kubernetes://old-cacert") == "CA"
    assert ca_of("kubernetes://apart-cacert") == "OTHER"
    assert ca_of("kubernetes://missing-cacert") is None


def test_files_of_the_proxy() -> None:
    certificate = file_secret("file-cert:/etc/a.pem~/etc/b.pem")
    assert certificate is not None
    assert certificate["tls_certificate"]["private_key"] == {"filename": "/etc/b.pem"}
    assert file_secret("something") is None
    system = file_secret("file-root:system")
    assert system is not None
    assert "BEGIN CERTIFICATE" in Path(system["validation_context"]["trusted_ca"]["filename"]).read_text()


def test_names_are_found_wherever_they_are() -> None:
    config: Obj = {"sds_config": {"ads": {}}}
    listener = {"filter_chains": [{"transport_socket": {"certs": [{"name": "kubernetes://a", **config}]}}]}
    cluster = {"tls": {"root": {"name": "ROOTCA", **config}, "own": {"name": "default", **config}}}
    assert requested_names(ByIdentity(), {"l": listener}, {"c": cluster}) == {"kubernetes://a"}


def test_one_certificate_per_identity_until_it_is_due() -> None:
    authority = CertificateAuthority.generate()
    certificates = WorkloadCertificates(authority, lambda: "cluster.local")
    assert certificates.next_rotation() is None
    first = certificates.get("shop", "cart")
    assert certificates.get("shop", "cart") is first
    assert certificates.get("shop", "other") is not first
    assert certificates.next_rotation() == first.rotation_due()
    certificates.retain([("shop", "other")])
    assert certificates.get("shop", "cart") is not first
    secrets = workload_secrets(first, authority.root_pem)
    assert secrets["default"]["tls_certificate"]["certificate_chain"]["inline_string"] == first.chain_pem
    assert secrets["ROOTCA"]["validation_context"]["trusted_ca"]["inline_string"] == authority.root_pem


def test_a_certificate_that_is_due_is_replaced() -> None:
    authority = CertificateAuthority.generate()
    certificates = WorkloadCertificates(authority, lambda: "cluster.local", dt.timedelta(microseconds=1))
    assert certificates.get("a", "b") is not certificates.get("a", "b")
