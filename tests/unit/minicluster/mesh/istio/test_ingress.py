"""Kubernetes' Ingress: whose it is, and what gateways route for it."""

from __future__ import annotations

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.vocabulary import LISTENER, ROUTE
from tests.fakes.istio_world import World

CLASS = """
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: mesh}
spec: {controller: istio.io/ingress-controller}
"""


@pytest.fixture
def world() -> World:
    """An ingress gateway's proxy ``in``, and a service ``web``."""
    world = World()
    world.pod("in", {"istio": "ingressgateway"}, injected=False)
    world.pod("web", {"app": "web"}, ports=(("http", 8080),))
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}])
    return world


def ingress(
    *paths: str, host: str = "web.example.com", annotation: str = "istio", more: str = "", name: str = "a"
) -> str:
    annotations = f"annotations: {{kubernetes.io/ingress.class: {annotation}}}" if annotation else ""
    named = f"host: '{host}', " if host else ""
    return (
        f"{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: {name}, {annotations}}},"
        f" spec: {{{more} rules: [{{{named}http: {{paths: [{', '.join(paths)}]}}}}]}}}}"
    )


def path(value: str, kind: str = "Prefix", port: str = "number: 80") -> str:
    return f"{{path: '{value}', pathType: {kind}, backend: {{service: {{name: web, port: {{{port}}}}}}}}}"


def hosts(world: World) -> dict[str, list[Obj]]:
    """The gateway's virtual hosts on port 80, by their domain."""
    configuration = world.build("in", "router")[ROUTE].get("http.80") or {"virtual_hosts": []}
    return {host["domains"][0]: host.get("routes", []) for host in configuration["virtual_hosts"]}


def test_an_ingress_is_served_by_the_ingress_gateway(world: World) -> None:
    world.apply(ingress(path("/status")))
    (route,) = hosts(world)["web.example.com"]
    assert route["match"]["safe_regex"]["regex"] == "/status((\\/).*)?"
    assert route["route"]["cluster"] == "outbound|80||web.default.svc.cluster.local"


def test_the_longest_path_comes_first_and_the_exact_one_before_its_prefix(world: World) -> None:
    world.apply(ingress(path("/"), path("/a"), path("/a", "Exact")))
    world.apply(ingress(path("/a/b", port="name: http"), path("/old/*", "ImplementationSpecific"), name="b"))
    matches = [route["match"] for route in hosts(world)["web.example.com"]]
    assert [next(iter(m.values())) for m in matches] == [
        "/old/",
        {"regex": "/a/b((\\/).*)?"},
        "/a",
        {"regex": "/a((\\/).*)?"},
        "/",
    ]


@pytest.mark.parametrize(
    ("annotation", "more", "mode", "mine"),
    [
        ("istio", "", "", True),
        ("nginx", "", "", False),
        ("", "", "", False),
        ("", "", "DEFAULT", True),
        ("istio", "", "OFF", False),
        ("", "ingressClassName: mesh,", "", True),
        ("", "ingressClassName: other,", "DEFAULT", False),
    ],
)
def test_whose_an_ingress_is(world: World, annotation: str, more: str, mode: str, mine: bool) -> None:
    world.apply(CLASS)
    world.mesh_config = {"ingressControllerMode": mode} if mode else {}
    world.apply(ingress(path("/"), annotation=annotation, more=more))
    assert ("web.example.com" in hosts(world)) == mine


def test_tls_takes_the_secret_of_the_gateways_namespace(world: World) -> None:
    world.apply(ingress(path("/"), host="", more="tls: [{hosts: [web.example.com], secretName: cert}],"))
    built = world.build("in", "router")
    (chain,) = built[LISTENER]["0.0.0.0_443"]["filter_chains"]
    assert chain["filter_chain_match"] == {"server_names": ["web.example.com"]}
    assert "*" in hosts(world)


def test_mesh_config_names_another_gateway(world: World) -> None:
    world.mesh_config = {"ingressService": "edge", "ingressClass": "edge"}
    world.pod("edge", {"istio": "edge"}, injected=False)
    world.apply(ingress(path("/"), annotation="edge"))
    assert not hosts(world)
    assert "http.80" in world.build("edge", "router")[ROUTE]
