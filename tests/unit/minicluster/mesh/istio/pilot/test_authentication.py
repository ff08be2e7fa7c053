"""What a TokenReview says about a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.mesh.istio.pilot.authentication import TokenAuthenticator, identity_of
from meshlab.minicluster.mesh.xds import Identity
from tests.fakes.kube_api import FakeKubeApi

USER: Obj = {
    "username": "system:serviceaccount:shop:cart",
    "extra": {"authentication.kubernetes.io/pod-name": ["cart-1"]},
}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"authenticated": True, "user": USER, "audiences": ["istio-ca"]}, Identity("shop", "cart", "cart-1")),
        ({"authenticated": True, "user": {"username": USER["username"]}}, Identity("shop", "cart", "")),
        ({"authenticated": True, "user": USER, "audiences": ["other"]}, None),
        ({"authenticated": False, "user": USER}, None),
        ({"authenticated": True, "user": {"username": "admin"}}, None),
        ({"authenticated": True}, None),
        ({}, None),
    ],
)
def test_identities(status: dict[str, Any], expected: Identity | None) -> None:
    assert identity_of(status) == expected


class ReviewingApi(FakeKubeApi):
    """Accepts the token ``good``; counts what it is asked."""

    asked = 0
    down = False

    async def create(
        self, resource: str, obj: Obj, namespace: str | None = None, *, subresource: str = "", dry_run: bool = False
    ) -> Obj:
        self.asked += 1
        if self.down:
            raise StatusError(500, "InternalError", "down")
        assert obj["spec"]["audiences"] == ["istio-ca"]
        return {"status": {"authenticated": obj["spec"]["token"] == "good", "user": USER}}


async def test_an_accepted_token_is_remembered_and_a_refused_one_is_not() -> None:
    api = ReviewingApi()
    authenticate = TokenAuthenticator(api)
    assert await authenticate("good") == await authenticate("good") == Identity("shop", "cart", "cart-1")
    assert api.asked == 1
    assert await authenticate("bad") is await authenticate("bad") is None
    assert api.asked == 3
    assert await authenticate("") is None
    assert api.asked == 3


async def test_nobody_is_let_in_while_the_api_is_down() -> None:
    api = ReviewingApi()
    api.down = True
    assert await TokenAuthenticator(api)("good") is None
