"""What is built once: equal proxies share it, and it outlives a change of the routes."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh import envoy
from meshlab.minicluster.mesh.envoy.vocabulary import CLUSTER, ENDPOINT, LISTENER, ROUTE
from meshlab.minicluster.mesh.model import Mesh
from tests.fakes.istio_world import World

HTTP = [{"name": "http", "port": 80}]
VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
  - route: [{destination: {host: web}}]
    timeout: TIMEOUT
"""


@pytest.fixture
def world() -> World:
    world = World()
    for name in ("web", "client"):
        world.pod(name, {"app": name})
        world.service(name, {"app": name}, HTTP)
    return world


def routed(world: World, timeout: str) -> Mesh:
    """The model with another timeout; everything is translated anew, as after a push."""
    world.objects.pop("virtualservices.networking.istio.io", None)
    world.apply(VIRTUAL_SERVICE.replace("TIMEOUT", timeout))
    return world.mesh()


def test_a_change_of_routes_builds_nothing_but_routes(world: World) -> None:
    ports: dict[int, int] = {}

    def real(port: int) -> int:
        return ports.get(port, port)

    proxy = world.proxy("client")
    first = routed(world, "1s")
    second = routed(world, "2s").on_ground_of(first)
    before, after = envoy.build(first, proxy, real), envoy.build(second, proxy, real)
    for type_url in (CLUSTER, ENDPOINT, LISTENER):
        assert before[type_url].keys() == after[type_url].keys()
        assert all(before[type_url][name] is after[type_url][name] for name in before[type_url])
    assert before[ROUTE] != after[ROUTE]

    # A port that has moved since is not overlooked.
    ports[80] = 20080
    third = routed(world, "3s").on_ground_of(second)
    assert third.ground is first.ground
    assert envoy.build(third, proxy, real) == envoy.build(routed(world, "3s"), proxy, real)


def test_any_other_change_builds_everything(world: World) -> None:
    first = routed(world, "1s")
    world.pod("web-2", {"app": "web"})
    second = world.mesh().on_ground_of(first)
    assert second.ground is not first.ground


def test_a_proxy_that_says_something_else_of_itself_gets_its_own(world: World) -> None:
    mesh = routed(world, "1s")
    before = envoy.build(mesh, world.proxy("web"), int)
    pod = next(pod for pod in world.objects["pods"] if pod["metadata"]["name"] == "web")
    pod["spec"]["serviceAccountName"] = "another"
    after = envoy.build(mesh, world.proxy("web"), int)
    assert before == after
    shared = {name for name in before[LISTENER] if before[LISTENER][name] is after[LISTENER][name]}
    assert shared == {"0.0.0.0_80"}, "of captured connections"
