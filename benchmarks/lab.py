"""How fast and how heavy a lab is: ``python benchmarks/lab.py`` measures a throw-away one and prints distributions.

The figures are whole commands as a learner types them, so a command's own start-up is in them. A bound that is missed
is marked, and the exit code is then 1. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import Figure
from benchmarks.processes import cpu_by_kind, memory_by_kind, sample
from benchmarks.throwaway import Lab, measured
from benchmarks.workloads import echo, ready, wait_for
from meshlab.cluster.facade import Cluster
from meshlab.cluster.labstatus import descendants, private_memory
from meshlab.cluster.tools import samples_dir

MB = 1_000_000
SETTLE_S = 5.0
IDLE_S = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="labs started from nothing (default 5)")
    arguments = parser.parse_args(argv)
    return measured([partial(from_nothing, rounds=arguments.rounds), twenty_pods, idle, warm_starts])


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
            ready(lab, name)

        times.append(timed(deploy))
        lab.kubectl("delete", "deployment", name, "--cascade=foreground")
    return [Figure("20 pods ready", times, "s", 5)]


def idle(lab: Lab) -> list[Figure]:
    """The lab with the demo profile and the samples injected, left alone."""
    lab.kubectl("label", "namespace", "default", "istio-injection=enabled")
    for name in ("httpbin", "curl", "helloworld"):
        lab.kubectl("apply", "-f", str(samples_dir() / name / f"{name}.yaml"))
    ready(lab, "httpbin", "curl", "helloworld-v1", "helloworld-v2")
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


def all_ready(cluster: Cluster) -> bool:
    pods = cluster.list_objects("pods")
    conditions = [{c["type"]: c["status"] for c in pod["status"].get("conditions") or []} for pod in pods]
    return bool(pods) and all(found.get("Ready") == "True" for found in conditions)


def timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
