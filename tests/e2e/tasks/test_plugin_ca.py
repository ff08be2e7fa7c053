"""Upstream's tasks "Plug in CA Certificates" and "Istio Workload Minimum TLS Version Configuration"."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.lab import Lab, eventually
from tests.support.pluggedca import plugged_ca

pytestmark = pytest.mark.full

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: "default"
spec:
  mtls:
    mode: STRICT
"""
MINIMUM = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  meshConfig:
    meshMTLS:
      minProtocolVersion: TLSV1_3
"""
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return plugged_ca()


@pytest.fixture(scope="module")
def apps(lab: Lab, files: dict[str, str]) -> Lab:
    if shutil.which("openssl") is None:
        pytest.skip("this host has no openssl")
    directory = lab.home / "certs"
    directory.mkdir()
    directory.chmod(0o755)
    for name, text in files.items():
        Path(directory, name).write_text(text)
        Path(directory, name).chmod(0o644)
    lab.kubectl("create", "namespace", "istio-system")
    sources = [f"--from-file={directory / name}" for name in files]
    lab.kubectl("create", "secret", "generic", "cacerts", "-n", "istio-system", *sources)
    lab.install_istio()
    lab.kubectl("create", "ns", "foo")
    for sample in ("httpbin", "sleep"):
        path = f"{lab.environment['MESHLAB_SAMPLES']}/{sample}/{sample}.yaml"
        lab.kubectl("apply", "-n", "foo", "-f", "-", stdin=lab.run("istioctl", "kube-inject", "-f", path).stdout)
    for sample in ("httpbin", "sleep"):
        lab.kubectl("rollout", "status", "-n", "foo", f"deployment/{sample}", "--timeout=40s")
    lab.kubectl("apply", "-n", "foo", "-f", "-", stdin=STRICT)
    return lab


def openssl(lab: Lab, *arguments: str) -> str:
    """What ``openssl s_client`` prints in sleep's proxy, which has no certificate to show."""
    command = ("kubectl", "exec", "-n", "foo", "deploy/sleep", "-c", "istio-proxy", "--", "openssl", "s_client")
    done = lab.run(*command, *arguments, "-connect", "httpbin.foo:8000", check=False)
    return done.stdout + done.stderr


def test_workloads_show_the_chain_of_the_plugged_in_ca(apps: Lab, files: dict[str, str]) -> None:
    def shown() -> list[x509.Certificate]:
        found = CERTIFICATE.findall(openssl(apps, "-showcerts"))
        return [x509.load_pem_x509_certificate(pem.encode()) for pem in dict.fromkeys(found)]

    leaf, intermediate, root = eventually(lambda: found if len(found := shown()) == 3 else [])
    assert root == x509.load_pem_x509_certificate(files["root-cert.pem"].encode())
    assert intermediate == x509.load_pem_x509_certificate(files["ca-cert.pem"].encode())
    leaf.verify_directly_issued_by(intermediate)
    status = apps.kubectl(
        "exec", "-n", "foo", "deploy/sleep", "-c", "sleep", "--",
        "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://httpbin.foo:8000/ip",
    )  # fmt: skip
    assert status == "200"
    config_map = apps.kubectl(
        "get", "configmap", "istio-ca-root-cert", "-n", "foo", "-o", "jsonpath={.data.root-cert\\.pem}"
    )
    assert config_map.strip() == files["root-cert.pem"].strip()


def test_the_minimum_version_of_tls(apps: Lab) -> None:
    assert "TLSv1.2" in openssl(apps, "-alpn", "istio", "-tls1_2")
    file = apps.home / "istio.yaml"
    file.write_text(MINIMUM)
    apps.run("istioctl", "install", "--set", "profile=demo", "-f", str(file), "-y")
    eventually(lambda: "Cipher is (NONE)" in openssl(apps, "-alpn", "istio", "-tls1_2"))
    assert "TLSv1.3" in openssl(apps, "-alpn", "istio", "-tls1_3")
