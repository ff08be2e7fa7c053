"""https://istio.io/latest/docs/tasks/traffic-management/locality-load-balancing/, places given by pod labels."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import available, curl, inject

pytestmark = pytest.mark.full

PLACES = ("region1.zone1", "region1.zone2", "region2.zone3", "region3.zone4")
SERVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: helloworld-PLACE}
spec:
  selector: {matchLabels: {app: helloworld, version: PLACE}}
  template:
    metadata: {labels: {app: helloworld, version: PLACE, istio-locality: PLACE}}
    spec:
      containers:
      - {name: helloworld, image: docker.io/istio/examples-helloworld-v1, env: [{name: SERVICE_VERSION, value: PLACE}]}
---
"""
CLIENT = """
apiVersion: v1
kind: Service
metadata: {name: helloworld}
spec:
  ports: [{name: http, port: 5000}]
  selector: {app: helloworld}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: curl}
spec:
  selector: {matchLabels: {app: curl}}
  template:
    metadata: {labels: {app: curl, istio-locality: region1.zone1}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: curl, image: curlimages/curl, command: [sleep, infinity]}]
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: helloworld}
spec:
  host: helloworld
  trafficPolicy:
    connectionPool: {http: {maxRequestsPerConnection: 1}}
    loadBalancer:
      simple: ROUND_ROBIN
      localityLbSetting: {enabled: true, LOCALITY}
    outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 1m}
"""


@pytest.fixture(scope="module")
def places(mesh: Lab) -> Lab:
    inject(mesh)
    mesh.kubectl("apply", "-f", "-", stdin="".join(SERVER.replace("PLACE", p) for p in PLACES) + CLIENT)
    available(mesh)
    return mesh


def versions(lab: Lab, requests: int) -> Counter[str]:
    out = curl(lab, f"http://helloworld:5000/hello?n=[1-{requests}]")
    return Counter(re.findall(r"version: ([\w.]+),", out))


def test_the_nearest_place_answers_and_the_next_when_it_is_gone(places: Lab) -> None:
    failover = "failover: [{from: region1, to: region2}]"
    places.kubectl("apply", "-f", "-", stdin=RULE.replace("LOCALITY", failover))
    for gone in PLACES[:3]:
        eventually(lambda place=gone: versions(places, 8) == {place: 8}, what=gone)  # type: ignore[misc]
        places.kubectl("scale", f"deploy/helloworld-{gone}", "--replicas=0")
    eventually(lambda: versions(places, 8) == {PLACES[3]: 8})
    for gone in PLACES[:3]:
        places.kubectl("scale", f"deploy/helloworld-{gone}", "--replicas=1")
    available(places)
    eventually(lambda: versions(places, 8) == {PLACES[0]: 8})


def test_traffic_is_distributed_by_weight(places: Lab) -> None:
    shares = '"region1/zone1/*": 70, "region1/zone2/*": 20, "region3/zone4/*": 10'
    distribute = f'distribute: [{{from: "region1/zone1/*", to: {{{shares}}}}}]'
    places.kubectl("apply", "-f", "-", stdin=RULE.replace("LOCALITY", distribute))
    eventually(lambda: len(versions(places, 20)) > 1)
    found = versions(places, 200)
    assert set(found) == {PLACES[0], PLACES[1], PLACES[3]}
    assert 110 <= found[PLACES[0]] <= 170
    assert 20 <= found[PLACES[1]] <= 65
    assert 5 <= found[PLACES[3]] <= 40
