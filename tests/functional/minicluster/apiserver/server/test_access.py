"""Who may do what: certificates, tokens, anonymous callers, roles, impersonation."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from meshlab.minicluster.apiserver import ApiServer
from meshlab.minicluster.kubeapi import Obj


@pytest.fixture
async def anonymous(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cadata=server.ca_pem)
    async with aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield session


async def test_strangers_see_health_and_version_only(anonymous: aiohttp.ClientSession) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/version", "/version/"):
        async with anonymous.get(path) as answer:
            assert answer.status == 200
    for path in ("/", "/api", "/apis", "/openapi/v3", "/api/v1/pods", "/api/v1/namespaces/default/pods/x/exec"):
        async with anonymous.get(path) as answer:
            assert answer.status == 401
            assert (await answer.json())["reason"] == "Unauthorized"
    async with anonymous.get("/api", headers={"Authorization": "Bearer made.up.token"}) as answer:
        assert answer.status == 401


async def test_the_kubeconfig_is_private(server: ApiServer, tmp_path: Path) -> None:
    for path in (tmp_path / "kubeconfig", *(tmp_path / "state" / "pki").glob("*.key")):
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_certificate_of_another_authority_is_refused(
    server: ApiServer, tmp_path: Path, anonymous: aiohttp.ClientSession
) -> None:
    from meshlab.minicluster.apiserver.pki import Authority

    pair = Authority(tmp_path / "other").client("kubernetes-admin", ["system:masters"])
    (tmp_path / "pair.pem").write_bytes(pair.certificate_pem + pair.key_pem)
    context = ssl.create_default_context(cadata=server.ca_pem)
    context.load_cert_chain(tmp_path / "pair.pem")
    async with aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(ssl=context)) as session:
        with pytest.raises(aiohttp.ClientError):
            async with session.get("/api"):
                pass


async def test_a_service_account_may_what_its_roles_say(
    server: ApiServer, kubectl: Any, anonymous: aiohttp.ClientSession
) -> None:
    token = (await kubectl("create", "token", "default")).out.strip()
    headers = {"Authorization": f"Bearer {token}"}
    async with anonymous.get("/api/v1/namespaces/default/pods", headers=headers) as answer:
        body = await answer.json()
        assert answer.status == 403
        assert body["message"] == (
            'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods" in API group '
            '"" in the namespace "default"'
        )
    await kubectl("create", "rolebinding", "v", "--clusterrole=view", "--serviceaccount=default:default")
    async with anonymous.get("/api/v1/namespaces/default/pods", headers=headers) as answer:
        assert answer.status == 200
    for path in ("/api/v1/pods", "/api/v1/namespaces/default/secrets"):
        async with anonymous.get(path, headers=headers) as answer:
            assert answer.status == 403
    allowed = await kubectl("auth", "can-i", "list", "pods", "--as=system:serviceaccount:default:default")
    assert allowed.out == "yes\n"
    refused = await kubectl("auth", "can-i", "delete", "pods", "--as=system:serviceaccount:default:default")
    assert refused.out == "no\n"


async def test_a_pods_token_dies_with_the_pod(server: ApiServer, anonymous: aiohttp.ClientSession) -> None:
    api = server.local("test")
    container: Obj = {"name": "c", "image": "nginx"}
    pod = await api.create("pods", {"metadata": {"name": "p"}, "spec": {"containers": [container]}}, "default")
    token = await server.issue_token(pod, "istio-ca", 3600)
    headers = {"Authorization": f"Bearer {await server.issue_token(pod)}"}
    async with anonymous.get("/api", headers=headers) as answer:
        assert answer.status == 200
    async with anonymous.get("/api", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 401
    verified = server.tokens.verify(token, ["istio-ca"])
    assert verified.user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    await api.delete("pods", "p", "default", grace_period_s=0)
    async with anonymous.get("/api", headers=headers) as answer:
        assert answer.status == 401


async def test_token_review(server: ApiServer, kubectl: Any) -> None:
    token = (await kubectl("create", "token", "default", "--audience=istio-ca")).out.strip()
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": ["istio-ca"]},
    }
    done = await kubectl("create", "-f", "-", "-o", "yaml", stdin=yaml.safe_dump(review))
    status = yaml.safe_load(done.out)["status"]
    assert status["authenticated"] is True and status["audiences"] == ["istio-ca"]
    assert status["user"]["username"] == "system:serviceaccount:default:default"


async def test_impersonation_needs_permission(kubectl: Any, server: ApiServer, tmp_path: Path) -> None:
    server.write_kubeconfig(tmp_path / "dev", user="dev", groups=["developers"])
    failed = await kubectl("get", "pods", "--as=admin", env={"KUBECONFIG": str(tmp_path / "dev")})
    assert failed.code == 1 and "Forbidden" in failed.err
    who = await kubectl("auth", "whoami", env={"KUBECONFIG": str(tmp_path / "dev")})
    assert "dev" in who.out and "developers" in who.out
