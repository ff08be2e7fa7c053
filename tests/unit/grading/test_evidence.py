from __future__ import annotations

import json

import pytest

from meshlab.grading.evidence import Evidence


def test_the_id_is_the_content() -> None:
    one = Evidence("requests", {"a": 1, "b": 2}, {"pod": "client"}, "t0", "t1")
    same = Evidence("requests", {"b": 2, "a": 1}, {"pod": "client"}, "t0", "t1")
    assert one.content_id() == same.content_id()
    assert one.content_id().startswith("sha256:")
    assert one.content_id() != Evidence("requests", {"a": 1, "b": 3}, {"pod": "client"}, "t0", "t1").content_id()


def test_it_survives_storage() -> None:
    one = Evidence("requests", {"n": 3}, {"pod": "client"}, "t0", "t1")
    again = Evidence.from_json(json.loads(json.dumps(one.to_json())))
    assert again.content_id() == one.content_id()
    assert again.data == one.data


@pytest.mark.parametrize(
    ("watched", "void"),
    [({}, False), ({"from_rv": "1", "to_rv": "1"}, False), ({"from_rv": "1", "to_rv": "2"}, True)],
)
def test_evidence_is_void_if_a_watched_object_changed(watched: dict[str, str], void: bool) -> None:
    assert Evidence("requests", {}, watched=watched).is_void is void
