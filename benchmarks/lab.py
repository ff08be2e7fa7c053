"""How fast and how heavy a lab is: ``python benchmarks/lab.py`` measures a throw-away one and prints distributions.

The figures are whole commands as a learner types them, so a command's own start-up is in them. A bound that is missed
is marked, and the exit code is then 1. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import HEADING, Figure
from benchmarks.load import Connection, Counts, load
from benchmarks.processes import cpu_by_kind, memory_by_kind, sample
from benchmarks.throwaway import Lab, bytecode_is_there, leave_root, throwaway_lab
from meshlab.cluster.facade import Cluster
from meshlab.cluster.labstatus import descendants, private_memory
from meshlab.cluster.tools import samples_dir

PROXY_PORT = 15001
MB = 1_000_000
SETTLE_S = 5.0
IDLE_S = 10.0
LOAD_S = 3.0
CONNECTIONS = 8
NEW_SPLIT_ANSWERS = 20
WEIGHTS = "virtualservices.networking.istio.io"

VERSIONS = """
apiVersion: v1
kind: Service
metadata: {name: myapp}
spec: {selector: {app: myapp}, ports: [{name: http, port: 8080, targetPort: 5678}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: myapp}
spec:
  host: myapp
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: myapp}
spec:
  hosts: [myapp]
  http:
  - route:
    - {destination: {host: myapp, subset: v1}, weight: 80}
    - {destination: {host: myapp, subset: v2}, weight: 20}
"""

ECHO = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: APP, version: VERSION}}
  template:
    metadata: {labels: {app: APP, version: VERSION, sidecar.istio.io/inject: "INJECT"}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: hashicorp/http-echo, args: ["-text=VERSION", "-listen=:5678"]}]
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="labs started from nothing (default 5)")
    parser.add_argument("--flips", type=int, default=100, metavar="N", help="weight changes (default 100)")
    arguments = parser.parse_args(argv)
    # A lab outlives its starter, so being terminated must take the way on which it is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if (code := leave_root()) is not None:
        return code
    if not bytecode_is_there():
        print("note: meshlab is not compiled (python -m compileall meshlab): every start-up pays for that")
    print(HEADING, flush=True)
    missed = 0
    with throwaway_lab() as lab:
        measurements: tuple[Callable[[Lab], list[Figure]], ...] = (
            partial(from_nothing, rounds=arguments.rounds),
            twenty_pods,
            idle,
            warm_starts,
            partial(new_weights, flips=arguments.flips),
            throughput,
        )
        for measure in measurements:
            for figure in measure(lab):
                print(figure.line(), flush=True)
                missed += figure.missed
    return 1 if missed else 0


def from_nothing(lab: Lab, rounds: int) -> list[Figure]:
    """New labs one after another, each with Istio; the last one stays for the other measurements."""
    ups, installs = [], []
    for number in range(rounds):
        if number:
            lab.down(delete=True)
        ups.append(timed(lab.up))
        installs.append(timed(lambda: lab.meshlab("istioctl", "install", "--set", "profile=demo", "-y")))
    return [
        Figure("meshlab up, from nothing", ups, "s", 4),
        Figure("istioctl install --set profile=demo -y", installs, "s", 5),
    ]


def twenty_pods(lab: Lab) -> list[Figure]:
    """``kubectl apply`` of 20 replicas, until kubectl rollout status says that all are ready."""
    times = []
    for number in range(3):
        name = f"twenty-{number}"

        def deploy(name: str = name) -> None:
            lab.apply(echo(name, app=name, version="v1", inject=False, replicas=20))
            lab.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")

        times.append(timed(deploy))
        lab.kubectl("delete", "deployment", name, "--cascade=foreground")
    return [Figure("20 pods ready", times, "s", 5)]


def idle(lab: Lab) -> list[Figure]:
    """The lab with the demo profile and the samples injected, left alone."""
    lab.kubectl("label", "namespace", "default", "istio-injection=enabled")
    for name in ("httpbin", "curl", "helloworld"):
        lab.kubectl("apply", "-f", str(samples_dir() / name / f"{name}.yaml"))
    for name in ("httpbin", "curl", "helloworld-v1", "helloworld-v2"):
        lab.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    time.sleep(SETTLE_S)  # the subject is a lab at rest: events written, caches filled
    pid = lab.info.pid
    before, started = sample(pid), time.monotonic()
    time.sleep(IDLE_S)
    after, elapsed = sample(pid), time.monotonic() - started
    cpu = cpu_by_kind(before, after)
    memory = memory_by_kind(after)
    sidecars = sum(1 for process in after.values() if process.kind == "envoy")
    print(f"idle: {len(descendants(pid))} processes, {sidecars} of them Envoys (sidecars and gateways)")
    for kind, (number, size) in memory.items():
        share = 100 * cpu.get(kind, 0.0) / elapsed
        print(f"  {kind:<22}{number:>3} processes {size / MB:>8.1f} MB private {share:>6.2f} % of one core")
    return [
        Figure("idle: private memory of all processes", [private_memory(pid) / MB], "MB", 500),
        Figure(
            "  the same, shared pages counted once",
            [sum(process.proportional for process in after.values()) / MB],
            "MB",
        ),
        Figure("idle: processor time", [100 * sum(cpu.values()) / elapsed], "% core", 5),
    ]


def warm_starts(lab: Lab) -> list[Figure]:
    """``down``, then ``up`` with every object in the store: until the lab is up, and until every pod is ready."""
    downs, ups, readies = [], [], []
    for _ in range(3):
        downs.append(timed(lab.down))
        started = time.monotonic()
        lab.up()
        ups.append(time.monotonic() - started)
        cluster = lab.cluster()
        wait_for(lambda cluster=cluster: all_ready(cluster))  # type: ignore[misc]
        readies.append(time.monotonic() - started)
    return [
        Figure("meshlab down, with 8 pods", downs, "s"),
        Figure("meshlab up, with 8 pods in the store", ups, "s", 4),
        Figure("  the same, until every pod is ready again", readies, "s"),
    ]


def new_weights(lab: Lab, flips: int) -> list[Figure]:
    """From the API request that swaps the weights to the first of many answers of the other version alone."""
    lab.apply(
        VERSIONS
        + echo("myapp-v1", app="myapp", version="v1", inject=True)
        + echo("myapp-v2", app="myapp", version="v2", inject=True)
        + echo("client", app="client", version="v1", inject=True)
        + echo("plain", app="plain", version="v1", inject=False)
    )
    for name in ("myapp-v1", "myapp-v2", "client", "plain"):
        lab.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    address, target, host = through_sidecars(lab)
    set_weights(lab.cluster(), 100, 0)
    wait_for(lambda: answers(address, target, host, 30) == {(200, "v1")})
    times, failures = asyncio.run(_flip(lab.cluster(), address, target, host, flips))
    return [
        Figure("new weights effective", [1000 * seconds for seconds in times], "ms", 1000),
        Figure("  requests that failed meanwhile", [failures], "", 1),
    ]


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


def throughput(lab: Lab) -> list[Figure]:
    """The same program asked directly, and through the client's and its own sidecar with mutual TLS."""
    set_weights(lab.cluster(), 80, 20)
    mesh = through_sidecars(lab)
    plain = ((pod_ip(lab.cluster(), "plain"), lab.ports.real(5678)), "/", "plain")
    direct: list[Counts] = []
    canary: list[Counts] = []
    for _ in range(3):
        direct.append(asyncio.run(load(*plain, connections=CONNECTIONS, seconds=LOAD_S)))
        canary.append(asyncio.run(load(*mesh, connections=CONNECTIONS, seconds=LOAD_S)))
    one_direct = asyncio.run(load(*plain, connections=1, seconds=LOAD_S))
    one_canary = asyncio.run(load(*mesh, connections=1, seconds=LOAD_S))
    assert all(status == 200 for counts in (*direct, *canary) for status, _ in counts.bodies), "a request failed"
    answered = sum(sum(counts.bodies.values()) for counts in canary)
    v2 = sum(counts.bodies.get((200, "v2"), 0) for counts in canary)
    ratios = [through.per_s / straight.per_s for through, straight in zip(canary, direct, strict=True)]
    return [
        Figure(f"direct, {CONNECTIONS} connections", [counts.per_s for counts in direct], "req/s"),
        Figure(f"canary through two sidecars, {CONNECTIONS} connections", [counts.per_s for counts in canary], "req/s"),
        Figure("  ratio to direct", ratios, ""),
        Figure("  share of v2 (weight 20)", [100 * v2 / answered], "%"),
        Figure("direct, one connection: latency", [1000 * seconds for seconds in one_direct.latencies_s], "ms"),
        Figure("canary, one connection: latency", [1000 * seconds for seconds in one_canary.latencies_s], "ms"),
    ]


def echo(name: str, *, app: str, version: str, inject: bool, replicas: int = 1) -> str:
    text = ECHO.replace("NAME", name).replace("APP", app).replace("VERSION", version)
    return text.replace("INJECT", str(inject).lower()).replace("REPLICAS", str(replicas))


def through_sidecars(lab: Lab) -> tuple[tuple[str, int], str, str]:
    """Address, target and host of a request as a program in the client's pod sends it: to its sidecar's HTTP proxy."""
    host = "myapp.default.svc.cluster.local:8080"
    return (pod_ip(lab.cluster(), "client"), lab.ports.real(PROXY_PORT)), f"http://{host}/", host


def set_weights(cluster: Cluster, v1: int, v2: int) -> None:
    route: list[dict[str, Any]] = [
        {"destination": {"host": "myapp", "subset": "v1"}, "weight": v1},
        {"destination": {"host": "myapp", "subset": "v2"}, "weight": v2},
    ]
    cluster.patch(WEIGHTS, "myapp", {"spec": {"http": [{"route": route}]}}, "default")


def answers(address: tuple[str, int], target: str, host: str, number: int) -> set[tuple[int, str]]:
    async def ask() -> set[tuple[int, str]]:
        connection = Connection(address, target, host)
        found = {await connection.get() for _ in range(number)}
        await connection.close()
        return found

    return asyncio.run(ask())


def pod_ip(cluster: Cluster, app: str) -> str:
    (pod,) = cluster.list_objects("pods", "default", label_selector=f"app={app}")
    return str(pod["status"]["podIP"])


def all_ready(cluster: Cluster) -> bool:
    pods = cluster.list_objects("pods")
    conditions = [{c["type"]: c["status"] for c in pod["status"].get("conditions") or []} for pod in pods]
    return bool(pods) and all(found.get("Ready") == "True" for found in conditions)


def wait_for(true: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("the lab did not become ready in time")
        time.sleep(0.02)


def timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
