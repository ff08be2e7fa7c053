"""Resources are packed once, versions say what is in them."""

from __future__ import annotations

from meshlab.minicluster.mesh import proto
from meshlab.minicluster.mesh.xds import ResourceCache
from meshlab.minicluster.mesh.xds.resources import CLUSTER, ENDPOINT, ROUTE, Known


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


def test_a_resource_of_many_parts_is_the_same_as_if_it_were_parsed_whole() -> None:
    hosts = [{"name": f"h{n}", "domains": [f"h{n}"], "routes": [{"match": {"prefix": "/"}}]} for n in range(3)]
    value = {"name": "r", "virtual_hosts": hosts, "validate_clusters": False}
    whole = proto.to_message(ROUTE, value).SerializeToString(deterministic=True)
    assert ResourceCache().pack(ROUTE, value).payload == whole
    assert (
        ResourceCache().pack(ROUTE, {"name": "r"}).payload == proto.to_message(ROUTE, {"name": "r"}).SerializeToString()
    )


async def test_an_invalid_part_is_named() -> None:
    packed = await ResourceCache().pack_all({ROUTE: {"r": {"name": "r", "virtual_hosts": [{"nam": "h"}]}}})
    assert "VirtualHost" in packed.invalid[ROUTE, "r"] and '"nam"' in packed.invalid[ROUTE, "r"]


async def test_what_a_push_does_not_ask_for_is_forgotten_with_the_next() -> None:
    cache, first, second = ResourceCache(), {"name": "a"}, {"name": "b"}
    known = Known()
    packed = (await cache.pack_all({CLUSTER: {"a": first, "b": second}}, known)).snapshot[CLUSTER]
    known = Known(known)
    assert known.resources.get(first) is packed["a"]
    assert known.resources.get(dict(first)) is None, "an equal object is another one"
    known = Known(known)
    assert known.resources.get(second) is None
    assert known.resources.get(first) is packed["a"]


async def test_all_of_a_type_is_packed_once_while_it_is_the_same() -> None:
    cache, all_of_them, broken = ResourceCache(), {"a": {"name": "a"}}, {"a": {"nam": "a"}}
    known = Known()
    first = await cache.pack_all({CLUSTER: all_of_them, ROUTE: broken}, known)
    again = await cache.pack_all({CLUSTER: all_of_them, ROUTE: broken}, Known(known))
    assert again.snapshot[CLUSTER] is first.snapshot[CLUSTER]
    assert again.invalid == first.invalid and (ROUTE, "a") in first.invalid, "what is wrong is said each time"
