"""Leader election: one works at a time, and the next takes over when the Lease is given back or runs out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from meshlab.minicluster.mesh.istio.pilot.leadership import LEASES, Leadership
from tests.fakes.kube_api import FakeKubeApi


def leadership(api: FakeKubeApi, identity: str) -> Leadership:
    return Leadership(api, "ns", "l", identity, renew_s=0.01, retry_s=0.01)


def worker(name: str, log: list[str], started: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        log.append(name)
        started.set()
        await asyncio.Event().wait()

    return work


async def test_one_leads_and_the_next_follows_at_once() -> None:
    api = FakeKubeApi()
    log: list[str] = []
    first_started, second_started = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(leadership(api, "one").run(worker("one", log, first_started)))
    await asyncio.wait_for(first_started.wait(), 5)
    second = asyncio.create_task(leadership(api, "two").run(worker("two", log, second_started)))
    lease = await api.get(LEASES, "l", "ns")
    renewed = lease["spec"]["renewTime"]
    while (await api.get(LEASES, "l", "ns"))["spec"]["renewTime"] == renewed:
        await asyncio.sleep(0)
    assert log == ["one"]
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.wait_for(second_started.wait(), 5)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert log == ["one", "two"]
    assert (await api.get(LEASES, "l", "ns"))["spec"]["holderIdentity"] == ""


async def test_a_lease_that_ran_out_is_taken() -> None:
    api, started = FakeKubeApi(), asyncio.Event()
    log: list[str] = []
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 15, "renewTime": "2020-01-01T00:00:00.000000Z"}
    await api.create(LEASES, {"kind": "Lease", "metadata": {"name": "l", "namespace": "ns"}, "spec": spec}, "ns")
    task = asyncio.create_task(leadership(api, "one").run(worker("one", log, started)))
    await asyncio.wait_for(started.wait(), 5)
    lease = await api.get(LEASES, "l", "ns")
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("one", 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
