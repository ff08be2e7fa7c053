"""Authentication: a client certificate of the lab's CA, or a ServiceAccount's token; nothing else is believed."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from aiohttp import web

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.tokens import InvalidToken, Tokens
from meshlab.minicluster.apiserver.users import ANONYMOUS, AUTHENTICATED, User

_WEBSOCKET_BEARER = "base64url.bearer.authorization.k8s.io."


def authenticate(request: web.Request, tokens: Tokens) -> User:
    """Who sent the request; anonymous if it carries no credentials.

    Raises:
        StatusError: 401 for credentials that do not hold.
    """
    certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
    if certificate:
        return _certificate_user(certificate)
    token = _bearer_token(request)
    if not token:
        return ANONYMOUS
    try:
        return tokens.verify(token).user
    except InvalidToken:
        raise statuses.unauthorized() from None


def _certificate_user(certificate: dict[str, Any]) -> User:
    """The TLS layer has verified the chain: CN is the user, each O a group."""
    names: list[str] = []
    groups: list[str] = []
    for relative in certificate.get("subject", ()):
        for key, value in relative:
            if key == "commonName":
                names.append(value)
            elif key == "organizationName":
                groups.append(value)
    if not names:
        raise statuses.unauthorized()
    return User(names[-1], (*groups, AUTHENTICATED))


def _bearer_token(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    # Browsers cannot set headers on a WebSocket; they hide the token in its subprotocols.
    for header in request.headers.getall("Sec-WebSocket-Protocol", []):
        for protocol in header.split(","):
            encoded = protocol.strip()
            if encoded.startswith(_WEBSOCKET_BEARER):
                text = encoded.removeprefix(_WEBSOCKET_BEARER)
                try:
                    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
                except (binascii.Error, ValueError):
                    raise statuses.unauthorized() from None
    return ""
