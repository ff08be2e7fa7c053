"""What a lab leaves behind, brings back, and refuses: kill -9, down, up, two labs, strangers, bad input."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.lab import Lab, eventually


def processes_of(lab: Lab) -> list[str]:
    """Command lines of every process that carries this lab's home in its environment or arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if (lab.name.encode() in text or str(lab.home).encode() in text) and state != "Z":
            found.append((entry / "cmdline").read_bytes().decode(errors="replace"))
    return found


def listening(prefix: str) -> bool:
    """Whether anything listens on an address of that /16."""
    octets = [int(part) for part in prefix.split(".")]
    pattern = f"{octets[1]:02X}{octets[0]:02X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1][4:8] == pattern and line.split()[3] == "0A" for line in lines)


def test_kill_9_leaves_nothing_and_up_brings_every_object_back(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    lab.up()
    lab.kubectl("create", "configmap", "kept", "--from-literal=a=1")
    lab.kubectl("create", "deployment", "web", "--image=nginx")
    lab.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    uid = lab.kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.uid}")
    status = lab.status()
    prefix = status["server"].removeprefix("https://").rsplit(".", 2)[0]
    assert listening(prefix)
    os.kill(status["pid"], signal.SIGKILL)
    eventually(lambda: not processes_of(lab), what="processes are gone")
    eventually(lambda: not listening(prefix), what="ports are closed")
    assert lab.status()["state"] == "Stopped"
    dead = lab.run("kubectl", "get", "pods", check=False)
    assert dead.returncode != 0
    lab.up()
    assert lab.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "1"
    assert lab.kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.uid}") == uid
    lab.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    eventually(lambda: "1/1" in lab.kubectl("get", "pods", "-l", "app=web"))
    lab.meshlab("down")
    eventually(lambda: not processes_of(lab), what="processes are gone")
    assert not listening(prefix)


def test_two_labs_side_by_side(make_lab: Callable[..., Lab]) -> None:
    first = make_lab()
    second = make_lab(first.home)
    first.up()
    second.up()
    first.kubectl("create", "configmap", "only-here")
    assert "only-here" not in second.kubectl("get", "configmaps")
    assert first.status()["server"] != second.status()["server"]
    first.meshlab("down")
    assert second.status()["state"] == "Running"


def test_a_stranger_gets_401(lab: Lab) -> None:
    server = lab.status()["server"]
    answer = lab.run("curl", "-sk", "-w", "%{http_code}", f"{server}/api/v1/namespaces/default/pods")
    assert answer.stdout.endswith("401")
    assert json.loads(answer.stdout[:-3])["reason"] == "Unauthorized"
    kubeconfig = Path(lab.status()["kubeconfig"])
    assert kubeconfig.stat().st_mode & 0o077 == 0


def test_up_twice_says_so(lab: Lab) -> None:
    again = lab.meshlab("up", check=False)
    assert again.returncode == 2
    assert "already running" in again.stderr
    assert lab.status()["state"] == "Running"


def test_bad_input_is_answered_in_words(lab: Lab) -> None:
    cases: list[tuple[list[str], int, str]] = [
        (["check", "no-such-exercise"], 2, "there is no exercise"),
        (["start", "canari"], 2, "did you mean canary"),
        (["check", "canary"], 2, "has not been started"),
        (["--kubeconfig", "/nowhere/at/all", "check", "canary"], 3, "no kubeconfig at"),
        (["--context", "x", "check", "canary"], 2, "--context needs --kubeconfig"),
        (["--course", "/nowhere", "lessons"], 2, "there is no directory"),
        (["frobnicate"], 2, "invalid choice"),
        (["answer", "canary", "x"], 2, "does not name a task"),
    ]
    for arguments, code, words in cases:
        done = lab.meshlab(*arguments, check=False)
        assert (done.returncode, words in done.stderr) == (code, True), (arguments, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_dead_cluster_is_exit_3(lab: Lab, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = lab.home / "dead.kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        f"clusters: [{{name: x, cluster: {{server: 'https://127.0.0.1:{port}'}}}}]\n"
        "users: [{name: x, user: {token: t}}]\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
    )
    file.chmod(0o644)
    done = lab.meshlab("--kubeconfig", str(file), "check", "canary", check=False)
    assert done.returncode == 3
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_somebody_holds_is_no_obstacle(make_lab: Callable[[], Lab]) -> None:
    with socket.create_server(("0.0.0.0", 5678)):
        lab = make_lab()
        lab.up()
        lab.kubectl("run", "echo", "--image=hashicorp/http-echo", "--port=5678", "--", "-text=all the same")
        lab.kubectl("wait", "--for=condition=Ready", "pod/echo", "--timeout=30s")
        lab.kubectl("expose", "pod", "echo", "--port=5678")
        lab.kubectl("run", "client", "--image=curlimages/curl", "--command", "--", "sleep", "infinity")
        lab.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=30s")
        eventually(
            lambda: (
                lab.run("kubectl", "exec", "client", "--", "curl", "-s", "http://echo:5678", check=False).stdout.strip()
                == "all the same"
            )
        )


def test_help_is_light() -> None:
    program = (
        "import sys; from meshlab.cli.parser import build_parser; build_parser().format_help(); "
        "heavy = {'textual', 'kubernetes', 'grpc', 'aiohttp'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
