"""https://istio.io/latest/docs/tasks/traffic-management/traffic-shifting/."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import apply, colors, deploy_bookinfo

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def bookinfo(mesh: Lab) -> Lab:
    deploy_bookinfo(mesh)
    return mesh


def test_reviews_move_to_version_3_in_two_steps(bookinfo: Lab) -> None:
    apply(bookinfo, "bookinfo/networking/virtual-service-all-v1.yaml")
    eventually(lambda: colors(bookinfo, 10) == {"none": 10})
    apply(bookinfo, "bookinfo/networking/virtual-service-reviews-50-v3.yaml")
    eventually(lambda: colors(bookinfo, 10)["red"])
    half = colors(bookinfo, 100)
    assert set(half) == {"none", "red"}
    assert 25 <= half["red"] <= 75
    apply(bookinfo, "bookinfo/networking/virtual-service-reviews-v3.yaml")
    eventually(lambda: colors(bookinfo, 20) == {"red": 20})


def test_other_weights_are_kept_to(bookinfo: Lab) -> None:
    apply(bookinfo, "bookinfo/networking/virtual-service-reviews-90-10.yaml")
    eventually(lambda: colors(bookinfo, 10)["none"])
    found = colors(bookinfo, 100)
    assert 1 <= found["black"] <= 25
    assert found["red"] == 0
