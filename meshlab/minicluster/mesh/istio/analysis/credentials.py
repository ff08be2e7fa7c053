"""Gateways' credentials: the secret exists where the gateway's pods run, and a proxy can use it (IST0101, IST0161)."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Iterator

from meshlab.minicluster.kubeapi import matches_labels
from meshlab.minicluster.mesh.istio.analysis.gatewayconflicts import GATEWAYS, selector, servers
from meshlab.minicluster.mesh.istio.analysis.messages import quoted
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message

KEYS = (("cert", "key"), ("tls.crt", "tls.key"))
"""The names of certificate chain and private key in a secret, generic and of the type kubernetes.io/tls."""


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check every ``credentialName`` of every server whose gateway has pods."""
    secrets = {secret.full_name: secret for secret in snapshot.of("secrets")}
    for gateway in snapshot.of(GATEWAYS):
        labels = dict(selector(gateway))
        pods = [pod for pod in snapshot.of("pods") if not labels or matches_labels(labels, dict(pod.labels))]
        if not pods:
            continue
        namespace = pods[0].namespace
        for index, server in enumerate(servers(gateway)):
            name = str((server.get("tls") or {}).get("credentialName") or "")
            if not name:
                continue
            path: Path = ("spec", "servers", index, "tls", "credentialName")
            secret = secrets.get(name if "/" in name else f"{namespace}/{name}")
            if secret is None:
                yield message("IST0101", gateway, "credentialName", quoted(name), path=path)
            elif not usable(secret):
                yield message("IST0161", gateway, gateway.name, namespace, path=path)


def usable(secret: Resource) -> bool:
    """Whether a secret has a certificate that is valid now, and a key beside it."""
    from cryptography import x509

    data = secret.obj.get("data") or {}
    pair = next((keys for keys in KEYS if all(data.get(key) for key in keys)), None)
    if pair is None:
        return False
    try:
        chain = x509.load_pem_x509_certificates(base64.b64decode(str(data[pair[0]]), validate=True))
    except (ValueError, binascii.Error):
        return False
    now = dt.datetime.now(dt.UTC)
    return chain[0].not_valid_before_utc <= now <= chain[0].not_valid_after_utc
