"""Resources are packed once, versions say what is in them."""

from __future__ import annotations

from meshlab.minicluster.mesh.xds import ResourceCache
from meshlab.minicluster.mesh.xds.resources import CLUSTER, ENDPOINT


def test_equal_content_is_one_resource_whatever_the_order_of_keys() -> None:
    cache = ResourceCache()
    one = cache.pack(CLUSTER, {"name": "a", "type": "EDS"})
    two = cache.pack(CLUSTER, {"type": "EDS", "name": "a"})
    assert one is two
    assert cache.pack(CLUSTER, {"name": "a", "type": "STATIC"}).version != one.version
    assert ResourceCache().pack(CLUSTER, {"name": "a", "type": "EDS"}).version == one.version


def test_what_nobody_holds_is_forgotten() -> None:
    cache = ResourceCache()
    held = cache.pack(CLUSTER, {"name": "a"})
    cache.pack(CLUSTER, {"name": "b"})
    assert len(cache) == 1
    assert held.payload


async def test_an_invalid_resource_is_reported_and_the_others_are_packed() -> None:
    packed = await ResourceCache().pack_all(
        {CLUSTER: {"good": {"name": "good"}, "bad": {"nam": "bad"}}, ENDPOINT: {"e": {"cluster_name": "e"}}}
    )
    assert set(packed.snapshot[CLUSTER]) == {"good"}
    assert set(packed.snapshot[ENDPOINT]) == {"e"}
    assert "nam" in packed.invalid[CLUSTER, "bad"]
