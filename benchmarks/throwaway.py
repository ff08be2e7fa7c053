"""A lab to measure and throw away: a home directory of its own, driven by its commands as a learner drives it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import HEADING, Figure
from meshlab.cluster.facade import Cluster
from meshlab.labs import DEFAULT_LAB, LabInfo, LabPaths
from meshlab.minicluster.network.addresses import PortMap

NOBODY = 65534
COMMAND_TIMEOUT_S = 120


def measured(measurements: Sequence[Callable[[Lab], Iterable[Figure]]]) -> int:
    """Measure a throw-away lab and print every figure; the exit code: 1 if a bound is missed."""
    # A lab outlives its starter, so being terminated must take the way on which it is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if (code := leave_root()) is not None:
        return code
    if not bytecode_is_there():
        print("note: meshlab is not compiled (python -m compileall meshlab): every start-up pays for that")
    print(HEADING, flush=True)
    missed = 0
    with throwaway_lab() as lab:
        for measure in measurements:
            for figure in measure(lab):
                print(figure.line(), flush=True)
                missed += figure.missed
    return 1 if missed else 0


def leave_root() -> int | None:
    """Run this script again as an unprivileged user if root runs it; that one's exit code, or None for the rest of us.

    Envoys and kubectl as root would see other limits (ports below 1024, for one) than a learner's.

    Raises:
        SystemExit: the unprivileged user cannot run this interpreter.
    """
    if os.geteuid() != 0:
        return None
    try:
        probe = _as_nobody(sys.executable, "-c", "import meshlab", stderr=subprocess.DEVNULL).wait()
    except OSError:
        probe = 1
    if probe:
        raise SystemExit(
            f"user {NOBODY} cannot run {sys.executable} with meshlab: run this as an ordinary user, or in a virtual "
            "environment that everybody can read"
        )
    with _as_nobody(sys.executable, str(Path(sys.argv[0]).resolve()), *sys.argv[1:]) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            child.wait()  # it takes its lab away first
            raise


def _as_nobody(*command: str, stderr: int | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd="/", stderr=stderr, user=NOBODY, group=NOBODY, extra_groups=[])


@contextmanager
def throwaway_lab() -> Iterator[Lab]:
    """A stopped lab; its processes and its home are gone afterwards, whatever happens."""
    home = Path(tempfile.mkdtemp(prefix="meshlab-bench-"))
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith("XDG_") or name == "KUBECONFIG":
            del os.environ[name]
    os.environ |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    (home / "run").mkdir(mode=0o700)
    lab = Lab(home)
    try:
        yield lab
    finally:
        lab.down(delete=True)
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(home, ignore_errors=True)


def bytecode_is_there() -> bool:
    """Whether meshlab is compiled, as an installer leaves it; otherwise every start pays for compiling."""
    spec = importlib.util.find_spec("meshlab.minicluster.daemon")
    return spec is not None and spec.cached is not None and Path(spec.cached).is_file()


class Lab:
    """One lab by its commands.

    Args:
        home: the home directory of its user, and where commands run.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.paths = LabPaths(DEFAULT_LAB)

    @property
    def info(self) -> LabInfo:
        """What the running daemon says of itself."""
        info = self.paths.info()
        assert info is not None, "the lab is not running"
        return info

    @property
    def ports(self) -> PortMap:
        """The real ports behind the lab's nominal ones."""
        return PortMap(self.paths.runtime_dir / "tables" / "ports.json", self.info.prefix + ".0.1")

    def cluster(self) -> Cluster:
        """The lab's API, as everything above the seam uses it."""
        return Cluster(self.paths.kubeconfig)

    def meshlab(self, *arguments: str, stdin: str = "") -> str:
        """``meshlab ARGUMENTS``; what it printed.

        Raises:
            SystemExit: it failed.
        """
        return self._run([sys.executable, "-m", "meshlab.cli.main", *arguments], stdin)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """The real kubectl on this lab."""
        return self.meshlab("kubectl", *arguments, stdin=stdin)

    def apply(self, manifest: str) -> None:
        """``kubectl apply -f -``."""
        self.kubectl("apply", "-f", "-", stdin=manifest)

    def up(self) -> None:
        """``meshlab up``."""
        self.meshlab("up")

    def down(self, *, delete: bool = False) -> None:
        """``meshlab down``, with its state if ``delete``."""
        self.meshlab("down", *(["--delete"] if delete else []))

    def _run(self, command: list[str], stdin: str) -> str:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, cwd=self.home, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout
