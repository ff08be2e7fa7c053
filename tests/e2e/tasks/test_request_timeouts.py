"""https://istio.io/latest/docs/tasks/traffic-management/request-timeouts/."""

from __future__ import annotations

import time

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import STAR, apply, deploy_bookinfo, page

pytestmark = pytest.mark.full

REVIEWS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews, subset: v2}
    TIMEOUT
"""
SLOW_RATINGS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - fault:
      delay: {percentage: {value: 100}, fixedDelay: 2s}
    route:
    - destination: {host: ratings, subset: v1}
"""


@pytest.fixture(scope="module")
def bookinfo(mesh: Lab) -> Lab:
    deploy_bookinfo(mesh)
    apply(mesh, "bookinfo/networking/virtual-service-all-v1.yaml")
    return mesh


def test_half_a_second_for_reviews_is_not_enough_for_slow_ratings(bookinfo: Lab) -> None:
    bookinfo.kubectl("apply", "-f", "-", stdin=REVIEWS.replace("TIMEOUT", ""))
    bookinfo.kubectl("apply", "-f", "-", stdin=SLOW_RATINGS)
    eventually(lambda: STAR in page(bookinfo))
    started = time.monotonic()
    assert STAR in page(bookinfo)
    assert time.monotonic() - started >= 2
    bookinfo.kubectl("apply", "-f", "-", stdin=REVIEWS.replace("TIMEOUT", "timeout: 0.5s"))
    eventually(lambda: "Sorry, product reviews are currently unavailable for this book." in page(bookinfo))
    started = time.monotonic()
    page(bookinfo)
    assert time.monotonic() - started < 2, "the page asks twice, half a second each"
