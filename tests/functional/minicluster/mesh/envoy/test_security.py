"""Tokens, external authorizers and the finer points of authorization, between real proxies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from tests.functional.minicluster.mesh.envoy.conftest import Reply, StaticMesh, fetch
from tests.support.tokens import Issuer

HTTP = [{"name": "http", "port": 80, "targetPort": 8080}]
SECURITY = "security.istio.io/v1"


async def client_and_server(mesh: StaticMesh, *policies: Any) -> None:
    """Pods client and web with sidecars; the policies' specifications by kind."""
    world = mesh.world
    world.pod("client", {"app": "client"}, account="client")
    world.pod("web", {"app": "web"}, account="web")
    world.service("web", {"app": "web"}, HTTP)
    for number, (kind, spec) in enumerate(policies):
        world.add({"apiVersion": SECURITY, "kind": kind, "metadata": {"name": f"p{number}"}, "spec": spec})
    await mesh.serve("web", 8080)
    await mesh.start("client", "web")


def tokens(issuer: Issuer, **rule: Any) -> tuple[str, Any]:
    return "RequestAuthentication", {"jwtRules": [{"issuer": issuer.name, "jwks": issuer.jwks, **rule}]}


def allow(**rule: Any) -> tuple[str, Any]:
    return "AuthorizationPolicy", {"rules": [rule]}


async def ask(mesh: StaticMesh, path: str = "/", token: str = "", **headers: str) -> Reply:
    if token:
        headers["authorization"] = f"Bearer {token}"
    return await mesh.get("client", f"http://web{path}", headers=headers)


async def test_a_bad_token_is_401_and_none_passes(static_mesh: StaticMesh) -> None:
    good, forger = Issuer("me"), Issuer("me")
    await client_and_server(static_mesh, tokens(good))

    assert (await ask(static_mesh)).status == 200
    assert (await ask(static_mesh, token=good.token())).status == 200
    forged = await ask(static_mesh, token=forger.token())
    assert (forged.status, forged.body) == (401, "Jwt verification fails")
    expired = await ask(static_mesh, token=good.token(expires_in_s=-100))
    assert (expired.status, expired.body) == (401, "Jwt is expired")
    other = await ask(static_mesh, token=good.token(iss="other"))
    assert (other.status, other.body) == (401, "Jwt issuer is not configured")
    _, seen = static_mesh.requests[-1]
    assert "authorization" not in seen, "a verified token is not forwarded unless that is wanted"


async def test_claims_decide_also_nested_and_in_lists(static_mesh: StaticMesh) -> None:
    issuer = Issuer("me")
    rule = {
        "from": [{"source": {"requestPrincipals": ["me/*"]}}],
        "when": [
            {"key": "request.auth.claims[groups]", "values": ["admin", "staff*"]},
            {"key": "request.auth.claims[place][room]", "notValues": ["cellar"]},
            {"key": "request.auth.audiences", "values": ["shop"]},
        ],
    }
    await client_and_server(static_mesh, tokens(issuer), allow(**rule))

    good: dict[str, Any] = {"aud": ["shop", "x"], "groups": ["a", "staff-1"], "place": {"room": "attic"}}
    assert (await ask(static_mesh, token=issuer.token(**good))).status == 200
    assert (await ask(static_mesh, token=issuer.token(**{**good, "groups": "admin"}))).status == 200
    for wrong in ({"groups": ["a"]}, {"place": {"room": "cellar"}}, {"aud": "other"}):
        denied = await ask(static_mesh, token=issuer.token(**{**good, **wrong}))
        assert (denied.status, denied.body) == (403, "RBAC: access denied"), wrong
    assert (await ask(static_mesh)).status == 403, "no token, no principal"


async def test_tokens_from_other_places_and_claims_in_headers(static_mesh: StaticMesh) -> None:
    one, two = Issuer("one"), Issuer("two")
    await client_and_server(
        static_mesh,
        tokens(
            one,
            fromHeaders=[{"name": "x-token", "prefix": "T "}],
            fromParams=["key"],
            fromCookies=["session"],
            forwardOriginalToken=True,
            outputPayloadToHeader="x-payload",
            outputClaimToHeaders=[{"header": "x-subject", "claim": "sub"}],
        ),
        tokens(two, audiences=["shop"]),
        allow(**{"from": [{"source": {"requestPrincipals": ["*"]}}]}),
    )

    for path, headers in (
        ("/", {"x-token": f"T {one.token()}"}),
        (f"/?key={one.token()}", {}),
        ("/", {"cookie": f"session={one.token()}"}),
        ("/", {"authorization": f"Bearer {two.token(aud='shop')}"}),
    ):
        assert (await ask(static_mesh, path, **headers)).status == 200, (path, headers)
    _, seen = static_mesh.requests[0]
    assert seen["x-subject"] == "somebody"
    assert "x-payload" in seen
    assert seen["x-token"].startswith("T "), "the token is forwarded"
    wrong = await ask(static_mesh, token=two.token(aud="other"))
    assert (wrong.status, wrong.body) == (403, "Audiences in Jwt are not allowed")
    assert (await ask(static_mesh)).status == 403


async def test_path_templates_not_values_and_source_accounts(static_mesh: StaticMesh) -> None:
    rules = [
        {"to": [{"operation": {"paths": ["/items/{*}/price", "/files/{**}"], "notPaths": ["/files/secret/{**}"]}}]},
        {"from": [{"source": {"serviceAccounts": ["other/client", "web"]}}], "to": [{"operation": {"hosts": ["*"]}}]},
    ]
    await client_and_server(static_mesh, ("AuthorizationPolicy", {"rules": rules}))

    for path, status in (
        ("/items/1/price", 200),
        ("/items/1/2/price", 403),
        ("/items/price", 403),
        ("/files/a/b/c", 200),
        ("/files/secret/a", 403),
        ("/", 403),
    ):
        assert (await ask(static_mesh, path)).status == status, path


async def test_trials_are_counted_and_not_enforced(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh)
    policy = static_mesh.world.add(
        {
            "apiVersion": SECURITY,
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "trial", "annotations": {"istio.io/dry-run": "true"}},
            "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/headers"]}}]}]},
        }
    )
    await static_mesh.start("web")

    assert (await ask(static_mesh, "/headers")).status == 200
    assert (await ask(static_mesh, "/ip")).status == 200
    stats = static_mesh.admin("web", "/stats?filter=rbac.*shadow_")
    assert "istio_dry_run_deny_.shadow_denied: 1" in stats
    assert "istio_dry_run_deny_.shadow_allowed: 1" in stats
    policy["metadata"]["annotations"] = {}
    await static_mesh.start("web")
    assert (await ask(static_mesh, "/headers")).status == 403


async def authorizer(mesh: StaticMesh, seen: list[dict[str, str]]) -> None:
    """A pod ``guard`` that agrees to requests with ``x-ext-authz: allow``."""
    mesh.world.pod("guard", {"app": "guard"}, account="guard", injected=False)
    mesh.world.service("guard", {"app": "guard"}, [{"name": "http", "port": 8000}])

    async def check(request: web.Request) -> web.Response:
        seen.append({"path": request.path, **{k.lower(): v for k, v in request.headers.items()}})
        agreed = request.headers.get("x-ext-authz") == "allow"
        headers = {"x-verdict": "allowed" if agreed else "denied", "x-more": "1"}
        return web.Response(status=200 if agreed else 403, text="" if agreed else "ask nicely", headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", check)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, mesh.world.proxy("guard").ip, 8000).start()
    mesh.runners.append(runner)


CUSTOM = {
    "selector": {"matchLabels": {"app": "web"}},
    "action": "CUSTOM",
    "provider": {"name": "guard"},
    "rules": [{"to": [{"operation": {"paths": ["/headers"]}}]}],
}


async def test_an_external_authorizer_decides_where_a_rule_says_so(static_mesh: StaticMesh) -> None:
    seen: list[dict[str, str]] = []
    await authorizer(static_mesh, seen)
    provider = {
        "service": "guard.default.svc.cluster.local",
        "port": "8000",
        "pathPrefix": "/check",
        "includeRequestHeadersInCheck": ["x-ext-authz", "x-part-*"],
        "headersToUpstreamOnAllow": ["x-verdict"],
        "headersToDownstreamOnDeny": ["x-verdict"],
    }
    static_mesh.world.mesh_config = {"extensionProviders": [{"name": "guard", "envoyExtAuthzHttp": provider}]}
    await client_and_server(static_mesh, ("AuthorizationPolicy", CUSTOM))

    denied = await ask(static_mesh, "/headers", **{"x-ext-authz": "deny"})
    assert (denied.status, denied.body, denied.headers["x-verdict"]) == (403, "ask nicely", "denied")
    assert "x-more" not in denied.headers
    allowed = await ask(static_mesh, "/headers", **{"x-ext-authz": "allow", "x-part-1": "a", "x-other": "b"})
    assert allowed.status == 200
    assert static_mesh.requests[-1][1]["x-verdict"] == "allowed"
    assert seen[-1]["path"] == "/check/headers"
    assert seen[-1]["x-part-1"] == "a"
    assert "x-other" not in seen[-1]
    count = len(seen)
    assert (await ask(static_mesh, "/ip")).status == 200
    assert len(seen) == count, "nobody was asked"


async def test_whoever_cannot_be_asked_has_not_agreed(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh, ("AuthorizationPolicy", CUSTOM))

    refused = await ask(static_mesh, "/headers")
    assert (refused.status, refused.body) == (403, "RBAC: access denied")
    assert (await ask(static_mesh, "/ip")).status == 200


@pytest.mark.parametrize("name", ["@request.auth.claims.groups", "@request.auth.claims[groups]"])
async def test_a_gateway_routes_by_claims(static_mesh: StaticMesh, name: str) -> None:
    issuer = Issuer("me")
    world = static_mesh.world
    world.pod("edge", {"istio": "ingressgateway"}, account="edge", injected=False)
    world.pod("web", {"app": "web"}, account="web")
    world.service("web", {"app": "web"}, HTTP)
    world.apply(
        f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 8080, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web}}
spec:
  hosts: ["*"]
  gateways: [edge]
  http:
  - match:
    - uri: {{prefix: /headers}}
      headers: {{{json.dumps(name)}: {{exact: group1}}}}
      withoutHeaders: {{"@request.auth.claims.name.given": {{exact: bob}}}}
    route: [{{destination: {{host: web}}}}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: edge}}
spec:
  selector: {{matchLabels: {{istio: ingressgateway}}}}
  jwtRules: [{{issuer: me, jwks: {json.dumps(issuer.jwks)}}}]
"""
    )
    await static_mesh.serve("web", 8080)
    await static_mesh.start("edge", kind="router")
    await static_mesh.start("web")
    url = f"http://{world.proxy('edge').ip}:8080/headers"

    async def status(token: str = "") -> int:
        return (await fetch(url, headers={"authorization": f"Bearer {token}"} if token else {})).status

    assert await status() == 404
    assert await status("some.invalid.token") == 401
    assert await status(issuer.token(groups=["group1", "group2"])) == 200
    assert await status(issuer.token(groups="group1")) == 200
    assert await status(issuer.token(groups=["group1"], name={"given": "bob"})) == 404
    assert await status(issuer.token(groups=["group2"])) == 404
    world.add(
        {
            "apiVersion": SECURITY,
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "edge"},
            "spec": {
                "selector": {"matchLabels": {"istio": "ingressgateway"}},
                "action": "DENY",
                "rules": [{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}],
            },
        }
    )
    await static_mesh.start("edge", kind="router")
    assert await status() == 403, "a policy also holds where no route does"
    assert await status(issuer.token(groups=["group2"])) == 404
