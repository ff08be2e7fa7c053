"""How quick the screen is: ``python benchmarks/tui.py`` opens it on a throw-away lab and prints distributions.

Everything is measured from outside, on a pseudo-terminal, by when the bytes arrive that paint what was waited for. A
bound that is missed is marked, and the exit code is then 1. Run it on a quiet machine; the processor time beside the
first frame tells how much of it was the program's own.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import Figure
from benchmarks.processes import sample
from benchmarks.throwaway import Lab, measured
from meshlab.cluster.facade import Cluster
from meshlab.course.catalogue import find_course
from tests.support.terminals import PtyTerminal

SIZE = (120, 30)
PATIENCE_S = 60.0
IDLE_S = 20.0
FLIP_S = 0.5
SETTLED_S = 0.15
LINE = 8
"""How many characters are typed before the line is cleared: it must not be wrapped."""
MB = 1_000_000
FIRST_FRAME_MS = 700
KEY_MS = 50
IDLE_PERCENT = 2
WEIGHTS = "virtualservices.networking.istio.io"
VIRTUAL_SERVICE = "myapp"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0] if __doc__ else None)
    parser.add_argument("--starts", type=int, default=10, metavar="N", help="starts of the program (default 10)")
    parser.add_argument("--keys", type=int, default=100, metavar="N", help="keys of each kind (default 100)")
    arguments = parser.parse_args(argv)
    return measured([partial(first_frame, starts=arguments.starts), partial(keys, number=arguments.keys), idle])


class Screen(PtyTerminal):
    """``meshlab`` on a terminal, and a stop-watch."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(
            [sys.executable, "-m", "meshlab.cli.main"],
            environment=dict(os.environ),
            directory=lab.home,
            size=SIZE,
        )

    def until(self, probe: Callable[[list[str]], object]) -> float:
        """Wait for what a probe finds on the screen; when the bytes came that painted it, by `time.perf_counter`.

        Raises:
            SystemExit: it never came.
        """
        deadline = time.perf_counter() + PATIENCE_S
        while not probe(rows := self.rows()):
            if time.perf_counter() > deadline or not self.is_open:
                raise SystemExit("the screen never showed it:\n" + "\n".join(rows))
            self.wait(0.5)
        return self.painted_at

    def key_ms(self, key: str, probe: Callable[[list[str]], object]) -> float:
        """From a key to the paint that shows it, in milliseconds."""
        pressed = time.perf_counter()
        self.press(key)
        return 1000 * (self.until(probe) - pressed)

    @property
    def cpu_s(self) -> float:
        """Processor time of the program itself, its children's not counted."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(value) for value in fields[11:13]) / os.sysconf("SC_CLK_TCK")

    def leave(self) -> None:
        """End the program as a person does."""
        self.press("ctrl+q")
        self.process.wait(PATIENCE_S)
        self.close()


@contextmanager
def opened(lab: Lab) -> Iterator[Screen]:
    """A screen that is gone afterwards."""
    screen = Screen(lab)
    try:
        yield screen
    finally:
        screen.close()


def first_frame(lab: Lab, starts: int) -> list[Figure]:
    """From the start of the process to the lesson's first words on the screen."""
    lab.up()
    lesson = next(iter(find_course(None).lessons.values()))
    words = " ".join(re.findall(r"\w+", lesson.intro)[:4])
    figures = []
    for name, prepare in (("cold: no file in memory", forget_files), ("warm", None)):
        times, work = [], []
        for _ in range(starts):
            if prepare:
                prepare()
            with opened(lab) as screen:
                times.append(1000 * (screen.until(lambda rows: words in _words(rows)) - screen.started_at))
                work.append(1000 * screen.cpu_s)
        figures += [
            Figure(f"first useful frame, {name}", times, "ms", FIRST_FRAME_MS, of="median"),
            Figure("  processor time until then", work, "ms"),
        ]
    return figures


def keys(lab: Lab, number: int) -> list[Figure]:
    """Keys in each pane while the verdicts of a live exercise change twice a second."""
    lab.meshlab("start", "canary")
    lab.meshlab("solve", "canary")
    with opened(lab) as screen:
        screen.until(lambda rows: has(rows, "10 of 10 points") and has(rows, "$ ") and has(rows, "→ Next"))
        with verdicts_streaming(lab.cluster()):
            turned = []
            for index in range(number // 5):
                key, wanted = ("n", "step 2 of") if index % 2 == 0 else ("p", "step 1 of")
                turned.append(screen.key_ms(key, lambda rows, wanted=wanted: has(rows, wanted)))  # type: ignore[misc]
            scrolled = []
            for index in range(number):
                before = lesson_rows(screen.rows())
                key = "up" if index % 2 else "down"
                scrolled.append(screen.key_ms(key, lambda rows, before=before: lesson_rows(rows) != before))  # type: ignore[misc]
                settle(screen)
            screen.press("f6")
            screen.until(lambda rows: has(rows, "f6 Leave the terminal"))
            typed = []
            for index in range(number):
                wanted = f"# {'x' * (index % LINE + 1)}"
                if index % LINE == 0:
                    screen.send("\x15# ")
                    screen.until(lambda rows: any(row.rstrip("│ ").endswith("$ #") for row in rows))
                typed.append(screen.key_ms("x", lambda rows, wanted=wanted: has(rows, wanted)))  # type: ignore[misc]
    return [
        Figure("key to paint: typing in the terminal", typed, "ms", KEY_MS, of="p95"),
        Figure("key to paint: scrolling the lesson", scrolled, "ms", KEY_MS, of="p95"),
        Figure("key to paint: turning to another step", turned, "ms"),
    ]


def idle(lab: Lab) -> list[Figure]:
    """Nobody does anything: an exercise that passes, and one at its start."""
    figures = []
    for name, state, shows in (
        ("all passing", "solve", "10 of 10 points"),
        ("at its start", "reset", "0 of 10 points"),
    ):
        lab.meshlab(state, "canary", *(["-y"] if state == "reset" else []))
        with opened(lab) as screen:
            screen.until(lambda rows, shows=shows: has(rows, shows))  # type: ignore[misc]
            time.sleep(5)  # the subject is a screen at rest
            before, started = screen.cpu_s, time.monotonic()
            bytes_before = screen.received
            time.sleep(IDLE_S)
            share = 100 * (screen.cpu_s - before) / (time.monotonic() - started)
            painted = (screen.received - bytes_before) / IDLE_S
            memory = sample(screen.pid)[screen.pid].private
        figures += [
            Figure(f"idle, {name}: processor time", [share], "% core", IDLE_PERCENT),
            Figure("  painted", [painted], "B/s"),
            Figure("  private memory of the screen", [memory / MB], "MB"),
        ]
    return figures


@contextmanager
def verdicts_streaming(cluster: Cluster) -> Iterator[None]:
    """The weights change twice a second, so that the canary's verdict does."""
    ended = threading.Event()

    def flip() -> None:
        number = 0
        while not ended.wait(FLIP_S):
            number += 1
            first = 80 if number % 2 else 50
            route = [
                {"destination": {"host": "myapp", "subset": subset}, "weight": weight}
                for subset, weight in (("v1", first), ("v2", 100 - first))
            ]
            cluster.patch(WEIGHTS, VIRTUAL_SERVICE, {"spec": {"http": [{"route": route}]}}, "default")

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def forget_files() -> None:
    """Let the kernel drop what it keeps of the files of this installation, as far as nobody else uses them."""
    for root in {sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), *filter(os.path.isdir, sys.path)}:
        for path in Path(root).rglob("*"):
            if path.suffix in (".pyc", ".so", ".py", ".tcss", ".md", ".yaml") and path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


def settle(screen: Screen) -> None:
    """Let an animation in the lesson end."""
    while True:
        before = lesson_rows(screen.rows())
        time.sleep(SETTLED_S)
        if lesson_rows(screen.rows()) == before:
            return


def lesson_rows(rows: list[str]) -> list[str]:
    """The left half, without the bars and the frame."""
    return [row[: SIZE[0] // 2 - 2] for row in rows[3:-3]]


def has(rows: list[str], text: str) -> bool:
    return any(text in row for row in rows)


def _words(rows: list[str]) -> str:
    return " ".join(re.findall(r"\w+", " ".join(row[: SIZE[0] // 2] for row in rows)))


if __name__ == "__main__":
    sys.exit(main())
