"""Certificates that are renewed under load, and keys of tokens that istiod fetches."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import json
from collections import Counter
from collections.abc import Awaitable

import aiohttp
import pytest
from aiohttp import web

from meshlab.minicluster.kubeapi import Obj
from tests.functional.minicluster.mesh.istio.lab import Agent, Lab, eventually
from tests.support.tokens import Issuer

HTTP = [{"name": "http", "port": 80, "targetPort": 8080}]


async def pair(lab: Lab) -> tuple[Obj, Agent]:
    """A client, and a server with its agent; both ready."""
    client = lab.world.pod("client", {"app": "client"}, account="client")
    server = lab.world.pod("web", {"app": "web"}, account="web")
    lab.world.service("web", {"app": "web"}, HTTP)
    await lab.publish()
    await lab.serve(server, 8080, "hello")
    await lab.inject(client)
    return client, await lab.inject(server)


@pytest.mark.full
async def test_certificates_are_renewed_without_a_failed_request(lab: Lab, session: aiohttp.ClientSession) -> None:
    await lab.stop_istiod()
    lab.options = dataclasses.replace(lab.options, certificate_ttl=dt.timedelta(seconds=4))
    await lab.start_istiod()
    client, server = await pair(lab)

    async def serial_numbers() -> set[str]:
        _, out = await server.run("request", "GET", "certs")
        found: set[str] = set()
        for certificate in json.loads(out)["certificates"]:
            found |= {chain["serial_number"] for chain in certificate["cert_chain"]}
        return found

    seen: set[str] = await serial_numbers()
    results: Counter[tuple[int, str]] = Counter()
    done = asyncio.Event()

    async def load() -> None:
        while not done.is_set():
            # A connection of its own for each request to the sidecar; the sidecars keep theirs.
            results[await lab.get(client, "http://web/", session)] += 1

    async with asyncio.TaskGroup() as group:
        loads = [group.create_task(load()) for _ in range(4)]
        while len(seen) < 4:
            seen |= await serial_numbers()
            await asyncio.sleep(0.05)
        done.set()
        await asyncio.gather(*loads)
    assert set(results) == {(200, "hello")}, results
    assert results.total() > 100


async def test_istiod_fetches_the_keys_of_an_issuer_in_the_cluster(lab: Lab, session: aiohttp.ClientSession) -> None:
    issuer = Issuer("https://issuer.example.com")
    client, _ = await pair(lab)
    keys = lab.world.pod("keys", {"app": "keys"}, injected=False)
    answers: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        answers.append(503 if not answers else 200)
        return web.Response(status=answers[-1], text=issuer.jwks)

    application = web.Application()
    application.router.add_get("/jwks.json", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, keys["status"]["podIP"], 8000).start()
    lab.names["services"]["default/keys"] = {
        "ip": keys["status"]["podIP"], "headless": False, "ports": [], "endpoints": [], "hosts": {}, "externalName": "",
    }  # fmt: skip
    await lab.publish()
    await lab.apply(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: web}\nspec:\n"
        f"  jwtRules: [{{issuer: '{issuer.name}', jwksUri: 'http://keys.default.svc.cluster.local:8000/jwks.json'}}]\n"
    )
    headers = {"authorization": f"Bearer {issuer.token()}"}

    async def status(**options: str) -> int:
        ip = client["status"]["podIP"]
        async with session.get("http://web/", proxy=f"http://{ip}:15001", headers=options) as response:
            return response.status

    try:
        await eventually(lambda: _is(status(**headers), 401))
        await eventually(lambda: _is(status(**headers), 200))
        assert answers == [503, 200], "the first answer was bad, so it asked again"
        assert await status() == 200, "no token is no matter"
    finally:
        await runner.cleanup()


async def _is(status: Awaitable[int], wanted: int) -> bool:
    return await status == wanted
