"""Whatever valid resources say: real Envoys accept the configuration, and route as the resources' reference says."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, note, settings
from hypothesis import strategies as st

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.validation import validate
from tests.fakes.istio_world import World
from tests.support.addresses import random_prefix
from tests.support.istio_strategies import PATHS, USERS, shop_world, worlds
from tests.support.live_proxy import LiveProxy
from tests.support.route_oracle import Request, expected

QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)
FULL = settings(QUICK, max_examples=1000, derandomize=False)
"""Each example is pushed to a sidecar and to a gateway: 2,000 configurations."""


class Mesh:
    """A sidecar and a gateway, and the servers behind them."""

    def __init__(self, directory: Path) -> None:
        self.prefix = random_prefix()
        world = shop_world(self.prefix)
        self.sidecar = LiveProxy(world.proxy("client"), _made(directory / "c"))
        self.gateway = LiveProxy(world.proxy("ingress", "router"), _made(directory / "g"))
        self.sidecar.start()
        self.gateway.start()
        for pod in ("shop-v1", "shop-v2", "cart-v1"):
            self.sidecar.serve(pod, world.proxy(pod).ip, 8080)

    def accepts(self, resources: list[Obj]) -> World:
        """Give the proxies a world with these resources; neither may refuse anything."""
        world = shop_world(self.prefix)
        for obj in resources:
            assert validate(obj) == [], f"the strategies make invalid resources: {obj}"
            world.add(copy.deepcopy(obj))
        assert self.sidecar.push(world.build("client")) == {}
        assert self.gateway.push(world.build("ingress", "router")) == {}
        return world

    def close(self) -> None:
        self.sidecar.stop()
        self.gateway.stop()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with tempfile.TemporaryDirectory(prefix="gen") as directory:
        found = Mesh(Path(directory))
        try:
            yield found
        finally:
            found.close()


REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from(PATHS),
    query=st.sampled_from(["", "q=1", "q=22", "q=1&r=2"]),
    headers=st.fixed_dictionaries(
        {}, optional={"x-user": st.sampled_from([u for u in USERS if u]), "x-role": st.sampled_from(["admin", "guest"])}
    ),
)


def check(mesh: Mesh, resources: list[Obj], requests: list[Request]) -> None:
    """Push, then compare what each request meets with what the oracle says."""
    mesh.accepts(resources)
    for request in requests:
        wanted = expected(request, resources)
        note(f"{request} -> {wanted}")
        event(f"status {wanted.status}")
        url = f"http://shop{request.path}{f'?{request.query}' if request.query else ''}"
        status, body, headers = mesh.sidecar.request(request.method, url, dict(request.headers))
        if wanted.status == 0:
            assert status in (200, 503)
            continue
        assert status == wanted.status, body
        if wanted.location:
            assert headers["Location"] == wanted.location
        if wanted.pods:
            pod, _, path = body.partition(" ")
            assert pod in wanted.pods
            assert not wanted.path or path == wanted.path


@QUICK
@given(resources=worlds(), requests=st.lists(REQUESTS, min_size=4, max_size=4))
def test_envoy_accepts_and_routes_what_is_generated(mesh: Mesh, resources: list[Obj], requests: list[Request]) -> None:
    check(mesh, resources, requests)


@pytest.mark.full
@pytest.mark.timeout(1800)
@FULL
@given(resources=worlds(), requests=st.lists(REQUESTS, min_size=4, max_size=4))
def test_envoy_accepts_two_thousand_configurations(mesh: Mesh, resources: list[Obj], requests: list[Request]) -> None:
    check(mesh, resources, requests)
