"""``fortio load``: calls from several threads at a rate or as fast as they go, and Fortio's report about them."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from meshlab.minicluster.images.dial import PodNetwork
from meshlab.minicluster.images.fortio.client import VERSION, Client, Request
from meshlab.minicluster.images.fortio.histogram import Histogram, number
from meshlab.minicluster.images.http_server import go_duration
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

LEVELS = ("debug", "verbose", "info", "warning", "error", "critical", "fatal", "nolog")
WARNING, ERROR = 3, 4
LEVEL_NUMBERS = {name: position for position, name in enumerate(LEVELS)}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    threads: int
    rate: float
    """Calls per second of all threads together; 0: as many as go."""
    calls: int
    """Exactly that many; 0: for some time."""
    duration_s: float
    level: int = 2
    percentiles: Sequence[float] = (50, 75, 90, 99, 99.9)
    resolution: float = 0.001
    allow_initial_errors: bool = False
    json_to: str = ""
    quiet: bool = False


@dataclass(slots=True)
class Worker:
    """One thread's share of the calls, and what came of them."""

    client: Client
    calls: int
    durations: list[float] = field(default_factory=list)
    failures: list[float] = field(default_factory=list)
    heads: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)


def log(plan: Plan, level: int, message: str, **members: object) -> None:
    """A line of Fortio's log, which is JSON where nobody sits at a terminal."""
    if plan.level > level:
        return
    name = {2: "info", WARNING: "warn", ERROR: "err"}.get(level, LEVELS[level])
    line = {"ts": round(time.time(), 6), "level": name, "r": threading.get_native_id() % 1000, "msg": message}
    print_line(json.dumps({**line, **members}, separators=(",", ":")), error=True)


def run(plan: Plan, request: Request, pod: PodContext) -> int:
    """Run a plan and print the report; the exit code."""
    network = PodNetwork(pod)
    each, more = divmod(plan.calls, plan.threads)
    workers = [Worker(Client(request, network), each + (i < more)) for i in range(plan.threads)]
    processors = os.cpu_count() or 1
    wanted = f"for {plan.calls} calls" if plan.calls else f"for {go_duration(plan.duration_s)}"
    rate = f"{number(plan.rate)} queries per second"
    print_line(f"Fortio {VERSION} running at {rate}, {processors}->{processors} procs, {wanted}: {request.url}")
    warm_up = 0
    if not plan.calls:
        warm_up = plan.threads
        for worker in workers:
            answer = worker.client.fetch()
            if not answer.good and not plan.allow_initial_errors:
                print_line(f"Aborting because of error {answer.code} for {request.url}", error=True)
                return 1
    speed = f"at {number(plan.rate)} qps" if plan.rate else "at max qps"
    exact = f"exactly {plan.calls} calls ({each} per thread + {more})" if plan.calls else go_duration(plan.duration_s)
    print_line(f"Starting {speed} with {plan.threads} thread(s) [gomax {processors}] for {exact}")
    started = time.perf_counter()
    threads = [
        threading.Thread(target=_work, args=(worker, plan, started, position), daemon=True)
        for position, worker in enumerate(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    for worker in workers:
        worker.client.close()
    report(plan, request, workers, elapsed, warm_up)
    return 0


def _work(worker: Worker, plan: Plan, started: float, position: int) -> None:
    interval = plan.threads / plan.rate if plan.rate else 0.0
    done = 0
    while (done < worker.calls) if plan.calls else (time.perf_counter() - started < plan.duration_s):
        if interval:
            wait = started + done * interval - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
        began = time.perf_counter()
        answer = worker.client.fetch()
        took = time.perf_counter() - began
        done += 1
        worker.durations.append(took)
        worker.codes[answer.code] += 1
        worker.heads.append(float(len(answer.head) if answer.good else 0))
        worker.sizes.append(float(len(answer.head) + len(answer.body)))
        if not answer.good:
            worker.failures.append(took)
            if answer.code < 0:
                log(plan, ERROR, "Unable to connect", err=answer.body.decode(errors="replace"), thread=position, run=0)
            else:
                status = answer.head.split(b"\r\n", 1)[0].decode(errors="replace")
                log(plan, WARNING, "Non ok http code", code=answer.code, status=status[:12], thread=position, run=0)


def report(plan: Plan, request: Request, workers: Sequence[Worker], elapsed: float, warm_up: int) -> None:
    """Print what Fortio prints at the end of a run."""
    durations = Histogram(plan.resolution, [d for w in workers for d in w.durations])
    failures = Histogram(plan.resolution, [d for w in workers for d in w.failures])
    codes: Counter[int] = sum((w.codes for w in workers), Counter())
    count = len(durations.values)
    rate = count / elapsed if elapsed else 0.0
    print_line(f"Ended after {go_duration(elapsed)} : {count} calls. qps={rate:.5g}")
    for line in durations.lines("Aggregated Function Time", plan.percentiles):
        print_line(line)
    for line in failures.lines("Error cases", plan.percentiles):
        print_line(line)
    print_line("# Socket and IP used for each connection:")
    for position, worker in enumerate(workers):
        used = worker.client.sockets
        print_line(f"[{position}] {used:3d} socket used, resolved to {worker.client.resolved}")
    sockets = sum(worker.client.sockets for worker in workers)
    print_line(f"Sockets used: {sockets} (for perfect keepalive, would be {plan.threads})")
    print_line("Uniform: false, Jitter: false, Catchup allowed: true")
    print_line("IP addresses distribution:")
    addresses: Counter[str] = Counter()
    for worker in workers:
        addresses[worker.client.resolved] += worker.client.sockets
    for address, used in addresses.items():
        print_line(f"{address}: {used}")
    for code, times in sorted(codes.items()):
        print_line(f"Code {code:3d} : {times} ({100 * times / count:.1f} %)")
    print_line(Histogram(values=[h for w in workers for h in w.heads]).summary("Response Header Sizes"))
    print_line(Histogram(values=[s for w in workers for s in w.sizes]).summary("Response Body/Total Sizes"))
    average_ms = 1000 * sum(durations.values) / count if count else 0.0
    print_line(f"All done {count} calls (plus {warm_up} warmup) {average_ms:.3f} ms avg, {rate:.1f} qps")
    if plan.json_to:
        _write_json(plan, request, durations, codes, elapsed)


def _write_json(plan: Plan, request: Request, durations: Histogram, codes: Counter[int], elapsed: float) -> None:
    count = len(durations.values)
    text = json.dumps(
        {
            "RunType": "HTTP",
            "RequestedQPS": number(plan.rate) if plan.rate else "max",
            "ActualQPS": count / elapsed if elapsed else 0.0,
            "ActualDuration": round(elapsed * 1e9),
            "NumThreads": plan.threads,
            "Version": VERSION,
            "DurationHistogram": {
                "Count": count,
                "Min": min(durations.values, default=0.0),
                "Max": max(durations.values, default=0.0),
                "Sum": sum(durations.values),
                "Avg": sum(durations.values) / count if count else 0.0,
                "Data": [
                    {"Start": lower, "End": upper, "Percent": 100 * n / count, "Count": n}
                    for lower, upper, n in durations.buckets()
                ],
                "Percentiles": [{"Percentile": p, "Value": durations.percentile(p)} for p in plan.percentiles],
            },
            "RetCodes": {str(code): times for code, times in sorted(codes.items())},
            "URL": request.url,
        },
        indent=2,
    )
    if plan.json_to == "-":
        sys.stdout.write(text + "\n")
    else:
        with open(plan.json_to, "w") as file:
            file.write(text + "\n")
