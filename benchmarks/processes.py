"""What a lab's processes cost, by kind: private memory and processor time, from ``/proc``."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from meshlab.cluster.labstatus import descendants

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment.

    Attributes:
        kind: what it is, in a word.
        private: bytes that it shares with nobody.
        proportional: the same and its part of the bytes that it shares, so that a sum counts every byte once.
        cpu_s: seconds on a processor, its dead children's included.
    """

    kind: str
    private: int
    proportional: int
    cpu_s: float


def sample(root_pid: int) -> dict[int, Sample]:
    """Every process of a lab by its process id; one that ends meanwhile is left out."""
    samples = {}
    for pid in descendants(root_pid):
        try:
            parent, cpu_s = _stat(pid)
            samples[pid] = Sample(_kind(pid, parent, root_pid), *_memory(pid), cpu_s)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return samples


def memory_by_kind(samples: Mapping[int, Sample]) -> dict[str, tuple[int, int]]:
    """Kind -> (number of processes, private bytes of all of them), the largest first."""
    groups: dict[str, list[int]] = defaultdict(list)
    for process in samples.values():
        groups[process.kind].append(process.private)
    rows = {kind: (len(sizes), sum(sizes)) for kind, sizes in groups.items()}
    return dict(sorted(rows.items(), key=lambda row: -row[1][1]))


def cpu_by_kind(before: Mapping[int, Sample], after: Mapping[int, Sample]) -> dict[str, float]:
    """Kind -> processor seconds between two samples, the busiest first.

    A process that ended meanwhile is in its parent's time, from which goes what it had used before.
    """
    seconds: dict[str, float] = defaultdict(float)
    for pid, process in after.items():
        seconds[process.kind] += process.cpu_s - (before[pid].cpu_s if pid in before else 0.0)
    for pid, process in before.items():
        if pid not in after:
            seconds["ended meanwhile"] -= process.cpu_s
    return dict(sorted(seconds.items(), key=lambda row: -row[1]))


def _kind(pid: int, parent: int, root_pid: int) -> str:
    """What the kernel calls it: the name of a container's first program, which the supervisor sets for its children."""
    if pid == root_pid:
        return "daemon"
    return "supervisor" if parent == root_pid else Path(f"/proc/{pid}/comm").read_text().strip()


def _memory(pid: int) -> tuple[int, int]:
    sizes: dict[str, int] = defaultdict(int)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, size = line.partition(":")
        sizes[name] = int(size.split()[0]) * 1024
    return sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Pss"]


def _stat(pid: int) -> tuple[int, float]:
    """Parent, and seconds on a processor (utime, stime, cutime, cstime; proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), sum(int(value) for value in fields[11:15]) / TICKS_PER_S
