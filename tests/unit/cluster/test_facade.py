"""The seam against a small HTTP server in a thread: no cluster, no process."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshlab.cluster.facade import Cluster, NotFoundError, RefusedError
from meshlab.errors import ClusterUnreachable

VS = "networking.istio.io"
PODS = {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get", "list", "delete"]}
LISTS: dict[str, Any] = {
    "/version": {"gitVersion": "v1.37.1"},
    "/api/v1": {
        "resources": [
            PODS,
            {"name": "pods/log", "kind": "Pod", "namespaced": True, "verbs": ["get"]},
            {"name": "namespaces", "kind": "Namespace", "namespaced": False, "verbs": ["get", "list", "delete"]},
            {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]},
        ]
    },
    "/apis": {
        "groups": [
            {
                "name": VS,
                "versions": [{"version": "v1"}, {"version": "v1beta1"}],
                "preferredVersion": {"groupVersion": f"{VS}/v1"},
            }
        ]
    },
    f"/apis/{VS}/v1": {
        "resources": [{"name": "virtualservices", "kind": "VirtualService", "namespaced": True, "verbs": ["list", "delete"]}]
    },
    f"/apis/{VS}/v1beta1": {"resources": [{"name": "virtualservices", "kind": "VirtualService", "namespaced": True, "verbs": []}]},
}  # fmt: skip


class Recorder(ThreadingHTTPServer):
    """Answers from a table and notes what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, Any]] = {path: (200, body) for path, body in LISTS.items()}
        self.asked: list[tuple[str, str, Any, str]] = []

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    server: Recorder

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(
            (self.command, self.path, json.loads(body) if body else None, self.headers.get("Authorization", ""))
        )
        code, content = self.server.answers.get(
            f"{self.command} {self.path}", self.server.answers.get(self.path, (404, {"message": "no such thing"}))
        )
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


def kubeconfig(path: Path, server: str, **user: str) -> Path:
    named: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [{"name": "lab", "cluster": {"server": server}}],
        "users": [{"name": "lab", "user": user}],
    }
    path.write_text(yaml.safe_dump(named))
    return path


@pytest.fixture
def server() -> Iterator[Recorder]:
    recorder = Recorder()
    # The default poll makes every shutdown wait half a second.
    thread = threading.Thread(target=recorder.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield recorder
    recorder.shutdown()
    recorder.server_close()
    thread.join()


@pytest.fixture
def cluster(server: Recorder, tmp_path: Path) -> Iterator[Cluster]:
    opened = Cluster(kubeconfig(tmp_path / "config", f"http://127.0.0.1:{server.server_port}", token="secret"))
    yield opened
    opened.close()


def test_the_version_is_asked_with_the_users_token(cluster: Cluster, server: Recorder) -> None:
    assert cluster.version() == "v1.37.1"
    assert server.asked == [("GET", "/version", None, "Bearer secret")]


def test_an_object_is_found_by_plural_and_group(cluster: Cluster, server: Recorder) -> None:
    path = f"/apis/{VS}/v1/namespaces/default/virtualservices/myapp"
    server.answers[path] = (200, {"kind": "VirtualService"})
    assert cluster.get(f"virtualservices.{VS}", "myapp", "default") == {"kind": "VirtualService"}
    assert cluster.get(f"virtualservices.{VS}", "myapp", "default")
    # Discovery is remembered.
    assert server.paths == ["/apis", f"/apis/{VS}/v1", path, path]


def test_a_version_may_be_named(cluster: Cluster, server: Recorder) -> None:
    path = f"/apis/{VS}/v1beta1/namespaces/default/virtualservices/myapp"
    server.answers[path] = (200, {"kind": "VirtualService"})
    assert cluster.find(f"virtualservices.v1beta1.{VS}", "myapp", "default") is not None


def test_what_does_not_exist_is_found_to_be_none(cluster: Cluster) -> None:
    assert cluster.find("pods", "absent", "default") is None
    assert cluster.find("gateways.example.com", "absent", "default") is None
    assert cluster.list_objects("gateways.example.com") == []
    with pytest.raises(NotFoundError, match="this cluster knows no podz"):
        cluster.get("podz", "x", "default")


def test_items_of_a_list_carry_their_kind(cluster: Cluster, server: Recorder) -> None:
    server.answers["/api/v1/namespaces/default/pods?labelSelector=app%3Dclient"] = (
        200,
        {"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}]},
    )
    assert cluster.list_objects("pods", "default", label_selector="app=client") == [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    ]


def test_an_empty_list_may_be_null(cluster: Cluster, server: Recorder) -> None:
    server.answers["/api/v1/pods"] = (200, {"kind": "PodList", "apiVersion": "v1", "items": None})
    assert cluster.list_objects("pods") == []


def test_writing_sends_the_object(cluster: Cluster, server: Recorder) -> None:
    pods, pod = "/api/v1/namespaces/default/pods", {"metadata": {"name": "a", "namespace": "default"}}
    server.answers |= {pods: (201, pod), f"{pods}/a": (200, pod)}
    assert cluster.create("pods", pod, "default") == pod
    assert cluster.replace("pods", pod) == pod
    assert cluster.patch("pods", "a", {"x": None}, "default") == pod
    assert cluster.delete("pods", "a", "default", grace_s=1)
    assert [(method, path, body) for method, path, body, _ in server.asked[1:]] == [
        ("POST", pods, pod),
        ("PUT", f"{pods}/a", pod),
        ("PATCH", f"{pods}/a", {"x": None}),
        ("DELETE", f"{pods}/a", {"propagationPolicy": "Background", "gracePeriodSeconds": 1}),
    ]


def test_deleting_what_is_gone_is_no_error(cluster: Cluster) -> None:
    assert cluster.delete("pods", "absent", "default") is False


def test_kinds_are_found_by_discovery(cluster: Cluster) -> None:
    assert cluster.resource_of({"apiVersion": "v1", "kind": "Pod"}) == "pods"
    assert cluster.resource_of({"apiVersion": f"{VS}/v1", "kind": "VirtualService"}) == f"virtualservices.v1.{VS}"
    with pytest.raises(NotFoundError, match="knows no Pot in v1"):
        cluster.resource_of({"apiVersion": "v1", "kind": "Pot"})


def test_namespaced_kinds_are_those_that_can_be_listed_and_deleted(cluster: Cluster) -> None:
    assert cluster.namespaced_resources() == ["pods", f"virtualservices.v1.{VS}"]


@pytest.mark.parametrize(
    ("code", "body", "error", "said"),
    [
        (403, {"message": "no rights", "reason": "Forbidden"}, RefusedError, "no rights"),
        (401, {"message": "Unauthorized"}, ClusterUnreachable, "does not accept the credentials"),
        (404, {"message": "gone"}, NotFoundError, "gone"),
        (502, "bad gateway\n", RefusedError, "^bad gateway$"),
        (500, "", RefusedError, "HTTP 500"),
    ],
)
def test_refusals_keep_the_servers_words(
    cluster: Cluster, server: Recorder, code: int, body: Any, error: type[Exception], said: str
) -> None:
    server.answers["/version"] = (code, body)
    with pytest.raises(error, match=said):
        cluster.version()


def test_a_refusal_keeps_code_and_reason(cluster: Cluster, server: Recorder) -> None:
    server.answers["/version"] = (409, {"message": "m", "reason": "Conflict"})
    with pytest.raises(RefusedError) as caught:
        cluster.version()
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")


def test_a_cluster_that_does_not_answer_is_said_at_once(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ClusterUnreachable, match=rf"{address} does not answer: .*[Cc]onnection refused"):
            Cluster(kubeconfig(tmp_path / "config", address)).version()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "a: b", "{", "a: [\n", "clusters: 5\ncontexts: 6\n"],
    ids=["empty", "list", "other", "yaml", "y2", "wrong"],
)
def test_what_is_no_kubeconfig_is_said_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ClusterUnreachable, match="config cannot be used"):
        Cluster(path)


def test_a_missing_file_or_context_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachable, match="absent cannot be used"):
        Cluster(tmp_path / "absent")
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    with pytest.raises(ClusterUnreachable, match="other"):
        Cluster(path, "other")


def test_credentials_that_are_not_base64_are_said_in_words(tmp_path: Path) -> None:
    path = kubeconfig(
        tmp_path / "config", "https://127.0.0.1:1", **{"client-certificate-data": "x", "client-key-data": "y"}
    )
    with pytest.raises(ClusterUnreachable, match="cannot be used"):
        Cluster(path)


def test_a_service_is_asked_through_the_api_server(cluster: Cluster, server: Recorder) -> None:
    proxy = "/api/v1/namespaces/istio-system/services/https:kiali:20001/proxy"
    server.answers[f"{proxy}/kiali/api?duration=60s"] = (200, {"nodes": []})
    assert cluster.service_get("istio-system", "https:kiali", 20001, "/kiali/api", {"duration": "60s"}) == (
        200,
        '{"nodes": []}',
    )
    # What the Service itself answers is an answer, whatever its status.
    assert cluster.service_get("istio-system", "https:kiali", 20001)[0] == 404
    assert server.paths[-1] == f"{proxy}/"


def test_a_kind_that_is_gone_is_looked_up_anew(cluster: Cluster, server: Recorder) -> None:
    assert cluster.path_of("pods", "default") == "/api/v1/namespaces/default/pods"
    assert cluster.path_of("pods", "default") == "/api/v1/namespaces/default/pods"
    assert server.paths == ["/api/v1"]
    cluster.forget("pods")
    server.answers["/api/v1"] = (200, {"resources": []})
    with pytest.raises(NotFoundError):
        cluster.path_of("pods", "default")
    # What is not there is asked for each time: its definition may come.
    server.answers["/api/v1"] = (200, LISTS["/api/v1"])
    assert cluster.path_of("pods", None) == "/api/v1/pods"


def test_threads_share_a_cluster(cluster: Cluster) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: cluster.version(), range(64))) == {"v1.37.1"}
