"""https://istio.io/latest/docs/tasks/traffic-management/request-routing/."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import STAR, apply, colors, deploy_bookinfo, page

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def bookinfo(mesh: Lab) -> Lab:
    deploy_bookinfo(mesh)
    return mesh


def test_without_routes_all_versions_answer(bookinfo: Lab) -> None:
    eventually(lambda: set(colors(bookinfo, 30)) == {"none", "black", "red"})


def test_all_users_are_routed_to_version_1(bookinfo: Lab) -> None:
    said = apply(bookinfo, "bookinfo/networking/virtual-service-all-v1.yaml")
    assert "virtualservice.networking.istio.io/reviews created" in said
    eventually(lambda: colors(bookinfo, 10) == {"none": 10})
    assert STAR not in page(bookinfo)


def test_a_user_is_routed_by_identity(bookinfo: Lab) -> None:
    said = apply(bookinfo, "bookinfo/networking/virtual-service-reviews-test-v2.yaml")
    assert "virtualservice.networking.istio.io/reviews configured" in said
    eventually(lambda: STAR in page(bookinfo, "jason"))
    assert 'color="black"' in page(bookinfo, "jason")
    assert STAR not in page(bookinfo, "jane")
    assert STAR not in page(bookinfo)
