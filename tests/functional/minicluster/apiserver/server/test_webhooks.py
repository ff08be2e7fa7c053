"""Admission webhooks that really listen on HTTPS, reached by URL and through a Service's endpoints."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from meshlab.minicluster.apiserver import ApiServer
from meshlab.minicluster.apiserver.pki import Authority
from meshlab.minicluster.kubeapi import Obj, StatusError

HOST = "127.19.1.9"
PORT = 15017

Answer = Callable[[Obj], Obj]


@dataclass
class Webhook:
    """A webhook server and what it was asked."""

    ca_bundle: str
    answer: Answer = lambda request: {"allowed": True}
    requests: list[Obj] = field(default_factory=list)

    async def handle(self, http: web.Request) -> web.Response:
        review = await http.json()
        self.requests.append(review["request"])
        response = {"uid": review["request"]["uid"], **self.answer(review["request"])}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


@pytest.fixture
async def webhook(tmp_path: Path) -> AsyncIterator[Webhook]:
    authority = Authority(tmp_path / "webhook-pki")
    hook = Webhook(base64.b64encode(authority.ca_pem.encode()).decode())
    certificate, key = authority.server_files(["hook.mesh.svc"], [HOST])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    application = web.Application()
    application.router.add_post("/inject", hook.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, HOST, PORT, ssl_context=context).start()
    try:
        yield hook
    finally:
        await runner.cleanup()


def patch(*operations: Obj) -> Obj:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


async def configure(server: ApiServer, webhook: Webhook, kind: str = "Mutating", **changes: Any) -> None:
    entry: Obj = {
        "name": "hook.mesh.io",
        "clientConfig": {"url": f"https://{HOST}:{PORT}/inject", "caBundle": webhook.ca_bundle},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **changes,
    }
    resource = f"{kind.lower()}webhookconfigurations.admissionregistration.k8s.io"
    await server.local("test").create(resource, {"metadata": {"name": "hook"}, "webhooks": [entry]})


async def create(server: ApiServer, **metadata: Any) -> Obj:
    return await server.local("alice").create("configmaps", {"metadata": {"name": "c", **metadata}}, "default")


async def test_a_mutating_webhook_changes_what_is_stored(server: ApiServer, webhook: Webhook) -> None:
    webhook.answer = lambda _: patch({"op": "add", "path": "/data", "value": {"injected": "yes"}})
    await configure(server, webhook)
    assert (await create(server))["data"] == {"injected": "yes"}
    asked = webhook.requests[0]
    assert asked["operation"] == "CREATE" and asked["userInfo"]["username"] == "alice"
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert asked["object"]["kind"] == "ConfigMap" and asked["oldObject"] is None


async def test_a_service_is_found_through_its_endpoints(server: ApiServer, webhook: Webhook) -> None:
    api = server.local("test")
    await api.create("namespaces", {"metadata": {"name": "mesh"}})
    client = {"service": {"namespace": "mesh", "name": "hook", "path": "/inject"}, "caBundle": webhook.ca_bundle}
    await configure(server, webhook, clientConfig=client)
    with pytest.raises(StatusError) as caught:
        await create(server)
    expected = (
        'Internal error occurred: failed calling webhook "hook.mesh.io": failed to call webhook: Post '
        '"https://hook.mesh.svc:443/inject?timeout=10s": service "hook" not found'
    )
    assert (caught.value.code, caught.value.message) == (500, expected)
    await api.create(
        "services", {"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443, "targetPort": PORT}]}}, "mesh"
    )
    with pytest.raises(StatusError, match='no endpoints available for service "hook"'):
        await create(server)
    endpoints = {
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [HOST], "conditions": {"ready": True}}],
        "ports": [{"name": "", "port": PORT}],
    }
    await api.create("endpointslices.discovery.k8s.io", endpoints, "mesh")
    await create(server)
    assert len(webhook.requests) == 1


async def test_a_validating_webhook_denies_in_upstreams_words(
    server: ApiServer, webhook: Webhook, kubectl: Any
) -> None:
    webhook.answer = lambda _: {"allowed": False, "status": {"code": 400, "message": "no such luck"}}
    await configure(server, webhook, "Validating")
    failed = await kubectl("create", "configmap", "c")
    assert 'admission webhook "hook.mesh.io" denied the request: no such luck' in failed.err


async def test_failure_policy(server: ApiServer, webhook: Webhook) -> None:
    nowhere = {"url": f"https://{HOST}:1/inject", "caBundle": webhook.ca_bundle}
    await configure(server, webhook, clientConfig=nowhere, failurePolicy="Ignore")
    await create(server)
    await configure(server, webhook, "Validating", clientConfig=nowhere)
    with pytest.raises(StatusError, match="connection refused"):
        await server.local("test").create("configmaps", {"metadata": {"name": "d"}}, "default")


async def test_a_foreign_certificate_is_not_trusted(server: ApiServer, webhook: Webhook, tmp_path: Path) -> None:
    other = base64.b64encode(Authority(tmp_path / "other").ca_pem.encode()).decode()
    webhook.ca_bundle = other
    await configure(server, webhook)
    with pytest.raises(StatusError, match="tls: failed to verify certificate"):
        await create(server)


async def test_selectors_decide_who_is_asked(server: ApiServer, webhook: Webhook) -> None:
    api = server.local("test")
    webhook.answer = lambda _: {"allowed": False}
    await configure(
        server,
        webhook,
        "Validating",
        namespaceSelector={"matchLabels": {"mesh": "on"}},
        objectSelector={"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
    )
    await create(server)
    await api.patch("namespaces", "default", {"metadata": {"labels": {"mesh": "on"}}})
    await server.local("test").create("configmaps", {"metadata": {"name": "d", "labels": {"skip": "1"}}}, "default")
    with pytest.raises(StatusError, match="denied the request without explanation"):
        await server.local("test").create("configmaps", {"metadata": {"name": "e"}}, "default")


async def test_a_webhook_with_side_effects_refuses_dry_run(server: ApiServer, webhook: Webhook) -> None:
    await configure(server, webhook, sideEffects="NoneOnDryRun")
    api = server.local("test")
    await api.create("configmaps", {"metadata": {"name": "c"}}, "default", dry_run=True)
    assert webhook.requests[0]["dryRun"] is True
    with pytest.raises(StatusError) as caught:
        await api.get("configmaps", "c", "default")
    assert caught.value.code == 404


async def test_an_equivalent_version_is_shown_as_the_webhook_knows_it(server: ApiServer, webhook: Webhook) -> None:
    rules = [
        {
            "operations": ["CREATE"],
            "apiGroups": ["autoscaling"],
            "apiVersions": ["v2"],
            "resources": ["horizontalpodautoscalers"],
        }
    ]
    await configure(server, webhook, rules=rules)
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "x"},
        "maxReplicas": 2,
        "targetCPUUtilizationPercentage": 5,
    }
    await server.local("test").create(
        "horizontalpodautoscalers.v1.autoscaling", {"metadata": {"name": "h"}, "spec": spec}, "default"
    )
    asked = webhook.requests[0]
    assert asked["kind"]["version"] == "v2" and asked["requestKind"]["version"] == "v1"
    assert asked["object"]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 5
