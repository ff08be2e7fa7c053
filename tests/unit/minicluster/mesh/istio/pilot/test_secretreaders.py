"""Who may have Secrets: asked once, remembered for a while."""

from __future__ import annotations

import asyncio

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.pilot.secretreaders import SecretReaders
from tests.fakes.kube_api import FakeKubeApi


class Reviewing(FakeKubeApi):
    """Answers reviews as told, and counts them."""

    allowed = True
    asked: int = 0

    async def create(
        self, resource: str, obj: Obj, namespace: str | None = None, *, subresource: str = "", dry_run: bool = False
    ) -> Obj:
        self.asked += 1
        assert obj["spec"]["user"] == "system:serviceaccount:shop:cart"
        assert obj["spec"]["resourceAttributes"] == {"namespace": "shop", "verb": "list", "resource": "secrets"}
        return {**obj, "status": {"allowed": self.allowed}}


async def test_the_answer_comes_later_and_tells_of_itself() -> None:
    api, changed = Reviewing(), asyncio.Event()
    readers = SecretReaders(api)
    readers.subscribe(changed.set)
    assert not readers.may_list("shop", "cart")
    assert not readers.may_list("shop", "cart"), "still asking"
    async with asyncio.timeout(5):
        await changed.wait()
    assert readers.may_list("shop", "cart")
    assert api.asked == 1
    await readers.stop()


async def test_a_denial_changes_nothing() -> None:
    api, changed = Reviewing(), asyncio.Event()
    api.allowed = False
    readers = SecretReaders(api)
    readers.subscribe(changed.set)
    assert not readers.may_list("shop", "cart")
    async with asyncio.timeout(5):
        while not api.asked:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not readers.may_list("shop", "cart")
    assert not changed.is_set()
    await readers.stop()
