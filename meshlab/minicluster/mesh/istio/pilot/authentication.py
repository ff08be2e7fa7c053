"""Who a proxy is: its pod's token, as the Kubernetes API judges it."""

from __future__ import annotations

import logging
import time

from meshlab.minicluster.kubeapi import KubeApi, StatusError
from meshlab.minicluster.mesh.xds import Identity

logger = logging.getLogger(__name__)

AUDIENCE = "istio-ca"
POD_NAME_KEY = "authentication.kubernetes.io/pod-name"
REMEMBERED_S = 10
"""How long an accepted token is not asked about again: all proxies of a node reconnect at once."""


class TokenAuthenticator:
    """Turns bearer tokens into identities by ``TokenReview``."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._accepted: dict[str, tuple[float, Identity]] = {}

    async def __call__(self, token: str) -> Identity | None:
        """The token's identity; None if it is empty, forged, expired or meant for somebody else."""
        if not token:
            return None
        now = time.monotonic()
        self._accepted = {key: item for key, item in self._accepted.items() if item[0] > now}
        if token in self._accepted:
            return self._accepted[token][1]
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
        try:
            answer = await self._api.create("tokenreviews.authentication.k8s.io", review)
        except (StatusError, OSError) as error:
            logger.error("token review failed: %s", error)
            return None
        identity = identity_of(answer.get("status") or {})
        if identity is not None:
            self._accepted[token] = (now + REMEMBERED_S, identity)
        return identity


def identity_of(status: dict[str, object]) -> Identity | None:
    """The identity in a TokenReview's status; None unless it is an authenticated ServiceAccount."""
    user = status.get("user")
    if not status.get("authenticated") or not isinstance(user, dict):
        return None
    parts = str(user.get("username") or "").split(":")
    if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
        return None
    audiences = status.get("audiences")
    if isinstance(audiences, list) and audiences and AUDIENCE not in audiences:
        return None
    pod_names = (user.get("extra") or {}).get(POD_NAME_KEY) or [""]
    return Identity(parts[2], parts[3], pod_names[0])
