"""On a cluster that is no lab, the istioctl on PATH does the work."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = "meshlab.minicluster.mesh.istio.istioctl"


@pytest.mark.parametrize(
    "arguments", [["proxy-status", "-n", "shop"], ["waypoint", "apply"], ["analyze", "--new-flag"]]
)
async def test_the_other_istioctl_runs(lab: Any, tmp_path: Path, arguments: list[str]) -> None:
    await lab.api.patch("namespaces", "kube-system", {"metadata": {"labels": {"meshlab.dev/lab": None}}})
    for name, text in (("own", f"# {MODULE}\nexit 9"), ("real", 'echo "real: $*"')):
        (tmp_path / name).mkdir()
        script = tmp_path / name / "istioctl"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    path = f"{tmp_path / 'own'}:{tmp_path / 'real'}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", MODULE, *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "PATH": path},
    )  # fmt: skip
    out, err = await process.communicate()
    assert (process.returncode, out.decode()) == (0, f"real: {' '.join(arguments)}\n"), err.decode()


async def test_a_lab_keeps_its_own(lab: Any) -> None:
    code, _, err = await lab.istioctl("waypoint", "apply")
    assert code == 1
    assert "ambient mode needs a real Istio" in err
