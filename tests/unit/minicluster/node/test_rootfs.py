from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.images.catalogue import BuiltIn, HostBinary, Image
from meshlab.minicluster.node import programs, rootfs
from meshlab.minicluster.node.programs import NotFound, Resolved
from meshlab.minicluster.node.protocol import RootStep, SpawnSpec, exit_code
from meshlab.minicluster.pod import PodContext

IMAGE = Image(("x",), programs={"tool": BuiltIn("m:f"), "sh": HostBinary(("sh",)), "gone": HostBinary(("no-such",))})


def test_python_at_a_path_of_its_own_is_mounted_once() -> None:
    steps = rootfs.python_steps(("/opt/py", "/opt/py", "/usr"), ["/opt/py/lib/site-packages", "", "/home/me"])
    assert [step.target for step in steps if step.target.startswith("/opt")] == ["/opt/py"]
    assert all(step.read_only for step in steps)
    assert not any(step.target in ("/usr", "/home/me") for step in steps)


def test_the_host_is_read_only_and_homes_are_not_there() -> None:
    steps = rootfs.host_steps()
    binds = [step for step in steps if step.kind == "bind"]
    exempt = ("/proc", "/dev", "/sys")
    assert all(step.read_only for step in binds if not step.target.startswith(exempt))
    prefixes = {sys.prefix, sys.base_prefix}
    assert not any(step.target in ("/home", "/root", "/etc", "/var") for step in binds) or "/" in prefixes
    assert ("/run", "var/run") in {(step.target, step.source) for step in steps if step.kind == "symlink"}


@pytest.mark.parametrize("word", ["tool", "/bin/tool", "/usr/local/bin/tool", "/tool", "/image/bin/tool"])
def test_a_built_in_by_any_of_its_names(word: str) -> None:
    assert programs.resolve(IMAGE, word, "/image/bin") == Resolved(builtin="m:f")


def test_host_binaries_and_files() -> None:
    resolved = programs.resolve(IMAGE, "/bin/sh", "/image/bin")
    assert os.access(resolved.path, os.X_OK) and not Path(resolved.path).is_symlink()
    assert programs.resolve(IMAGE, "/scripts/run.sh", "/image/bin") == Resolved(path="/scripts/run.sh")
    assert programs.resolve(IMAGE, "./run.sh", "/image/bin") == Resolved(path="./run.sh")


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("bash", 'exec: "bash": executable file not found in $PATH'),
        ("gone", 'exec: "gone": executable file not found in $PATH'),
        ("/bin/bash", 'exec: "/bin/bash": stat /bin/bash: no such file or directory'),
    ],
)
def test_what_the_image_lacks(word: str, words: str) -> None:
    with pytest.raises(NotFound) as caught:
        programs.resolve(IMAGE, word, "/image/bin")
    assert str(caught.value) == words


def test_a_spec_survives_its_memfd() -> None:
    spec = SpawnSpec(
        ("a", "b" * 200_000),
        {"X": "é"},
        builtin="m:f",
        root=(RootStep("bind", "/a", "/b", read_only=True),),
        rlimits={"CORE": 0},
    )
    assert SpawnSpec.from_fd(spec.to_memfd()) == spec


def test_exit_codes() -> None:
    assert exit_code(7 << 8) == (7, 0)
    assert exit_code(15) == (143, 15)


def test_volume_paths_without_a_private_root(tmp_path: Path) -> None:
    optional = ("mounts", "zone", "capture", "captures_dns")
    fields: dict[str, Any] = {name: "" for name in PodContext.__dataclass_fields__ if name not in optional}
    context = PodContext(**fields, mounts={"/etc": "/state/etc", "/etc/conf": "/state/conf"})
    assert context.host_path("/etc/conf/a") == "/state/conf/a"
    assert context.host_path("/etc/confx") == "/state/etc/confx"
    assert context.host_path("/other") == "/other"
    assert context.host_path("relative") == "relative"
    context.save(tmp_path / "c.json")
    assert PodContext.load(tmp_path / "c.json") == context


def test_a_volume_does_not_hide_what_programs_need() -> None:
    """Bookinfo has an emptyDir at /tmp; a lab whose home is below it must still run there."""
    lab = RootStep("bind", "/tmp/home/lab", "/tmp/home/lab")
    steps = [RootStep("dir", "/tmp"), RootStep("bind", "/etc/hosts", "/x"), lab]
    rootfs.place(steps, RootStep("bind", "/tmp", "/volumes/tmp"))
    rootfs.place(steps, RootStep("bind", "/data", "/volumes/data"))
    rootfs.place(steps, RootStep("bind", "/tmp/home", "/volumes/config", read_only=True))
    targets = [step.target for step in steps]
    assert targets == ["/tmp", "/etc/hosts", "/tmp", "/tmp/home/lab", "/data", "/tmp/home"]
