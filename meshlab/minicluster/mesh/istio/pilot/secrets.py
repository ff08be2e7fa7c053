"""Secrets that proxies get over SDS: their own certificate, the mesh's root, and what gateways serve with."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.ca import CertificateAuthority, KeyPair
from meshlab.minicluster.mesh.envoy.tls import SYSTEM_AUTHORITIES
from meshlab.minicluster.mesh.xds.identity import ByIdentity

WORKLOAD = "default"
ROOT = "ROOTCA"
KUBERNETES = "kubernetes://"
GATEWAY_API = "kubernetes-gateway://"
"""Before ``NAMESPACE/NAME``: a Secret that a listener of the Gateway API may use."""
CA_SUFFIX = "-cacert"
FILE_CERTIFICATE = "file-cert:"
FILE_ROOT = "file-root:"

CERTIFICATE_KEYS = (("tls.crt", "tls.key"), ("cert", "key"))
CA_KEYS = ("ca.crt", "cacert")

Identified = tuple[str, str]
"""(namespace, service account)"""


class WorkloadCertificates:
    """One certificate per identity, replaced when half of its life is over.

    Args:
        authority: who signs.
        trust_domain: says the mesh's trust domain.
        ttl: how long a certificate lives.
    """

    def __init__(
        self, authority: CertificateAuthority, trust_domain: Callable[[], str], ttl: dt.timedelta | None = None
    ) -> None:
        self._authority = authority
        self._trust_domain = trust_domain
        self._ttl = ttl
        self._issued: dict[tuple[Identified, str], KeyPair] = {}

    def get(self, namespace: str, service_account: str) -> KeyPair:
        """The identity's certificate, a fresh one if the last is due."""
        key = ((namespace, service_account), self._trust_domain())
        pair = self._issued.get(key)
        if pair is None or pair.rotation_due() <= dt.datetime.now(dt.UTC):
            pair = self._authority.issue_workload(namespace, service_account, trust_domain=key[1], ttl=self._ttl)
            self._issued[key] = pair
        return pair

    def next_rotation(self) -> dt.datetime | None:
        """When the first of them is due."""
        return min((pair.rotation_due() for pair in self._issued.values()), default=None)

    def retain(self, identities: Iterable[Identified]) -> None:
        """Forget the certificates of identities that no proxy uses any more."""
        kept = set(identities)
        for key in [key for key in self._issued if key[0] not in kept]:
            del self._issued[key]


def workload_secrets(pair: KeyPair, root_pem: str) -> dict[str, Obj]:
    """The secrets ``default`` and ``ROOTCA``."""
    return {
        WORKLOAD: {"name": WORKLOAD, "tls_certificate": _certificate(pair.chain_pem, pair.key_pem)},
        ROOT: {"name": ROOT, "validation_context": {"trusted_ca": {"inline_string": root_pem}}},
    }


def requested_names(known: ByIdentity[frozenset[str]], *resources: Mapping[str, Obj]) -> set[str]:
    """The secrets that listeners and clusters refer to, other than the two that every proxy has.

    Args:
        known: what was found before, in the very same resources and in all of a proxy's; it is added to.
        resources: by name.
    """
    found: set[str] = set()
    for group in resources:
        names = known.get(group)
        found |= known.put(group, _names(known, group.values())) if names is None else names
    return found - {WORKLOAD, ROOT}


def _names(known: ByIdentity[frozenset[str]], resources: Iterable[Obj]) -> frozenset[str]:
    found: set[str] = set()
    for resource in resources:
        names = known.get(resource)
        found |= known.put(resource, frozenset(_references(resource))) if names is None else names
    return frozenset(found)


def file_secret(name: str) -> Obj | None:
    """A secret in files of the proxy's own: ``file-cert:CERT~KEY``, ``file-root:CA`` or ``file-root:system``."""
    if name.startswith(FILE_CERTIFICATE):
        certificate, _, key = name.removeprefix(FILE_CERTIFICATE).partition("~")
        chain = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
        return {"name": name, "tls_certificate": chain}
    if name.startswith(FILE_ROOT):
        file = name.removeprefix(FILE_ROOT)
        path = system_authorities() if file == SYSTEM_AUTHORITIES else file
        return {"name": name, "validation_context": {"trusted_ca": {"filename": path}}} if path else None
    return None


def system_authorities() -> str | None:
    """The file of the authorities that this machine trusts; None if there is none, and then nobody is."""
    return ssl.get_default_verify_paths().cafile


def credential_secret(name: str, secret: Callable[[str], Obj | None]) -> Obj | None:
    """The Envoy secret behind ``kubernetes://NAME``, with ``-cacert`` the authority's; None if there is no such Secret.

    Args:
        name: the SDS name.
        secret: gives a Kubernetes Secret of the right namespace by name.
    """
    credential = name.removeprefix(KUBERNETES)
    if name.startswith(GATEWAY_API):
        credential = name.removeprefix(GATEWAY_API).partition("/")[2]
    if credential.endswith(CA_SUFFIX):
        own, shared = secret(credential), secret(credential.removesuffix(CA_SUFFIX))
        authority = next((pem for found in (own, shared) if found and (pem := _first(found, CA_KEYS))), None)
        return authority and {"name": name, "validation_context": {"trusted_ca": {"inline_string": authority}}}
    found = secret(credential)
    if found is None:
        return None
    for certificate_key, private_key in CERTIFICATE_KEYS:
        chain, key = _first(found, (certificate_key,)), _first(found, (private_key,))
        if chain and key:
            return {"name": name, "tls_certificate": _certificate(chain, key)}
    return None


def _certificate(chain_pem: str, key_pem: str) -> Obj:
    return {"certificate_chain": {"inline_string": chain_pem}, "private_key": {"inline_string": key_pem}}


def _first(secret: Obj, keys: Iterable[str]) -> Any:
    data = secret.get("data") or {}
    for key in keys:
        try:
            text = base64.b64decode(data.get(key) or "").decode()
        except (binascii.Error, ValueError):
            continue
        if text:
            return text
    return None


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "sds_config" in node and "name" in node:
            yield node["name"]
        for value in node.values():
            if isinstance(value, (dict, list)):
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            if isinstance(value, (dict, list)):
                yield from _references(value)
