"""Which node ids fit an identity."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh.xds import Identity
from meshlab.minicluster.mesh.xds.server import RefusedNode, check_node

IDENTITY = Identity("shop", "cart", "cart-1")


@pytest.mark.parametrize(
    "node_id",
    [
        "sidecar~10.0.0.1~cart-2.shop~shop.svc.cluster.local",
        "sidecar~10.0.0.1~cart-1.default~shop.svc.cluster.local",
        "ztunnel~10.0.0.1~cart-1.shop~shop.svc.cluster.local",
        "cart-1.shop",
        "",
    ],
)
def test_a_node_that_is_not_the_tokens_pod_is_refused(node_id: str) -> None:
    with pytest.raises(RefusedNode):
        check_node(node_id, IDENTITY)


def test_the_tokens_pod_is_accepted() -> None:
    check_node("router~10.0.0.1~cart-1.shop~shop.svc.cluster.local", IDENTITY)
    check_node("sidecar~10.0.0.1~any.shop~shop.svc.cluster.local", Identity("shop", "cart"))
    check_node("sidecar~10.0.0.1~cart.v1-1.shop~shop.svc.cluster.local", Identity("shop", "cart", "cart.v1-1"))
