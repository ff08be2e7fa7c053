"""Nothing that a learner writes makes translation or building fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.istio_world import PLURALS, World

KEYS = [
    "hosts host http tcp tls route routes match uri exact prefix regex headers destination subset subsets weight name port",
    "number protocol servers selector matchLabels mtls mode portLevelMtls rules from source principals to operation paths",
    "when key values trafficPolicy loadBalancer consistentHash connectionPool outlierDetection timeout retries attempts",
    "fault delay fixedDelay abort percentage value mirror corsPolicy allowOrigins gateways exportTo endpoints address ports",
    "resolution workloadSelector labels egress outboundTrafficPolicy action jwtRules spec rewrite redirect directResponse",
]
WORDS = [word for line in KEYS for word in line.split()]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 70000),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from(["web", "*", "mesh", "v1", "80", "1s", "HTTP", "STRICT", "STATIC", "DNS", "edge", "(", "", "a.b"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)),
    max_leaves=25,
)
KINDS = [kind for kind in PLURALS if kind not in ("Pod", "Node", "EndpointSlice")]


@pytest.mark.full
@given(st.lists(st.tuples(st.sampled_from(KINDS), JSON), max_size=5))
@settings(max_examples=150, deadline=None)
def test_any_spec_is_translated_and_built(items: list[tuple[str, Any]]) -> None:
    world = World()
    world.pod("web", {"app": "web"}, ports=(("http", 8080),))
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}])
    for position, (kind, spec) in enumerate(items):
        world.add(
            {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": f"x{position}"}, "spec": spec}
        )

    for kind in ("sidecar", "router"):
        json.dumps(world.build("web", kind))
