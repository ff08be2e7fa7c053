"""Traffic between real sidecars that hold the configuration made from Istio resources."""

from __future__ import annotations

from collections import Counter

import aiohttp
import pytest

from tests.functional.minicluster.mesh.envoy.conftest import StaticMesh, fetch

SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: myapp}
spec:
  host: myapp
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""
CANARY = """
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: myapp}
spec:
  hosts: [myapp.default.svc.cluster.local]
  http:
  - route:
    - {destination: {host: myapp, subset: v1}, weight: 80}
    - {destination: {host: myapp, subset: v2}, weight: 20}
"""
HTTP80 = [{"name": "http", "port": 80, "targetPort": 5678}]


async def two_versions(mesh: StaticMesh, *manifests: str) -> None:
    """A client, and myapp in two versions with the same account."""
    mesh.world.pod("client", {"app": "client"}, account="client")
    for version in ("v1", "v2"):
        mesh.world.pod(f"myapp-{version}", {"app": "myapp", "version": version}, account="myapp")
        await mesh.serve(f"myapp-{version}", 5678)
    mesh.world.service("myapp", {"app": "myapp"}, HTTP80)
    for manifest in manifests:
        mesh.world.apply(manifest)
    await mesh.start("client", "myapp-v1", "myapp-v2")


@pytest.mark.full
async def test_canary_splits_80_to_20(static_mesh: StaticMesh) -> None:
    await two_versions(static_mesh, SUBSETS, CANARY)

    replies = Counter([(await static_mesh.get("client", "http://myapp/")).body for _ in range(400)])

    assert set(replies) == {"myapp-v1", "myapp-v2"}
    # The chance of a right split outside these bounds is under 1 in 100,000.
    assert 45 <= replies["myapp-v2"] <= 115


async def test_mutual_tls_tells_the_server_who_calls(static_mesh: StaticMesh) -> None:
    await two_versions(static_mesh)

    reply = await static_mesh.get("client", "http://myapp.default:80/path")

    _, seen = static_mesh.requests[-1]
    assert reply.status == 200
    assert "By=spiffe://cluster.local/ns/default/sa/myapp" in seen["x-forwarded-client-cert"]
    assert seen["x-forwarded-client-cert"].endswith('Subject="";URI=spiffe://cluster.local/ns/default/sa/client')
    assert reply.headers["server"] == "envoy"
    assert seen["host"] == "myapp.default"


async def test_route_to_an_undefined_subset_is_503_with_flag_nc(static_mesh: StaticMesh) -> None:
    static_mesh.world.mesh_config = {"accessLogFile": "/dev/stdout"}
    await two_versions(static_mesh, CANARY)

    assert (await static_mesh.get("client", "http://myapp/")).status == 503
    static_mesh.stop("client")  # flushes the access log
    assert " 503 NC cluster_not_found " in (static_mesh.directory / "client.log").read_text()


async def test_subset_without_endpoints_is_503_no_healthy_upstream(static_mesh: StaticMesh) -> None:
    await two_versions(
        static_mesh, SUBSETS.replace("version: v1", "version: v9"), CANARY.replace("weight: 20", "weight: 0")
    )

    reply = await static_mesh.get("client", "http://myapp/")

    assert (reply.status, reply.body) == (503, "no healthy upstream")


async def test_plaintext_is_reset_under_strict_and_served_under_permissive(static_mesh: StaticMesh) -> None:
    await two_versions(static_mesh)
    address = f"http://{static_mesh.world.proxy('myapp-v1').ip}:5678/"
    assert (await fetch(address)).body == "myapp-v1"
    assert "x-forwarded-client-cert" not in static_mesh.requests[-1][1]

    static_mesh.world.apply(
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default}, spec: {mtls: {mode: STRICT}}}"
    )
    await static_mesh.start("myapp-v1", "myapp-v2", "client")

    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await fetch(address)
    assert (await static_mesh.get("client", "http://myapp/")).status == 200


async def test_client_with_tls_disabled_gets_503_from_a_strict_server(static_mesh: StaticMesh) -> None:
    await two_versions(
        static_mesh,
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default}, spec: {mtls: {mode: STRICT}}}",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: myapp},"
        " spec: {host: myapp, trafficPolicy: {tls: {mode: DISABLE}}}}",
    )

    assert (await static_mesh.get("client", "http://myapp/")).status == 503


ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: myapp}
spec:
  hosts: [myapp]
  http:
  - match: [{uri: {prefix: /abort}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 418}}
    route: [{destination: {host: myapp}}]
  - match: [{uri: {prefix: /slow}}]
    timeout: 0.2s
    route: [{destination: {host: myapp, subset: v1}}]
  - match: [{uri: {prefix: /retry}}]
    retries: {attempts: 3, retryOn: 5xx}
    route: [{destination: {host: myapp, subset: v1}}]
  - match: [{uri: {prefix: /noretry}}]
    retries: {attempts: 0}
    route: [{destination: {host: myapp, subset: v1}}]
  - match: [{uri: {exact: /moved}}]
    redirect: {uri: /new, authority: other.example.com}
  - match: [{uri: {prefix: /say}}]
    directResponse: {status: 203, body: {string: hello}}
  - match: [{uri: {prefix: /old/}}]
    rewrite: {uri: /new/, authority: rewritten}
    route: [{destination: {host: myapp, subset: v1}}]
  - match: [{headers: {x-user: {exact: jason}}}, {queryParams: {v: {exact: "2"}}}, {method: {exact: PUT}}]
    headers: {request: {add: {x-added: "1"}}, response: {set: {x-version: two}}}
    route: [{destination: {host: myapp, subset: v2}}]
  - match: [{withoutHeaders: {x-v1: {}}, uri: {regex: "/regex/[a-z]+"}}]
    mirror: {host: myapp, subset: v1}
    route: [{destination: {host: myapp, subset: v2}}]
  - match: [{uri: {prefix: /CASE}, ignoreUriCase: true}]
    route: [{destination: {host: myapp, subset: v2}}]
  - route: [{destination: {host: myapp, subset: v1}}]
"""


async def test_routes_do_what_the_virtual_service_says(static_mesh: StaticMesh) -> None:
    await two_versions(static_mesh, SUBSETS, ROUTES)
    mesh = static_mesh

    assert (await mesh.get("client", "http://myapp/abort")).status == 418
    mesh.delays_s["myapp-v1"] = 2
    slow = await mesh.get("client", "http://myapp/slow")
    assert (slow.status, slow.body) == (504, "upstream request timeout")
    del mesh.delays_s["myapp-v1"]

    mesh.statuses["myapp-v1"] = [503, 503]
    assert (await mesh.get("client", "http://myapp/retry")).status == 200
    mesh.statuses["myapp-v1"] = [503]
    assert (await mesh.get("client", "http://myapp/noretry")).status == 503
    mesh.statuses["myapp-v1"] = [503]
    assert (await mesh.get("client", "http://myapp/")).status == 503, "the default policy does not retry a plain 503"

    moved = await mesh.get("client", "http://myapp/moved")
    assert (moved.status, moved.headers["location"]) == (301, "http://other.example.com/new")
    said = await mesh.get("client", "http://myapp/say")
    assert (said.status, said.body) == (203, "hello")

    await mesh.get("client", "http://myapp/old/thing?q=1")
    assert mesh.requests[-1][1]["path"] == "/new/thing?q=1"
    assert mesh.requests[-1][1]["host"] == "rewritten"

    user = await mesh.get("client", "http://myapp/", headers={"x-user": "jason"})
    assert (user.body, user.headers["x-version"]) == ("myapp-v2", "two")
    assert mesh.requests[-1][1]["x-added"] == "1"
    assert (await mesh.get("client", "http://myapp/?v=2")).body == "myapp-v2"
    assert (await mesh.get("client", "http://myapp/", method="PUT")).body == "myapp-v2"
    assert (await mesh.get("client", "http://myapp/case/x")).body == "myapp-v2"
    assert (await mesh.get("client", "http://myapp/regex/abc")).body == "myapp-v2"
    assert (await mesh.get("client", "http://myapp/regex/abc", headers={"x-v1": "1"})).body == "myapp-v1"
    assert (await mesh.get("client", "http://myapp/other")).body == "myapp-v1"


async def test_unknown_hosts_pass_or_are_refused(static_mesh: StaticMesh) -> None:
    await two_versions(static_mesh)
    address = f"http://{static_mesh.world.proxy('myapp-v1').ip}:5678/"

    assert (await static_mesh.get("client", address)).body == "myapp-v1"
    assert "x-forwarded-client-cert" not in static_mesh.requests[-1][1], "a pod's address is no service: plain text"
    assert (await static_mesh.get("client", "http://nowhere.invalid/")).status == 503

    static_mesh.world.mesh_config = {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
    await static_mesh.start("client")
    assert (await static_mesh.get("client", "http://nowhere.invalid/")).status == 502
    assert (await static_mesh.get("client", "http://myapp/")).status == 200


async def test_corners_of_routes_are_as_upstreams(static_mesh: StaticMesh) -> None:
    """A rewrite replaces a path that a regex matched, parameters have case, and an empty condition is: present."""
    await two_versions(
        static_mesh,
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: myapp}, spec: {hosts: [myapp], http: ["
        "{match: [{queryParams: {userId: {exact: '7'}}}], directResponse: {status: 207}},"
        "{match: [{queryParams: {empty: {exact: ''}}}], directResponse: {status: 208}},"
        "{match: [{uri: {regex: '/[a-z]+/v[0-9]'}}], rewrite: {uri: /x/y}, headers: {request: {add: {x-who: route}}},"
        " route: [{destination: {host: myapp}, headers: {request: {set: {x-whom: destination}}}}]},"
        "{match: [{headers: {x-flag: {}}, withoutHeaders: {x-not: {}}}], directResponse: {status: 209}},"
        "{route: [{destination: {host: myapp}}]}]}}",
    )

    async def status(path: str, **headers: str) -> int:
        return (await static_mesh.get("client", f"http://myapp{path}", headers=headers)).status

    assert await status("/?userId=7") == 207
    assert await status("/?userid=7") == 200
    assert await status("/?empty=") == 208
    assert await status("/?empty=x") == 200
    assert await status("/", **{"x-flag": "any"}) == 209
    assert await status("/", **{"x-flag": "any", "x-not": "any"}) == 200
    assert await status("/abc/v1?q=2", **{"x-who": "client"}) == 200
    seen = static_mesh.requests[-1][1]
    assert (seen["path"], seen["x-who"], seen["x-whom"]) == ("/x/y?q=2", "route", "destination")
