"""The node with real processes: what a learner sees of pods."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.kubeapi import StatusError


def box(name: str = "main", script: str = "", **fields: Any) -> dict[str, Any]:
    command = {"command": ["sh", "-c", script]} if script else {}
    return {"name": name, "image": "box", **command, **fields}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_a_pod_runs_and_is_described_as_upstream_would(lab: Any) -> None:
    await lab.run("web", {"name": "main", "image": "web", "ports": [{"containerPort": 8080, "name": "http"}]})
    await lab.ready("web")
    status = lab.status("web")
    assert status["phase"] == "Running"
    assert status["podIP"].startswith(lab.network.prefix + ".1.")
    assert status["hostIP"] == lab.network.node_address
    assert [c["type"] for c in status["conditions"]] == [
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
    ]  # fmt: skip
    main = status["containerStatuses"][0]
    assert main["restartCount"] == 0 and main["started"] and main["ready"]
    assert main["containerID"].startswith("proc://")
    reader, writer = await lab.node.open_port("default", "web", 8080)
    writer.write(b"GET /x HTTP/1.0\r\n\r\n")
    assert (await reader.read()).endswith(b"web /x None")
    writer.close()
    assert lab.recorder.of("web", "Created") == ["Created container: main"]
    assert lab.recorder.of("web", "Started") == ["Started container main"]
    assert lab.recorder.of("web", "Pulled") == ['Container image "web" already present on machine']
    assert (await lab.logs("web")) == "listening\n"


async def test_exec_runs_in_the_container(lab: Any) -> None:
    await lab.run("a", box())
    await lab.ready("a")
    assert await lab.command("a", "sh", "-c", "echo out; exit 7") == (7, "out\n")
    assert await lab.command("a", "cat", stdin=b"through cat") == (0, "through cat")
    output = (await lab.command("a", "env"))[1]
    assert "HOSTNAME=a" in output and "KUBERNETES_SERVICE_PORT=6443" in output
    assert not any(line.startswith(("PYTHON", "MESHLAB")) for line in output.splitlines())
    with pytest.raises(StatusError) as caught:
        await lab.command("a", "python3")
    assert caught.value.code == 500
    assert caught.value.message.startswith("Internal error occurred: error executing command in container: ")
    assert 'exec: "python3": executable file not found in $PATH: unknown' in caught.value.message
    with pytest.raises(
        StatusError, match=r'exec: "/usr/bin/python3": stat /usr/bin/python3: no such file or directory'
    ):
        await lab.command("a", "/usr/bin/python3")
    with pytest.raises(StatusError, match="container nope is not valid for pod a"):
        await lab.command("a", "ls", container="nope")
    with pytest.raises(StatusError, match='pods "zzz" not found'):
        await lab.command("zzz", "ls")


async def test_exec_with_a_terminal(lab: Any) -> None:
    await lab.run("a", box())
    await lab.ready("a")
    session = await lab.node.exec("default", "a", "", ["sh", "-c", "tty; stty size; cat"], tty=True, stdin=True)
    session.resize(101, 42)
    text = b""
    while b"\r\n" not in text or len(text.splitlines()) < 2:
        item = await asyncio.wait_for(session.read(), 5)
        assert item is not None
        text += item[1]
    assert b"/dev/pts/" in text
    session.resize(101, 42)
    await session.write(b"hello\r")
    while text.count(b"hello") < 2:  # the terminal's echo, and cat's
        item = await asyncio.wait_for(session.read(), 5)
        assert item is not None
        text += item[1]
    await session.write(b"\x03")
    assert await asyncio.wait_for(session.wait(), 5) == 130
    while await session.read() is not None:
        pass


async def test_closing_an_exec_session_ends_its_command(lab: Any) -> None:
    await lab.run("a", box())
    await lab.ready("a")
    session = await lab.node.exec("default", "a", "", ["sh", "-c", "yes & yes"], tty=False, stdin=False)
    assert await session.read() is not None
    await asyncio.wait_for(session.close(), 5)
    assert not alive(session.process.pid)


async def test_environment_and_volumes(lab: Any) -> None:
    secret = {"metadata": {"name": "s"}, "data": {"password": base64.b64encode(b"pw").decode()}}
    await lab.api.create("secrets", secret, "default")
    await lab.api.create("configmaps", {"metadata": {"name": "c"}, "data": {"a": "1", "dir.conf": "text"}}, "default")
    service = {"metadata": {"name": "my-svc"}, "spec": {"clusterIP": "127.0.0.9", "ports": [{"port": 80, "name": "w"}]}}
    await lab.api.create("services", service, "default")
    await asyncio.sleep(0)
    await lab.run(
        "a",
        box(
            env=[
                {"name": "PLAIN", "value": "x"},
                {"name": "EXPANDED", "value": "$(PLAIN)-$(IP)-$(nope)-$$(PLAIN)"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "LATER", "value": "$(IP)"},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
                {"name": "NOT_THERE", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "x", "optional": True}}},
            ],
            envFrom=[{"prefix": "C_", "configMapRef": {"name": "c"}}],
            volumeMounts=[
                {"name": "config", "mountPath": "/etc/conf"},
                {"name": "scratch", "mountPath": "/data"},
                {"name": "config", "mountPath": "/srv/one.conf", "subPath": "dir.conf"},
                {"name": "token", "mountPath": "/var/run/secrets/x"},
            ],
        ),
        volumes=[
            {"name": "config", "configMap": {"name": "c"}},
            {"name": "scratch", "emptyDir": {}},
            {
                "name": "token",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token", "audience": "istio-ca"}},
                        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                    ]
                },
            },
        ],
    )
    await lab.ready("a")
    lines = (await lab.command("a", "env"))[1].splitlines()
    ip = lab.status("a")["podIP"]
    for expected in (
        "PLAIN=x",
        "EXPANDED=x-$(IP)-$(nope)-$(PLAIN)",
        f"LATER={ip}",
        "PASSWORD=pw",
        "C_a=1",
        "MY_SVC_SERVICE_HOST=127.0.0.9",
        "MY_SVC_SERVICE_PORT_W=80",
        "MY_SVC_PORT_80_TCP=tcp://127.0.0.9:80",
    ):
        assert expected in lines
    assert not any(line.startswith("NOT_THERE") for line in lines)
    for path, text in (
        ("/etc/conf/a", "1"),
        ("/srv/one.conf", "text"),
        ("/var/run/secrets/x/token", "token-istio-ca-1"),
        ("/var/run/secrets/x/labels", 'app="a"'),
    ):
        assert await lab.command("a", "where", path) == (0, text)
    if lab.node.private_root:
        assert await lab.command("a", "sh", "-c", "cat /etc/conf/a; echo x > /data/f && cat /data/f") == (0, "1x\n")
        assert (await lab.command("a", "touch", "/etc/conf/b"))[0] == 1
        assert (await lab.command("a", "cat", "/etc/hosts"))[1].endswith(f"{ip}\ta\n")

    await lab.api.patch("configmaps", "c", {"data": {"a": "2"}}, "default")
    await lab.until(
        lambda: (lab.node._runtime.pod_dir(lab.pod("a")["metadata"]["uid"]) / "volumes/config/a").read_text() == "2"
    )
    assert await lab.command("a", "where", "/etc/conf/a") == (0, "2")
    assert await lab.command("a", "where", "/srv/one.conf") == (0, "text")


async def test_crash_loop(lab: Any) -> None:
    await lab.run("a", {"name": "main", "image": "box", "command": ["crash", "3"]})
    await lab.until(
        lambda: lab.status("a", "main").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"
    )
    main = lab.status("a", "main")
    uid = lab.pod("a")["metadata"]["uid"]
    assert main["restartCount"] == 1
    assert main["lastState"]["terminated"]["exitCode"] == 3
    assert main["lastState"]["terminated"]["reason"] == "Error"
    assert main["state"]["waiting"]["message"] == f"back-off 10s restarting failed container=main pod=a_default({uid})"
    assert lab.status("a")["phase"] == "Running"
    assert lab.recorder.of("a", "BackOff") == [f"Back-off restarting failed container main in pod a_default({uid})"]
    assert await lab.logs("a") == "crashing in main\nto stderr\n"
    assert await lab.logs("a", previous=True) == "crashing in main\nto stderr\n"
    stamped = await lab.logs("a", timestamps=True, tail_lines=1)
    assert stamped.endswith("Z to stderr\n") and stamped.startswith("20")


async def test_killed_container_is_restarted_at_once(lab: Any) -> None:
    await lab.run("a", {"name": "main", "image": "web"})
    await lab.ready("a")
    worker = next(iter(lab.node._pods.values()))
    os.kill(worker.containers["main"].instance.process.pid, signal.SIGKILL)
    await lab.until(lambda: lab.status("a", "main")["restartCount"] == 1)
    await lab.ready("a")
    assert lab.status("a", "main")["lastState"]["terminated"]["exitCode"] == 137


async def test_nothing_of_a_container_outlives_its_first_process(lab: Any) -> None:
    await lab.run("a", {"name": "main", "image": "box", "command": ["orphan"]}, restartPolicy="Never")
    pid = int(await lab.until(lambda: _first_log(lab, "a")))
    assert alive(pid)
    await lab.api.delete("pods", "a", "default", grace_period_s=1)
    await lab.until(lambda: not lab.pod("a"), "deleted")
    assert not alive(pid)


def _first_log(lab: Any, name: str) -> str:
    path = lab.node._runtime.pod_dir(lab.pod(name)["metadata"]["uid"]) / "main" / "0.log"
    return path.read_text().split()[-1] if path.exists() and path.read_text() else ""


async def test_jobs_end(lab: Any) -> None:
    await lab.run(
        "good",
        box(script="test -w /dev/termination-log && echo fine > /dev/termination-log; exit 0"),
        restartPolicy="Never",
    )
    await lab.run(
        "bad",
        box(script="echo last words; exit 4", terminationMessagePolicy="FallbackToLogsOnError"),
        restartPolicy="Never",
    )
    await lab.until(lambda: lab.status("good").get("phase") == "Succeeded")
    await lab.until(lambda: lab.status("bad").get("phase") == "Failed")
    bad = lab.status("bad", "main")["state"]["terminated"]
    assert (bad["exitCode"], bad["reason"], bad["message"]) == (4, "Error", "last words\n")
    good = lab.status("good", "main")["state"]["terminated"]
    assert good["reason"] == "Completed"
    assert good.get("message") == ("fine\n" if lab.node.private_root else None)
    assert await lab.logs("bad") == "last words\n"


async def test_unknown_image(lab: Any) -> None:
    await lab.run("a", {"name": "main", "image": "no/such"})
    await lab.until(
        lambda: lab.status("a", "main").get("state", {}).get("waiting", {}).get("reason") == "ImagePullBackOff"
    )
    assert lab.status("a")["phase"] == "Pending"
    failed = lab.recorder.of("a", "Failed")
    assert failed[0].startswith('Failed to pull image "no/such"') and "It has: box, proxy, web" in failed[0]
    assert failed[1] == "Error: ErrImagePull"
    with pytest.raises(StatusError, match='container "main" in pod "a" is waiting to start: image can\'t be pulled'):
        await lab.logs("a")
    pod = lab.pod("a")
    changed = {**pod, "spec": {**pod["spec"], "containers": [{"name": "main", "image": "web"}]}}
    await lab.api.update("pods", changed)
    await lab.ready("a")
    await lab.run("b", {"name": "main", "image": "no/such"})
    await lab.until(lambda: lab.status("b"))
    await lab.api.delete("pods", "b", "default")
    await lab.until(lambda: not lab.pod("b"), "deleted")


async def test_missing_configuration(lab: Any) -> None:
    entry = {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "k"}}}
    await lab.run("a", box(env=[entry]))
    await lab.until(lambda: lab.recorder.of("a", "Failed"))
    assert lab.recorder.of("a", "Failed") == ['Error: configmap "late" not found']
    waiting = lab.status("a", "main")["state"]["waiting"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'configmap "late" not found'}
    await lab.api.create("configmaps", {"metadata": {"name": "late"}, "data": {"k": "v"}}, "default")
    await lab.ready("a")
    assert "X=v" in (await lab.command("a", "env"))[1].splitlines()

    await lab.run("b", box(), volumes=[{"name": "v", "hostPath": {"path": "/etc"}}])
    await lab.until(lambda: lab.recorder.of("b", "FailedMount"))
    assert "hostPath '/etc' is refused" in lab.recorder.of("b", "FailedMount")[0]


async def test_missing_program(lab: Any) -> None:
    await lab.run("a", {"name": "main", "image": "box", "command": ["nope"]}, restartPolicy="Never")
    await lab.until(lambda: lab.status("a").get("phase") == "Failed")
    ended = lab.status("a", "main")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert 'exec: "nope": executable file not found in $PATH: unknown' in ended["message"]


async def test_init_containers_and_native_sidecars(lab: Any) -> None:
    shared = [{"name": "shared", "mountPath": "/shared"}]
    await lab.run(
        "a",
        box("main", "sleep 0.2; exit 0"),
        restartPolicy="Never",
        volumes=[{"name": "shared", "emptyDir": {}}],
        initContainers=[
            box("first", "exit 0", volumeMounts=shared),
            {
                "name": "mesh",
                "image": "proxy",
                "restartPolicy": "Always",
                "startupProbe": {"httpGet": {"port": 15021, "path": "/healthz/ready"}, "periodSeconds": 1},
            },
            box("third", "echo $http_proxy; exit 0"),
        ],
    )
    await lab.until(lambda: lab.status("a").get("phase") == "Succeeded")
    ip = next(s["status"]["podIP"] for _, _, s in lab.api.history if s.get("status", {}).get("podIP"))
    assert await lab.logs("a", "third") == f"http://{ip}:15001\n"
    starts = [m.split()[-1] for m in lab.recorder.of("a", "Started")]
    assert starts == ["first", "mesh", "third", "main"]
    mesh = lab.status("a", "mesh")
    assert mesh["state"]["terminated"]["exitCode"] == 0  # SIGTERM, after main had ended
    assert lab.status("a", "main")["state"]["terminated"]["finishedAt"] <= mesh["state"]["terminated"]["finishedAt"]


async def test_failing_init_container(lab: Any) -> None:
    await lab.run("a", box(), restartPolicy="Never", initContainers=[box("init", "exit 9")])
    await lab.until(lambda: lab.status("a").get("phase") == "Failed")
    assert lab.status("a", "main")["state"]["waiting"]["reason"] == "PodInitializing"
    assert lab.status("a", "init")["state"]["terminated"]["exitCode"] == 9


async def test_a_sidecar_owns_the_pod_address(lab: Any) -> None:
    await lab.run(
        "a",
        {"name": "app", "image": "web", "readinessProbe": {"httpGet": {"port": 8080}}},
        {"name": "mesh", "image": "proxy", "readinessProbe": {"httpGet": {"port": 15021}}},
    )
    await lab.ready("a")
    ip = lab.status("a")["podIP"]
    first, second, third, fourth = ip.split(".")
    hidden = f"{first}.{second}.{int(third) + 128}.{fourth}"
    with pytest.raises(OSError):
        await asyncio.open_connection(ip, 8080)
    _, writer = await asyncio.open_connection(hidden, 8080)
    writer.close()
    for port in (8080, 15021):
        reader, writer = await lab.node.open_port("default", "a", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200" in await reader.readline()
        writer.close()


async def test_probes(lab: Any) -> None:
    probe = {"httpGet": {"port": 8080, "path": "/healthz"}, "periodSeconds": 1, "failureThreshold": 1}
    await lab.run("a", {"name": "main", "image": "web", "livenessProbe": probe, "readinessProbe": probe})
    await lab.ready("a")
    _, writer = await lab.node.open_port("default", "a", 8080)
    writer.write(b"GET /fail HTTP/1.0\r\n\r\n")
    await lab.until(lambda: lab.status("a", "main")["restartCount"] == 1)
    await lab.ready("a")
    writer.close()
    assert "Liveness probe failed: HTTP probe failed with statuscode: 500" in lab.recorder.of("a", "Unhealthy")
    assert "Container main failed liveness probe, will be restarted" in lab.recorder.of("a", "Killing")


async def test_exec_probe_and_hooks(lab: Any) -> None:
    script = "trap 'echo bye; exit 0' TERM; while true; do sleep 0.05; done"
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started > $HERE/post"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping > $HERE/pre"]}},
    }
    await lab.run(
        "a",
        box(
            script=script,
            env=[{"name": "HERE", "value": "/shared"}]
            if lab.node.private_root
            else [{"name": "HERE", "value": str(lab.directory)}],
            lifecycle=hooks,
            readinessProbe={"exec": {"command": ["sh", "-c", "test -f $HERE/post"]}},
            volumeMounts=[{"name": "shared", "mountPath": "/shared"}],
        ),
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    await lab.ready("a")
    uid = lab.pod("a")["metadata"]["uid"]
    where = lab.node._runtime.pod_dir(uid) / "volumes/shared" if lab.node.private_root else lab.directory
    follower = asyncio.create_task(lab.logs("a", follow=True))
    await lab.api.delete("pods", "a", "default")
    await lab.until((where / "pre").exists)
    assert await asyncio.wait_for(follower, 5) == "bye\n"
    await lab.until(lambda: not lab.pod("a"), "deleted")
    assert not lab.node._runtime.pod_dir(uid).exists()
    assert lab.recorder.of("a", "Killing") == ["Stopping container main"]


async def test_termination_grace_and_force(lab: Any) -> None:
    stubborn = box(script="trap '' TERM; while true; do sleep 0.05; done")
    await lab.run("a", stubborn)
    await lab.run("b", stubborn)
    await lab.ready("a")
    await lab.ready("b")
    began = time.monotonic()
    await lab.api.delete("pods", "a", "default", grace_period_s=1)
    await lab.until(lambda: not lab.pod("a"), "deleted")
    assert 1.0 <= time.monotonic() - began < 4
    pid = next(iter(lab.node._pods.values())).containers["main"].instance.process.pid
    await lab.api.delete("pods", "b", "default", grace_period_s=0)
    await lab.until(lambda: not lab.node._pods, "worker gone")
    assert not alive(pid)


async def test_attach(lab: Any) -> None:
    await lab.run("a", box(script="cat", stdin=True, stdinOnce=True), restartPolicy="Never")
    await lab.ready("a")
    session = await lab.node.attach("default", "a", "", tty=False, stdin=True)
    await session.write(b"ping\n")
    assert await asyncio.wait_for(session.read(), 5) == (1, b"ping\n")
    await session.close_stdin()
    assert await asyncio.wait_for(session.read(), 5) is None
    assert await session.wait() == 0
    await lab.until(lambda: lab.status("a").get("phase") == "Succeeded")
    late = await lab.node.attach("default", "a", "", tty=False, stdin=True)
    assert await asyncio.wait_for(late.read(), 5) is None


async def test_active_deadline(lab: Any) -> None:
    await lab.run("a", box(), activeDeadlineSeconds=1, restartPolicy="Never")
    await lab.until(lambda: lab.status("a").get("phase") == "Failed")
    assert lab.status("a")["reason"] == "DeadlineExceeded"


async def test_a_new_node_starts_running_pods_anew(lab: Any) -> None:
    await lab.run("a", {"name": "main", "image": "web"})
    await lab.run("done", box(script="echo was here"), restartPolicy="Never")
    await lab.ready("a")
    await lab.until(lambda: lab.status("done").get("phase") == "Succeeded")
    old = lab.status("a")["podIP"]
    private = lab.node.private_root
    await lab.node.stop()
    assert lab.status("a")["phase"] == "Running"
    lab.node = lab.new_node(private_root=private)
    await lab.node.start()
    await lab.until(lambda: lab.status("a", "main")["restartCount"] == 1 and lab.is_ready("a"))
    assert lab.status("a")["podIP"] != old
    assert lab.status("a", "main")["lastState"]["terminated"]["reason"] == "Unknown"
    assert lab.status("done")["phase"] == "Succeeded"
    assert await lab.logs("a", previous=True) == "listening\n"
    assert await lab.logs("done") == "was here\n"


async def test_twenty_pods(lab: Any) -> None:
    began = time.monotonic()
    for number in range(20):
        await lab.run(f"p{number}", {"name": "main", "image": "web", "ports": [{"containerPort": 8080}]})
    await lab.until(lambda: all(lab.is_ready(f"p{number}") for number in range(20)))
    assert time.monotonic() - began < 5
    before = lab.api.status_writes
    for worker in lab.node._pods.values():
        worker.changed()
    await asyncio.sleep(0.05)
    assert lab.api.status_writes == before


async def test_supervisor_killed(lab: Any) -> None:
    await lab.run("a", {"name": "main", "image": "box", "command": ["orphan"]})
    pid = int(await lab.until(lambda: _first_log(lab, "a")))
    os.kill(lab.node.processes.pid, signal.SIGKILL)
    await lab.until(lambda: lab.status("a", "main").get("restartCount", 0) >= 1 and lab.is_ready("a"), "restarted")
    assert not alive(pid)
