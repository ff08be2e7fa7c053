"""JSON Web Tokens signed with a key made for the test."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Somebody who issues tokens (RFC 7515, ES256)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwks(self) -> str:
        """The public key as a key set."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "EC",
            "crv": "P-256",
            "alg": "ES256",
            "kid": "one",
            "x": _encode(numbers.x.to_bytes(32, "big")),
            "y": _encode(numbers.y.to_bytes(32, "big")),
        }
        return json.dumps({"keys": [key]})

    def token(self, *, expires_in_s: float = 3600, **claims: Any) -> str:
        """A token of this issuer; ``sub`` is ``somebody`` unless it is given."""
        payload = {"iss": self.name, "sub": "somebody", "exp": int(time.time() + expires_in_s), **claims}
        head = {"alg": "ES256", "kid": "one", "typ": "JWT"}
        signed = ".".join(_encode(json.dumps(part).encode()) for part in (head, payload))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
