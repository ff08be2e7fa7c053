"""The rate limit service's configuration and counting, and the store that it counts in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from meshlab.minicluster.images.extauthz import go_text
from meshlab.minicluster.images.ratelimit.config import Config, ConfigError, load
from meshlab.minicluster.images.ratelimit.limiter import Limiter
from meshlab.minicluster.images.redis.protocol import RedisError, encode, encode_command, read_command, read_value
from meshlab.minicluster.images.redis.store import Store
from meshlab.minicluster.mesh import proto

CONFIG = """
domain: shop
descriptors:
- key: PATH
  value: /productpage
  rate_limit: {unit: minute, requests_per_unit: 2}
- key: PATH
  rate_limit: {unit: minute, requests_per_unit: 100}
- key: user
  value: vip*
  rate_limit: {unlimited: true}
- key: user
  shadow_mode: true
  rate_limit: {unit: Second, requests_per_unit: 1}
  descriptors:
  - key: PATH
    rate_limit: {unit: hour, requests_per_unit: 7}
"""


def config(tmp_path: Path, text: str = CONFIG) -> Config:
    (tmp_path / "config.yaml").write_text(text)
    hidden = tmp_path / "..data"
    hidden.mkdir(exist_ok=True)
    (hidden / "config.yaml").write_text(text)
    return load(tmp_path)


@pytest.mark.parametrize(
    ("entries", "requests"),
    [
        ([("PATH", "/productpage")], 2),
        ([("PATH", "/other")], 100),
        ([("user", "joe")], 1),
        ([("user", "joe"), ("PATH", "/x")], 7),
        ([("PATH", "/x"), ("user", "joe")], None),
        ([("nothing", "x")], None),
        ([], None),
    ],
)
def test_the_most_particular_limit_counts(tmp_path: Path, entries: list[tuple[str, str]], requests: int | None) -> None:
    limit = config(tmp_path).limit("shop", entries)
    assert (limit.requests_per_unit if limit is not None else None) == requests


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("descriptors: []", "cannot have empty domain"),
        ("domain: a\ndescriptors: [{value: x}]", "descriptor has empty key"),
        ("domain: a\ndescriptors: [{key: x}, {key: x}]", "duplicate descriptor composite key 'a.x'"),
        (
            "domain: a\ndescriptors: [{key: x, rate_limit: {unit: moon, requests_per_unit: 1}}]",
            "invalid rate limit unit",
        ),
        ("domain: [", "error loading config file"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, text)


async def test_windows_are_those_of_the_clock(tmp_path: Path) -> None:
    found, moment = config(tmp_path), 1_000_000.0
    store = Store(lambda: moment)

    async def add(counters: Sequence[tuple[str, int, int]]) -> list[int]:
        sums = []
        for key, amount, seconds in counters:
            sums.append(store.run(["INCRBY", key, str(amount)]))
            store.run(["EXPIRE", key, str(seconds)])
        return [int(str(value)) for value in sums]

    limiter = Limiter(add, lambda: moment)

    async def over(*entries: tuple[str, str], hits: int = 0) -> bool:
        (status,) = await limiter.judge(found, "shop", [entries], hits)
        return status.over

    page = ("PATH", "/productpage")
    assert [await over(page) for _ in range(3)] == [False, False, True]
    assert store.run(["KEYS", "*"]) == ["shop_PATH_/productpage_999960"]
    moment += 60
    assert not await over(page, hits=2)
    assert await over(page)
    assert not await over(("user", "joe"))
    assert not await over(("user", "joe")), "its limit is a shadow"
    assert not any([await over(("user", "vip-1")) for _ in range(3)])


def test_keys_of_the_store_end() -> None:
    moment = 0.0
    store = Store(lambda: moment)
    assert store.run(["set", "a", "1", "EX", "10"]) == "OK"
    assert store.run(["SET", "a", "2", "NX"]) is None
    assert store.run(["incr", "a"]) == 2
    assert store.run(["TTL", "a"]) == 10
    moment = 10
    assert store.run(["GET", "a"]) is None
    assert store.run(["TTL", "a"]) == -2
    store.run(["SET", "b", "x"])
    assert isinstance(store.run(["INCR", "b"]), RedisError)
    assert isinstance(store.run(["GET"]), RedisError)
    assert str(store.run(["NOSUCH", "x"])).startswith("ERR unknown command 'NOSUCH'")
    assert store.run(["DEL", "b", "c"]) == 1


async def test_commands_and_replies_survive_the_wire() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(encode_command(["SET", "a b", "ü"]) + b"PING hello\r\n")
    assert await read_command(reader) == ["SET", "a b", "ü"]
    assert await read_command(reader) == ["PING", "hello"]
    values = ["text", 3, None, ["a", 1, None], "OK"]
    for value in values:
        reader.feed_data(encode(value))  # type: ignore[arg-type]
        assert await read_value(reader) == value
    reader.feed_data(encode(RedisError("ERR no")))
    assert str(await read_value(reader)) == "ERR no"


def test_messages_are_shown_as_go_shows_them() -> None:
    message = proto.to_message(
        "envoy.service.auth.v3.AttributeContext",
        {"source": {"principal": 'a"b'}, "request": {"http": {"method": "GET", "headers": {"b": "2", "a": "1"}}}},
    )
    assert go_text(message) == (
        'source:{principal:"a\\"b"} request:{http:{method:"GET" headers:{key:"a" value:"1"} headers:{key:"b" value:"2"}}}'
    )
