"""Every kubectl verb that the README promises, typed on a lab."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time

import pytest

from tests.support.lab import NOBODY, Lab, eventually

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: hashicorp/http-echo
        args: ["-text=hello from web", "-listen=:5678"]
        ports: [{containerPort: 5678}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 5678}]
"""


@pytest.fixture(scope="module")
def web(lab: Lab) -> Lab:
    """A lab with a web Deployment, its Service, and a plain client."""
    lab.kubectl("apply", "-f", "-", stdin=WEB)
    lab.kubectl("create", "deployment", "client", "--image=curlimages/curl", "--", "sleep", "infinity")
    # `create deployment` names the container after the image.
    lab.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    lab.kubectl("rollout", "status", "deployment/client", "--timeout=30s")
    return lab


def curl(lab: Lab, *arguments: str) -> str:
    return lab.kubectl("exec", "deploy/client", "-c", "curl", "--", "curl", "-s", *arguments)


def test_get_in_all_its_forms(web: Lab) -> None:
    assert "web" in web.kubectl("get", "all")
    assert "kube-system" in web.kubectl("get", "ns")
    assert "meshlab" in web.kubectl("get", "pods", "-A", "-o", "wide")
    assert "kind: Deployment" in web.kubectl("get", "deployment", "web", "-o", "yaml")
    assert json.loads(web.kubectl("get", "deployment", "web", "-o", "json"))["spec"]["replicas"] == 2
    assert web.kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2"
    assert "2/2" in web.kubectl("get", "deployment", "web")


def test_get_watch_shows_a_change(web: Lab) -> None:
    watcher = web.popen("kubectl", "get", "configmaps", "-w", "--no-headers", stdout=subprocess.PIPE)
    assert watcher.stdout is not None
    try:
        assert watcher.stdout.readline()
        web.kubectl("create", "configmap", "watched", "--from-literal=a=1")
        eventually(lambda: "watched" in (watcher.stdout.readline() if watcher.stdout else ""))
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stdout.close()


def test_describe_tells_events(web: Lab) -> None:
    assert "ScalingReplicaSet" in web.kubectl("describe", "deployment", "web")
    pod = web.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
    assert "Started container app" in web.kubectl("describe", "pod", pod)
    assert "Endpoints:" in web.kubectl("describe", "service", "web")


def test_create_each_kind_and_delete_it(web: Lab) -> None:
    web.kubectl("create", "ns", "extra")
    web.kubectl("create", "deployment", "d", "--image=nginx", "-n", "extra")
    web.kubectl("create", "configmap", "c", "--from-literal=k=v", "-n", "extra")
    web.kubectl("create", "secret", "generic", "s", "--from-literal=k=v", "-n", "extra")
    web.kubectl("create", "service", "clusterip", "svc", "--tcp=80:80", "-n", "extra")
    web.kubectl("wait", "--for=condition=Available", "deployment/d", "-n", "extra", "--timeout=30s")
    web.kubectl("delete", "ns", "extra", "--timeout=40s")
    assert "extra" not in web.kubectl("get", "ns")


def test_run_expose_and_reach_by_name(web: Lab) -> None:
    web.kubectl("run", "echo", "--image=hashicorp/http-echo", "--port=5678", "--", "-text=from echo")
    web.kubectl("expose", "pod", "echo", "--port=8080", "--target-port=5678")
    web.kubectl("wait", "--for=condition=Ready", "pod/echo", "--timeout=30s")
    assert eventually(
        lambda: (
            "from echo"
            in web.run(
                "kubectl", "exec", "deploy/client", "-c", "curl", "--", "curl", "-s", "http://echo:8080", check=False
            ).stdout
        )
    )
    web.kubectl("delete", "pod/echo", "service/echo")


def test_a_plain_client_gets_curls_own_exit_codes(web: Lab) -> None:
    def code(url: str) -> int:
        return web.run(
            "kubectl", "exec", "deploy/client", "-c", "curl", "--", "curl", "-s", url, check=False
        ).returncode

    assert code("http://web/") == 0
    assert code("http://nobody-has-this-name/") == 6
    web.kubectl("create", "service", "clusterip", "empty", "--tcp=80:80")
    assert eventually(lambda: code("http://empty/") == 7)


def test_apply_diff_apply(web: Lab) -> None:
    quiet = web.run("kubectl", "diff", "-f", "-", stdin=WEB, check=False)
    assert (quiet.returncode, quiet.stdout) == (0, "")
    changed = WEB.replace("replicas: 2", "replicas: 3")
    shown = web.run("kubectl", "diff", "-f", "-", stdin=changed, check=False)
    assert shown.returncode == 1
    assert "+  replicas: 3" in shown.stdout
    assert "configured" in web.kubectl("apply", "-f", "-", stdin=changed)
    assert "unchanged" in web.kubectl("apply", "-f", "-", stdin=changed)
    web.kubectl("apply", "-f", "-", stdin=WEB)


def test_label_annotate_patch_edit(web: Lab) -> None:
    web.kubectl("label", "deployment", "web", "tier=front")
    web.kubectl("annotate", "deployment", "web", "note=seen")
    web.kubectl("patch", "deployment", "web", "-p", '{"spec":{"minReadySeconds":1}}')
    web.kubectl("patch", "deployment", "web", "--type=merge", "-p", '{"spec":{"minReadySeconds":0}}')
    web.kubectl(
        "patch", "deployment", "web", "--type=json", "-p", '[{"op":"add","path":"/metadata/labels/x","value":"y"}]'
    )
    web.environment["KUBE_EDITOR"] = "sed -i s/tier:.front/tier:\\ back/"
    assert "edited" in web.kubectl("edit", "deployment", "web")
    labels = json.loads(web.kubectl("get", "deployment", "web", "-o", "json"))["metadata"]["labels"]
    assert labels == {"app": "web", "tier": "back", "x": "y"}


def test_scale_set_image_rollout(web: Lab) -> None:
    web.kubectl("scale", "deployment/web", "--replicas=3")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    web.kubectl("set", "image", "deployment/web", "app=hashicorp/http-echo:1.0")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    web.kubectl("rollout", "undo", "deployment/web")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    image = web.kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    assert image == "hashicorp/http-echo"
    web.kubectl("rollout", "restart", "deployment/web")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert "REVISION" in web.kubectl("rollout", "history", "deployment/web")


def test_logs_follow(web: Lab) -> None:
    web.kubectl(
        "run",
        "talker",
        "--image=busybox",
        "--",
        "sh",
        "-c",
        "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.1; done",
    )
    web.kubectl("wait", "--for=condition=Ready", "pod/talker", "--timeout=30s")
    follower = web.popen("kubectl", "logs", "-f", "talker", stdout=subprocess.PIPE)
    assert follower.stdout is not None
    try:
        lines = [follower.stdout.readline().strip() for _ in range(8)]
    finally:
        follower.kill()
        follower.wait()
        follower.stdout.close()
    assert lines == [f"line {number}" for number in range(1, 9)]
    web.kubectl("delete", "pod", "talker", "--grace-period=1")


def test_exec_with_a_terminal(web: Lab) -> None:
    master, slave = pty.openpty()
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen(
        ["kubectl", "exec", "-it", "deploy/client", "-c", "curl", "--", "sh"],
        stdin=slave, stdout=slave, stderr=slave, env=web.environment, cwd=web.home, start_new_session=True,
        **identity,  # type: ignore[call-overload]
    )  # fmt: skip
    os.close(slave)
    try:
        os.write(master, b"test -t 0 && echo it-is-$((40+2))\nexit 3\n")
        seen = b""
        deadline = time.monotonic() + 20
        while b"it-is-42" not in seen and time.monotonic() < deadline:
            if select.select([master], [], [], 0.2)[0]:
                seen += os.read(master, 4096)
        assert b"it-is-42" in seen
        assert process.wait(20) == 3
    finally:
        os.close(master)
        if process.poll() is None:
            process.kill()


def test_cp_both_ways(web: Lab) -> None:
    pod = web.kubectl("get", "pods", "-l", "app=client", "-o", "jsonpath={.items[0].metadata.name}")
    source = web.home / "there.txt"
    source.write_text("to the pod and back")
    source.chmod(0o644)
    web.kubectl("cp", str(source), f"{pod}:/tmp/there.txt", "-c", "curl")
    web.kubectl("cp", f"{pod}:/tmp/there.txt", "back.txt", "-c", "curl")
    assert (web.home / "back.txt").read_text() == "to the pod and back"


@pytest.mark.parametrize("target", ["deployment/web", "service/web"])
def test_port_forward(web: Lab, target: str) -> None:
    port = "80" if target.startswith("service") else "5678"
    forward = web.popen("kubectl", "port-forward", target, f":{port}", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert forward.stdout is not None and forward.stderr is not None
    try:
        line = forward.stdout.readline()
        local = line.split("127.0.0.1:")[1].split()[0]
        assert web.run("curl", "-s", f"http://127.0.0.1:{local}/").stdout.strip() == "hello from web"
    finally:
        forward.kill()
        forward.wait()
        forward.stdout.close()
        forward.stderr.close()


def test_explain_and_api_resources(web: Lab) -> None:
    assert "replicas" in web.kubectl("explain", "deployment.spec")
    assert "deployments" in web.kubectl("api-resources")
    assert "gateway.networking.k8s.io/v1" in web.kubectl("api-versions")


def test_an_unknown_image_says_which_there_are(web: Lab) -> None:
    web.kubectl("run", "stranger", "--image=example.com/nobody/knows:1")
    eventually(
        lambda: (
            "ImagePullBackOff" in web.kubectl("get", "pod", "stranger")
            or "ErrImagePull" in web.kubectl("get", "pod", "stranger")
        )
    )
    assert "http-echo" in eventually(lambda: web.kubectl("events", "--for", "pod/stranger"))
    web.kubectl("delete", "pod", "stranger")


def test_a_broken_manifest_changes_nothing(web: Lab) -> None:
    broken = WEB.replace("replicas: 2", "replicas: many")
    refused = web.run("kubectl", "apply", "-f", "-", stdin=broken, check=False)
    assert refused.returncode == 1
    assert "spec.replicas" in refused.stderr
    unknown = web.run("kubectl", "apply", "-f", "-", stdin=WEB.replace("replicas: 2", "replica: 2"), check=False)
    assert 'unknown field "spec.replica"' in unknown.stderr
