from __future__ import annotations

from typing import Any

import pytest

from checks.proxies import select_route

HOST = "myapp.default.svc.cluster.local"
PLAIN = f"outbound|80||{HOST}"

Obj = dict[str, Any]


def route(cluster: str = PLAIN, **match: Any) -> Obj:
    return {"name": "r", "match": match or {"prefix": "/"}, "route": {"cluster": cluster}}


def config(name: str, *routes: Obj, domains: tuple[str, ...] = ("myapp", HOST)) -> Obj:
    return {"name": name, "virtual_hosts": [{"name": f"{HOST}:80", "domains": domains, "routes": list(routes)}]}


def chosen(configs: list[Obj], url: str = "http://myapp/") -> dict[str, int] | None:
    found = select_route(configs, url)
    return found and found["weights"]


def test_the_parts_of_a_route_are_named() -> None:
    assert select_route([config("80", route())], "http://myapp/") == {
        "config": "80",
        "virtual_host": f"{HOST}:80",
        "name": "r",
        "weights": {PLAIN: 1},
    }


def test_weights_of_one_cluster_add_up() -> None:
    weighted = {"clusters": [{"name": "a", "weight": 50}, {"name": "b", "weight": 20}, {"name": "a", "weight": 30}]}
    entry = {"match": {"prefix": "/"}, "route": {"weighted_clusters": weighted}}
    assert chosen([config("80", entry)]) == {"a": 80, "b": 20}


@pytest.mark.parametrize(
    "entry", [{"match": {"prefix": "/"}, "redirect": {}}, {"match": {"prefix": "/"}, "direct_response": {}}]
)
def test_a_redirect_or_direct_response_has_no_weights(entry: Obj) -> None:
    assert chosen([config("80", entry)]) == {}


@pytest.mark.parametrize(
    ("url", "domains", "taken"),
    [
        ("http://myapp/", ("myapp",), True),
        ("http://myapp/", ("myapp:80",), True),
        ("http://myapp:8080/", ("myapp:8080",), True),
        ("http://myapp:8080/", ("myapp:80",), False),
        ("http://other/", ("myapp",), False),
        ("http://myapp", ("myapp",), True),
    ],
)
def test_a_virtual_host_is_chosen_by_host_and_port(url: str, domains: tuple[str, ...], taken: bool) -> None:
    assert (chosen([config("http_proxy", route(), domains=domains)], url) is not None) is taken


@pytest.mark.parametrize(
    ("match", "path", "taken"),
    [
        ({"prefix": "/"}, "/", True),
        ({"prefix": "/api"}, "/apis", True),
        ({"path_separated_prefix": "/api"}, "/apis", False),
        ({"path_separated_prefix": "/api"}, "/api/x", True),
        ({"path_separated_prefix": "/api"}, "/api", True),
        ({"path": "/a"}, "/a", True),
        ({"path": "/a"}, "/a/", False),
        ({"safe_regex": {"regex": "/v[0-9]+"}}, "/v12", True),
        ({"safe_regex": {"regex": "/v[0-9]+"}}, "/v12/x", False),
        ({"prefix": "/", "headers": [{"name": "end-user"}]}, "/", False),
        ({"prefix": "/", "query_parameters": [{"name": "q"}]}, "/", False),
        ({"connect_matcher": {}}, "/", False),
    ],
)
def test_the_first_route_that_takes_a_plain_get_wins(match: Obj, path: str, taken: bool) -> None:
    configs = [config("80", route("special", **match), route("rest"))]
    assert chosen(configs, f"http://myapp{path}") == ({"special": 1} if taken else {"rest": 1})


def test_no_route_for_the_path() -> None:
    assert chosen([config("80", route(path="/a"))]) is None


def test_the_ports_own_configuration_comes_before_the_proxys() -> None:
    configs = [config("http_proxy", route("second")), config("80", route("first")), config("9080", route("other"))]
    assert chosen(configs) == {"first": 1}
    assert chosen(configs[:1]) == {"second": 1}
    assert chosen(configs[2:]) is None


def test_a_configuration_named_for_host_and_port() -> None:
    assert chosen([config(f"{HOST}:80", route())]) == {PLAIN: 1}
    assert chosen([config(f"other.{HOST}:80", route())]) is None
