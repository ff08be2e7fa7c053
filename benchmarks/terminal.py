"""How the terminal pane holds up under floods: `python benchmarks/terminal.py` prints latency and CPU.

`late` is how much later than asked a 5 ms sleep returns while the pane takes output: what a person feels as lag
anywhere in the app. Another process that takes the CPU counts in it; `work` does not know of others: it is the CPU time
that the loop spent between two such ticks.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from textual.app import App, ComposeResult

from meshlab.tui.terminal import TerminalPane

SECONDS = 4.0
TICK_S = 0.005
LOG = 'level=info msg=\\"a log line of common length\\" path=/productpage code=200'
LOADS = {
    "silence": "",
    "5,000 log lines a second": f'while :; do yes "{LOG}" | head -n 250; sleep 0.05; done',
    "endless yes": "yes",
    "endless colours": "yes $'\\e[31mred \\e[42mgreen\\e[0m \\e[38;5;208morange\\e[0m'",
}


class Bench(App[None], inherit_bindings=False):
    """Nothing but a pane."""

    def compose(self) -> ComposeResult:
        yield TerminalPane(shell="bash")


async def until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.001)


async def measure(pane: TerminalPane, command: str) -> str:
    """The figures of one load, as a line."""
    if command:
        pane.run(command)
        await until(lambda: pane.busy)
    await asyncio.sleep(0.5)
    late, work = [], []
    cpu, started = time.process_time(), time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        before, spent = time.perf_counter(), time.thread_time()
        await asyncio.sleep(TICK_S)
        late.append((time.perf_counter() - before - TICK_S) * 1000)
        work.append((time.thread_time() - spent) * 1000)
    share = (time.process_time() - cpu) / (time.perf_counter() - started)
    interrupted = time.perf_counter()
    if command:
        pane.send(b"\x03")
        await until(lambda: not pane.busy)
    stop_ms = (time.perf_counter() - interrupted) * 1000
    return f"CPU {share:4.0%}  late {spread(late)}  work {spread(work)}  Ctrl+C {stop_ms:4.0f} ms"


def spread(values: list[float]) -> str:
    """Median, 95th percentile and maximum, in milliseconds."""
    values.sort()
    return "/".join(f"{value:.1f}" for value in (values[len(values) // 2], values[int(len(values) * 0.95)], values[-1]))


async def main() -> None:
    app = Bench()
    async with app.run_test(size=(120, 40)):
        pane = app.query_one(TerminalPane)
        with tempfile.TemporaryDirectory() as home:
            await pane.open({"HOME": home, "PATH": os.environ["PATH"]}, Path(home))
            await until(lambda: bool(pane.screen_text.strip()))
            print("milliseconds as p50/p95/max")
            for name, command in LOADS.items():
                print(f"{name:26} {await measure(pane, command)}")


if __name__ == "__main__":
    asyncio.run(main())
