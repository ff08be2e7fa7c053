"""https://istio.io/latest/docs/ops/diagnostic-tools/istioctl-describe/ and .../istioctl-analyze/."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import apply, deploy_bookinfo

pytestmark = pytest.mark.full

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ratings-strict}
spec:
  selector: {matchLabels: {app: ratings}}
  mtls: {mode: STRICT}
"""
CONFLICTING = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings}
spec:
  host: ratings
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}
  subsets:
  - {name: v1, labels: {version: v1}}
"""


@pytest.fixture(scope="module")
def bookinfo(mesh: Lab) -> Lab:
    deploy_bookinfo(mesh)
    return mesh


def describe(lab: Lab, app: str) -> str:
    pod = lab.kubectl("get", "pod", "-l", f"app={app},version=v1", "-o", "jsonpath={.items[0].metadata.name}")
    return lab.run("istioctl", "experimental", "describe", "pod", pod).stdout


def test_a_pod_is_described_with_its_routes_and_gateway(bookinfo: Lab) -> None:
    apply(bookinfo, "bookinfo/networking/virtual-service-all-v1.yaml")
    ratings = describe(bookinfo, "ratings")
    assert "Service: ratings\n   Port: http 9080/HTTP targets pod port 9080\n" in ratings
    assert (
        'DestinationRule: ratings for "ratings"\n   Matching subsets: v1\n      (Non-matching subsets v2,v2-mysql,'
        "v2-mysql-vm)\n   No Traffic Policy\nVirtualService: ratings\n   1 HTTP route(s)\n"
    ) in ratings
    assert "Exposed on Ingress Gateway" not in ratings
    page = describe(bookinfo, "productpage")
    exposed, _, routes = page.partition("Exposed on Ingress Gateway http://")[2].partition("\n")
    assert exposed.startswith("127.")
    assert routes.startswith("VirtualService: bookinfo\n   Match: /productpage, Match: /static*")


def test_a_subset_that_no_rule_defines_is_warned_of(bookinfo: Lab) -> None:
    apply(bookinfo, "bookinfo/networking/virtual-service-all-v1.yaml")
    bookinfo.kubectl("delete", "destinationrule", "ratings", "--ignore-not-found")
    expected = "Warning: Route to subset v1 but NO DESTINATION RULE defining subsets!"
    eventually(lambda: expected in describe(bookinfo, "ratings"))
    found = bookinfo.run("istioctl", "analyze", check=False)
    assert found.returncode == 79
    assert (
        "Error [IST0101] (VirtualService default/ratings) Referenced host+subset in destinationrule not found: "
        '"ratings+v1"'
    ) in found.stdout


def test_the_mtls_of_a_pod(bookinfo: Lab) -> None:
    bookinfo.kubectl("apply", "-f", "-", stdin=STRICT + "---" + CONFLICTING)
    text = describe(bookinfo, "ratings")
    assert "   Traffic Policy TLS Mode: ISTIO_MUTUAL\n" in text
    assert "Effective PeerAuthentication:\n   Workload mTLS mode: STRICT\n" in text
    assert "Applied PeerAuthentication:\n   ratings-strict.default\n" in text
