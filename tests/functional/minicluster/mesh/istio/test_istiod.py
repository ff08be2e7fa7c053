"""istiod and the proxy agent together: real Envoys, configured by a real istiod, on a fake API."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections import Counter
from typing import Any

import aiohttp
import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.ca import CertificateAuthority
from tests.functional.minicluster.mesh.istio.lab import MUTATING, NAMESPACE, VALIDATING, Agent, Lab, eventually

CANARY = """
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: myapp}
spec:
  hosts: [myapp.default.svc.cluster.local]
  http:
  - route:
    - {destination: {host: myapp, subset: v1}, weight: WEIGHT}
    - {destination: {host: myapp, subset: v2}, weight: OTHER}
"""
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


def canary(weight: int) -> str:
    return CANARY.replace("WEIGHT", str(weight)).replace("OTHER", str(100 - weight))


async def myapp(lab: Lab) -> tuple[Agent, list[Agent]]:
    """The module's application: a client, and two versions behind one service; all of them injected."""
    client = lab.world.pod("client", {"app": "client"})
    servers = [
        lab.world.pod(f"myapp-{version}", {"app": "myapp", "version": version}, ports=(("http", 5678),))
        for version in ("v1", "v2")
    ]
    lab.world.service("myapp", {"app": "myapp"}, [{"name": "http", "port": 80, "targetPort": 5678}])
    await lab.publish()
    for pod in servers:
        await lab.serve(pod, 5678, pod["metadata"]["labels"]["version"])
    proxies = await asyncio.gather(*(lab.inject(pod) for pod in (client, *servers)))
    return proxies[0], list(proxies[1:])


@pytest.mark.full
async def test_the_canary_of_the_module(lab: Lab, session: aiohttp.ClientSession) -> None:
    client, _ = await myapp(lab)
    assert (await lab.get(client, "http://myapp/", session))[0] == 200

    await lab.apply(canary(80))

    async def status() -> int:
        return (await lab.get(client, "http://myapp/", session))[0]

    async def is_503() -> bool:
        return await status() == 503

    async def is_200() -> bool:
        return await status() == 200

    await eventually(is_503)
    await lab.apply(SUBSETS)
    await eventually(is_200)
    answers = Counter([(await lab.get(client, "http://myapp/", session))[1] for _ in range(500)])
    assert 350 < answers["v1"] < 450

    failures: list[int] = []
    done = asyncio.Event()

    async def load() -> None:
        while not done.is_set():
            code, _ = await lab.get(client, "http://myapp/", session)
            if code != 200:
                failures.append(code)

    tasks = [asyncio.create_task(load()) for _ in range(3)]
    for weight in (50, 10, 0):
        await lab.apply(canary(weight))
        await asyncio.sleep(0.2)
    done.set()
    await asyncio.gather(*tasks)
    assert failures == []
    assert {(await lab.get(client, "http://myapp/", session))[1] for _ in range(50)} == {"v2"}


@pytest.mark.full
async def test_strict_mtls_and_identities(lab: Lab, session: aiohttp.ClientSession) -> None:
    client, servers = await myapp(lab)
    address = f"http://{servers[0].pod.pod_ip}:5678/"
    async with session.get(address) as response:
        assert response.status == 200
    await lab.apply("""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
""")

    async def refused() -> bool:
        try:
            async with aiohttp.ClientSession() as fresh, fresh.get(address):
                return False
        except aiohttp.ClientError:
            return True

    await eventually(refused)
    assert (await lab.get(client, "http://myapp/", session))[0] == 200
    code, output = await servers[0].run("request", "GET", "certs")
    assert code == 0
    certificates = json.loads(output)["certificates"]
    leaves = [leaf for certificate in certificates for leaf in certificate["cert_chain"]]
    names = [name.get("uri") for leaf in leaves for name in leaf["subject_alt_names"]]
    assert "spiffe://cluster.local/ns/default/sa/default" in names


@pytest.mark.full
async def test_a_restart_of_istiod_costs_no_request(lab: Lab, session: aiohttp.ClientSession) -> None:
    client, _ = await myapp(lab)
    failures: list[int] = []
    sent = 0
    done = asyncio.Event()

    async def load() -> None:
        nonlocal sent
        while not done.is_set():
            code, _ = await lab.get(client, "http://myapp/", session)
            sent += 1
            if code != 200:
                failures.append(code)

    tasks = [asyncio.create_task(load()) for _ in range(3)]
    before = await lab.api.get("secrets", "istio-ca-secret", NAMESPACE)
    await lab.stop_istiod()
    await lab.start_istiod()

    async def all_back() -> bool:
        async with session.get(f"http://{lab.istiod_pod.pod_ip}:15014/debug/syncz") as response:
            proxies = await response.json()
        states = [config["config_status"] for proxy in proxies for config in proxy["generic_xds_configs"]]
        return len(proxies) == 3 and set(states) <= {"SYNCED", "NOT SENT"}

    await eventually(all_back)
    await lab.apply(SUBSETS)
    await lab.apply(canary(0))

    async def only_v2() -> bool:
        return {(await lab.get(client, "http://myapp/", session))[1] for _ in range(20)} == {"v2"}

    await eventually(only_v2, 2)
    done.set()
    await asyncio.gather(*tasks)
    assert failures == []
    assert sent > 100
    assert await lab.api.get("secrets", "istio-ca-secret", NAMESPACE) == before


async def test_a_proxy_with_another_pods_token_gets_nothing(lab: Lab) -> None:
    stranger = lab.world.pod("stranger", {"app": "stranger"})
    lab.world.pod("victim", {"app": "victim"}, account="victim")
    await lab.publish()
    agent = await lab.inject(stranger, token="token:default/victim/victim", wait=False)
    await eventually(lambda: "does not belong to default/victim" in agent.log.read_text())
    code, _ = await agent.run("wait", "--timeoutSeconds=0.1", "--periodMillis=50")
    assert code == 1


async def test_a_token_that_is_replaced_is_used_without_a_restart(lab: Lab) -> None:
    pod = lab.world.pod("client", {"app": "client"})
    await lab.publish()
    agent = await lab.inject(pod, token="expired", wait=False)
    await eventually(lambda: "authentication failure" in agent.log.read_text())
    secret = lab.directory / "client" / "etc-istio-proxy" / "istio-token.json"
    fresh = secret.read_text().replace("expired", "token:default/default/client")
    secret.with_suffix(".new").write_text(fresh)
    secret.with_suffix(".new").replace(secret)
    code, _ = await agent.run("wait", "--timeoutSeconds=10", "--periodMillis=20")
    assert code == 0


async def test_what_istiod_writes_into_the_cluster(lab: Lab) -> None:
    root = CertificateAuthority.from_secret(await lab.api.get("secrets", "istio-ca-secret", NAMESPACE)).root_pem
    bundle = base64.b64encode(root.encode()).decode()
    for resource, policy in ((MUTATING, "Ignore"), (VALIDATING, "Fail")):
        ours, other = (await lab.api.get(resource, "istio"))["webhooks"]
        assert ours["clientConfig"]["caBundle"] == bundle
        assert ours["failurePolicy"] == policy
        assert "caBundle" not in other["clientConfig"]
        assert other["failurePolicy"] == "Ignore"

    await lab.api.create("namespaces", {"kind": "Namespace", "metadata": {"name": "new"}})

    async def written() -> bool:
        found = [m for m in lab.api.all("configmaps") if m["metadata"]["name"] == "istio-ca-root-cert"]
        return {m["metadata"]["namespace"] for m in found if m["data"]["root-cert.pem"] == root} >= {"new", "default"}

    await eventually(written)
    await lab.api.delete("configmaps", "istio-ca-root-cert", "new")
    await eventually(written)


async def review(lab: Lab, path: str, obj: Obj, operation: str = "CREATE") -> Obj:
    root = (await lab.api.get("configmaps", "istio-ca-root-cert", "default"))["data"]["root-cert.pem"]
    tls = ssl.create_default_context(cadata=root)
    request = {"uid": "u-1", "namespace": "default", "operation": operation, "object": obj}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    url = f"https://{lab.istiod_pod.pod_ip}:15017{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, ssl=tls, server_hostname="istiod.istio-system.svc") as response,
    ):
        answer: dict[str, Any] = (await response.json())["response"]
    assert answer["uid"] == "u-1"
    return answer


async def test_the_webhooks(lab: Lab) -> None:
    pod = {"metadata": {"generateName": "web-"}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}
    answer = await review(lab, "/inject", pod)
    assert answer["allowed"]
    patch = json.loads(base64.b64decode(answer["patch"]))
    containers = next(operation["value"] for operation in patch if operation["path"] == "/spec/initContainers")
    assert containers[0]["name"] == "istio-proxy"

    pod["metadata"] = {"name": "web", "annotations": {"sidecar.istio.io/inject": "false"}}
    assert await review(lab, "/inject", pod) == {"uid": "u-1", "allowed": True}

    broken = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "x"},
        "spec": {"hosts": ["x"]},
    }
    answer = await review(lab, "/validate", broken)
    assert not answer["allowed"]
    expected = "configuration is invalid: http, tcp or tls must be provided in virtual service"
    assert answer["status"]["message"] == expected
    assert (await review(lab, "/validate", broken, "DELETE"))["allowed"]


async def test_an_agent_drains_and_ends_when_told_to(lab: Lab) -> None:
    pod = lab.world.pod("client", {"app": "client"})
    await lab.publish()
    agent = await lab.inject(pod)
    code, output = await agent.run("request", "GET", "server_info")
    assert code == 0
    assert json.loads(output)["state"] == "LIVE"
    loop = asyncio.get_running_loop()
    begin = loop.time()
    assert await agent.stop() == 0
    assert loop.time() - begin < 3
    code, _ = await agent.run("request", "GET", "server_info")
    assert code == 1


async def test_the_agent_ends_with_the_code_of_its_envoy(lab: Lab) -> None:
    pod = lab.world.pod("client", {"app": "client"})
    await lab.publish()
    agent = await lab.inject(pod)
    await agent.run("request", "POST", "quitquitquit")
    assert await asyncio.wait_for(agent.process.wait(), 5) == 0
