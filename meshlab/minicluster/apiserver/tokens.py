"""ServiceAccount tokens: JWTs bound to a pod, issued by TokenRequest and judged by TokenReview and authentication.

Signed with ES256 by a key of the lab. A token holds as long as the ServiceAccount and the pod (or Secret, or node) it
is bound to exist with the same uid.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from meshlab.minicluster.apiserver.pki import load_key
from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.apiserver.users import User, service_account_user
from meshlab.minicluster.kubeapi import Obj

ISSUER = "https://kubernetes.default.svc.cluster.local"
DEFAULT_AUDIENCE = ISSUER
MIN_SECONDS = 600
MAX_SECONDS = 1 << 32
_LEEWAY_S = 10
_BOUND = {"pod": "pods", "secret": "secrets", "node": "nodes"}


class InvalidToken(Exception):
    """The token does not prove anything; the text says why."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a valid token proves."""

    user: User
    audiences: tuple[str, ...]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Tokens:
    """Issues and verifies the lab's tokens.

    Args:
        store: where ServiceAccounts and pods are looked up.
        key_file: the signing key; made when it is not there.
    """

    def __init__(self, store: Store, key_file: Path) -> None:
        self._store = store
        self._key = load_key(key_file)
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._key_id = _encode(hashlib.sha256(public).digest())

    def issue(
        self, account: Obj, audiences: Sequence[str] = (), seconds: int = 3600, bound: Obj | None = None
    ) -> tuple[str, int]:
        """A token of a ServiceAccount and the moment (Unix seconds) at which it expires.

        Args:
            account: the ServiceAccount as stored.
            audiences: who may accept it; the API server by default.
            seconds: how long it is valid.
            bound: the pod, Secret or node with which it dies.
        """
        now = int(time.time())
        expires = now + max(MIN_SECONDS, min(seconds, MAX_SECONDS))
        metadata = account["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        private: Obj = {"namespace": namespace, "serviceaccount": {"name": name, "uid": metadata["uid"]}}
        if bound is not None:
            kind = bound["kind"].lower()
            private[kind] = {"name": bound["metadata"]["name"], "uid": bound["metadata"]["uid"]}
            if kind == "pod" and bound["spec"].get("nodeName"):
                private["node"] = {"name": bound["spec"]["nodeName"]}
        claims = {
            "aud": list(audiences) or [DEFAULT_AUDIENCE],
            "exp": expires,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return self._sign(claims), expires

    def _sign(self, claims: Obj) -> str:
        header = {"alg": "ES256", "kid": self._key_id}
        content = f"{_encode(orjson.dumps(header))}.{_encode(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._key.sign(content.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{content}.{_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def verify(self, token: str, audiences: Sequence[str] = (DEFAULT_AUDIENCE,)) -> Verified:
        """Who a token speaks for, to one of these audiences.

        Raises:
            InvalidToken: it is forged, expired, meant for others, or what it is bound to is gone.
        """
        claims = self._claims(token)
        now = time.time()
        if float(claims.get("exp", 0)) + _LEEWAY_S < now or float(claims.get("nbf", 0)) - _LEEWAY_S > now:
            raise InvalidToken("service account token has expired")
        shared = tuple(audience for audience in claims.get("aud") or () if audience in audiences)
        if not shared:
            raise InvalidToken(
                f"token audiences {claims.get('aud')} is invalid for the target audiences {list(audiences)}"
            )
        private = claims["kubernetes.io"]
        namespace, account = private["namespace"], private["serviceaccount"]
        if self._uid("serviceaccounts", namespace, account["name"]) != account["uid"]:
            raise InvalidToken("service account has been deleted")
        extra: dict[str, tuple[str, ...]] = {"authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)}
        for kind, collection in _BOUND.items():
            reference = private.get(kind)
            if not reference:
                continue
            extra[f"authentication.kubernetes.io/{kind}-name"] = (reference["name"],)
            if reference.get("uid"):
                owner = "" if kind == "node" else namespace
                if self._uid(collection, owner, reference["name"]) != reference["uid"]:
                    raise InvalidToken(f"{kind} {reference['name']} is no longer there")
                extra[f"authentication.kubernetes.io/{kind}-uid"] = (reference["uid"],)
        return Verified(service_account_user(namespace, account["name"], account["uid"], extra), shared)

    def _claims(self, token: str) -> Obj:
        try:
            content, _, signature = token.rpartition(".")
            header_text, _, claims_text = content.partition(".")
            header: Any = orjson.loads(_decode(header_text))
            raw = _decode(signature)
            if header.get("alg") != "ES256" or len(raw) != 64:
                raise InvalidToken("unknown signature")
            encoded = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            self._key.public_key().verify(encoded, content.encode(), ec.ECDSA(hashes.SHA256()))
            claims: Obj = orjson.loads(_decode(claims_text))
        except (ValueError, AttributeError, binascii.Error, InvalidSignature) as error:
            raise InvalidToken("invalid bearer token") from error
        if claims.get("iss") != ISSUER:
            raise InvalidToken("invalid issuer")
        return claims

    def _uid(self, collection: str, namespace: str, name: str) -> str | None:
        record = self._store.get(collection, (namespace, name))
        return None if record is None else record.obj["metadata"]["uid"]
