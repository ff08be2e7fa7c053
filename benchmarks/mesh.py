"""What the mesh costs and how fast it follows: ``python benchmarks/mesh.py`` measures a throw-away lab.

Two sidecars against the direct call (as ratios), how long a changed weight takes to the first answer and to the last
proxy's ACK, for more sidecars and Services, and what a sidecar needs in memory. A bound that is missed is marked, and
the exit code is then 1. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import Figure
from benchmarks.load import Connection, Counts, load
from benchmarks.processes import sample
from benchmarks.throwaway import Lab, measured
from benchmarks.workloads import canary, echo, pod_ip, ready, service, set_weights, through_sidecars, wait_for
from meshlab.cluster.facade import Cluster

CONNECTIONS = 8
LOAD_S = 3.0
NEW_SPLIT_ANSWERS = 20
SIZES = ((4, 10), (8, 10), (15, 10), (15, 50), (15, 100))
"""Sidecars and Services of the curve; each size contains the one before."""
OWN_SIDECARS = 3
OWN_SERVICES = 1
"""What the canary brings itself."""
UNDISTURBED_S = 0.5
"""Longer than a change takes to arrive everywhere."""
ACK_MS = 150
GATEWAYS = "router"
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
MB = 1_000_000


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0] if __doc__ else None)
    parser.add_argument("--flips", type=int, default=100, metavar="N", help="weight changes of each kind (default 100)")
    arguments = parser.parse_args(argv)
    return measured(
        [
            cost_of_two_sidecars,
            partial(new_weights, flips=arguments.flips),
            partial(acknowledgements, flips=arguments.flips),
            partial(changes_under_load, flips=2 * arguments.flips),
        ]
    )


def cost_of_two_sidecars(lab: Lab) -> Iterator[Figure]:
    """The same program asked directly, and through the client's and its own sidecar with mutual TLS."""
    lab.up()
    lab.meshlab("istioctl", "install", "--set", "profile=demo", "-y")
    canary(lab)
    mesh = through_sidecars(lab)
    plain = ((pod_ip(lab.cluster(), "plain"), lab.ports.real(5678)), "/", "plain")
    direct: list[Counts] = []
    through: list[Counts] = []
    for _ in range(3):
        direct.append(asyncio.run(load(*plain, connections=CONNECTIONS, seconds=LOAD_S)))
        through.append(asyncio.run(load(*mesh, connections=CONNECTIONS, seconds=LOAD_S)))
    one_direct = asyncio.run(load(*plain, connections=1, seconds=LOAD_S))
    one_through = asyncio.run(load(*mesh, connections=1, seconds=LOAD_S))
    assert all(status == 200 for counts in (*direct, *through) for status, _ in counts.bodies), "a request failed"
    answered = sum(sum(counts.bodies.values()) for counts in through)
    v2 = sum(counts.bodies.get((200, "v2"), 0) for counts in through)
    ratios = [mesh.per_s / straight.per_s for mesh, straight in zip(through, direct, strict=True)]
    latencies = [[1000 * seconds for seconds in counts.latencies_s] for counts in (one_direct, one_through)]
    yield Figure(f"direct, {CONNECTIONS} connections", [counts.per_s for counts in direct], "req/s")
    yield Figure(f"two sidecars, {CONNECTIONS} connections", [counts.per_s for counts in through], "req/s")
    yield Figure("  ratio to direct", ratios, "")
    yield Figure("  share of v2 (weight 20)", [100 * v2 / answered], "%")
    yield Figure("direct, one connection: latency", latencies[0], "ms")
    yield Figure("two sidecars, one connection: latency", latencies[1], "ms")
    yield Figure("  added by them", [median(latencies[1]) - median(latencies[0])], "ms")
    yield Figure("  ratio to direct", [median(latencies[1]) / median(latencies[0])], "")


def new_weights(lab: Lab, flips: int) -> Iterator[Figure]:
    """From the API request that swaps the weights to the first of many answers of the other version alone."""
    address, target, host = through_sidecars(lab)
    set_weights(lab.cluster(), 100, 0)
    wait_for(lambda: answers(address, target, host, 30) == {(200, "v1")})
    times, failures = asyncio.run(_flip(lab.cluster(), address, target, host, flips))
    yield Figure("new weights effective", [1000 * seconds for seconds in times], "ms", 1000)
    yield Figure("  requests that failed meanwhile", [failures], "", 1)


async def _flip(
    cluster: Cluster, address: tuple[str, int], target: str, host: str, flips: int
) -> tuple[list[float], int]:
    connection = Connection(address, target, host)
    times, failures = [], 0
    for number in range(flips):
        v2 = 100 if number % 2 == 0 else 0
        wanted = (200, "v2" if v2 else "v1")
        started = time.perf_counter()
        # In a thread: requests go on while the API server commits.
        patching = asyncio.create_task(asyncio.to_thread(set_weights, cluster, 100 - v2, v2))
        in_a_row, first = 0, 0.0
        while in_a_row < NEW_SPLIT_ANSWERS:
            answer = await connection.get()
            failures += answer[0] != 200
            if answer == wanted:
                first = first if in_a_row else time.perf_counter()
                in_a_row += 1
            else:
                in_a_row = 0
        await patching
        times.append(first - started)
    await connection.close()
    return times, failures


def answers(address: tuple[str, int], target: str, host: str, number: int) -> set[tuple[int, str]]:
    """What so many requests are answered."""

    async def ask() -> set[tuple[int, str]]:
        connection = Connection(address, target, host)
        found = {await connection.get() for _ in range(number)}
        await connection.close()
        return found

    return asyncio.run(ask())


def acknowledgements(lab: Lab, flips: int) -> Iterator[Figure]:
    """From the API request that swaps the weights to the ACK of the last proxy, on a growing mesh."""
    replicas, services = OWN_SIDECARS, OWN_SERVICES
    for wanted_sidecars, wanted_services in SIZES:
        while services < wanted_services:
            services += 1
            lab.apply(service(f"service-{services}", app="client"))
        if wanted_sidecars > replicas:
            replicas = wanted_sidecars
            lab.apply(echo("more", app="more", version="v1", inject=True, replicas=replicas - OWN_SIDECARS))
            ready(lab, "more")
        size = f"{replicas} sidecars, {services} Services"
        wait_for(lambda replicas=replicas: len(_synced(lab.cluster())) == replicas)  # type: ignore[misc]
        last = (replicas, services) == SIZES[-1]
        times = [_acknowledged(lab.cluster(), number) for number in range(flips)]
        yield Figure(f"ACK of all: {size}", times, "ms", ACK_MS if last else None, "p95")
        envoys = [each.private / MB for each in sample(lab.info.pid).values() if each.kind == "envoy"]
        yield Figure("  private memory of an Envoy", envoys, "MB")


def _acknowledged(cluster: Cluster, number: int) -> float:
    """Swap the weights; milliseconds until the last sidecar has acknowledged its routes."""
    before = _synced(cluster)
    started = dt.datetime.now(dt.UTC)
    v2 = 100 if number % 2 == 0 else 0
    set_weights(cluster, 100 - v2, v2)
    # istiod notes the time of an ACK. Whoever asks for it meanwhile takes processor time from those who are to answer.
    time.sleep(UNDISTURBED_S)
    wait_for(lambda: all(moment > started for moment in _synced(cluster, before).values()))
    return max((moment - started).total_seconds() for moment in _synced(cluster, before).values()) * 1000


def _synced(cluster: Cluster, expected: Iterable[str] = ()) -> dict[str, dt.datetime]:
    """Sidecar -> when it acknowledged its routes last; one that has not acknowledged everything counts as never."""
    status, body = cluster.service_get("istio-system", "istiod", "http-monitoring", "/debug/syncz")
    assert status == 200, body
    moments = dict.fromkeys(expected, dt.datetime.min.replace(tzinfo=dt.UTC))
    for proxy in json.loads(body):
        if proxy["proxy_type"] == GATEWAYS:
            continue
        routes = next(each for each in proxy["generic_xds_configs"] if each["type_url"] == ROUTES)
        if routes["config_status"] == "SYNCED":
            moments[proxy["proxy"]] = dt.datetime.fromisoformat(routes["last_updated"])
    return moments


def changes_under_load(lab: Lab, flips: int) -> Iterator[Figure]:
    """Requests through two sidecars without pause while the weights change, on the mesh as it has grown."""
    address, target, host = through_sidecars(lab)
    times, counts = asyncio.run(_load_and_flip(lab.cluster(), address, target, host, flips))
    failures = sum(number for (status, _), number in counts.items() if status != 200)
    print(f"{sum(counts.values())} requests during {flips} changes of the weights")
    yield Figure("  ACK of all under that load", times, "ms")
    yield Figure("  requests that failed", [failures], "", 1)


async def _load_and_flip(
    cluster: Cluster, address: tuple[str, int], target: str, host: str, flips: int
) -> tuple[list[float], dict[tuple[int, str], int]]:
    counts: dict[tuple[int, str], int] = {}
    done = asyncio.Event()

    async def ask() -> None:
        connection = Connection(address, target, host)
        while not done.is_set():
            answer = await connection.get()
            counts[answer] = counts.get(answer, 0) + 1
        await connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(ask())
        times = [await asyncio.to_thread(_acknowledged, cluster, number) for number in range(flips)]
        done.set()
    return times, counts


if __name__ == "__main__":
    sys.exit(main())
