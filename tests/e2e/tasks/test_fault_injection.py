"""https://istio.io/latest/docs/tasks/traffic-management/fault-injection/."""

from __future__ import annotations

import time

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import STAR, apply, deploy_bookinfo, page

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def bookinfo(mesh: Lab) -> Lab:
    deploy_bookinfo(mesh)
    apply(mesh, "bookinfo/networking/virtual-service-all-v1.yaml")
    apply(mesh, "bookinfo/networking/virtual-service-reviews-test-v2.yaml")
    eventually(lambda: STAR in page(mesh, "jason"))
    return mesh


def test_a_delay_of_seven_seconds_breaks_the_page_after_six(bookinfo: Lab) -> None:
    """The page gives reviews three seconds, twice; reviews would have given ratings ten."""
    apply(bookinfo, "bookinfo/networking/virtual-service-ratings-test-delay.yaml")
    text = eventually(lambda: found if "Error fetching" in (found := page(bookinfo, "jason")) else "", within_s=40)
    assert "Error fetching product reviews!" in text
    assert "Sorry, product reviews are currently unavailable for this book." in text
    started = time.monotonic()
    page(bookinfo, "jason")
    assert 6 <= time.monotonic() - started < 12
    assert "Error fetching" not in page(bookinfo)


def test_an_abort_makes_ratings_unavailable_at_once(bookinfo: Lab) -> None:
    apply(bookinfo, "bookinfo/networking/virtual-service-ratings-test-abort.yaml")
    eventually(lambda: "Ratings service is currently unavailable" in page(bookinfo, "jason"), within_s=40)
    assert "Ratings service is currently unavailable" not in page(bookinfo)
