"""Watches against a small HTTP server whose lists and streams a test plays by hand."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from meshlab.cluster import watch as watching
from meshlab.cluster.facade import Cluster, Stop, WatchEvent
from meshlab.errors import ClusterUnreachable

BREAK, END = object(), object()


def pod(name: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


class Server(ThreadingHTTPServer):
    """Serves one kind, ``pods``; each watch request plays what the test puts into ``events``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.known = True
        self.items: list[dict[str, Any]] = []
        self.version = 1
        self.events: queue.Queue[Any] = queue.Queue()
        self.watched_from: queue.Queue[str] = queue.Queue()

    def play(self, kind: str, obj: dict[str, Any]) -> None:
        self.events.put({"type": kind, "object": obj})


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/api/v1":
            pods = [{"name": "pods", "kind": "Pod", "namespaced": True}] if self.server.known else []
            self.reply({"resources": pods})
        elif "watch" in parse_qs(url.query):
            self.stream(parse_qs(url.query)["resourceVersion"][0])
        else:
            metadata = {"resourceVersion": str(self.server.version)}
            self.reply({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": self.server.items})

    def reply(self, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def stream(self, version: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.server.watched_from.put(version)
        while (event := self.server.events.get()) not in (BREAK, END):
            # One event in two chunks: a chunk need not be a line.
            text = json.dumps(event).encode() + b"\n"
            for part in (text[:9], text[9:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if event is END:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    for _ in range(20):
        running.events.put(BREAK)
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def stop() -> Iterator[Stop]:
    made = Stop()
    yield made
    made.set()


@pytest.fixture
def watch(
    server: Server, stop: Stop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Iterator[WatchEvent]]:
    for name in ("UNKNOWN_KIND_POLL_S", "FIRST_RETRY_S", "LAST_RETRY_S", "REFUSED_RETRY_S"):
        monkeypatch.setattr(watching, name, 0.01)
    config = {
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [{"name": "lab", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "lab", "user": {}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    cluster = Cluster(tmp_path / "config")
    yield cluster.watch("pods", "default", stop=stop)
    cluster.close()


def brief(event: WatchEvent) -> tuple[str, str]:
    return event.type, event.object.get("metadata", {}).get("name", "")


def test_first_what_exists_then_what_changes(server: Server, watch: Iterator[WatchEvent]) -> None:
    server.items, server.version = [pod("a", 3)], 7
    assert [brief(next(watch)), brief(next(watch))] == [("ADDED", "a"), ("SYNCED", "")]
    server.play("MODIFIED", pod("a", 8))
    server.play("DELETED", pod("a", 9))
    assert [brief(next(watch)), brief(next(watch))] == [("MODIFIED", "a"), ("DELETED", "a")]
    assert server.watched_from.get() == "7"


def test_a_blocked_watch_ends_at_once(server: Server, stop: Stop, watch: Iterator[WatchEvent]) -> None:
    rest: list[WatchEvent] = []
    reader = threading.Thread(target=lambda: rest.extend(watch))
    reader.start()
    server.watched_from.get()
    asked = time.monotonic()
    stop.set()
    reader.join(5)
    assert not reader.is_alive()
    assert time.monotonic() - asked < 0.2
    assert [brief(event) for event in rest] == [("SYNCED", "")]


def test_an_ended_watch_goes_on_from_the_last_bookmark(server: Server, watch: Iterator[WatchEvent]) -> None:
    next(watch)
    server.play("BOOKMARK", pod("", 40))
    server.events.put(END)
    server.play("ADDED", pod("a", 41))
    assert brief(next(watch)) == ("ADDED", "a")
    assert [server.watched_from.get() for _ in range(2)] == ["1", "40"]


def test_an_expired_version_costs_no_change(server: Server, watch: Iterator[WatchEvent]) -> None:
    server.items = [pod("gone", 1), pod("moved", 1), pod("same", 1)]
    assert [next(watch).type for _ in range(4)] == ["ADDED"] * 3 + ["SYNCED"]
    server.items, server.version = [pod("moved", 5), pod("same", 1), pod("new", 6)], 9
    server.play("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
    told = [next(watch) for _ in range(4)]
    assert [brief(event) for event in told] == [
        ("DELETED", "gone"), ("MODIFIED", "moved"), ("ADDED", "new"), ("SYNCED", ""),
    ]  # fmt: skip
    assert told[0].object["metadata"]["resourceVersion"] == "1"


def test_a_broken_connection_is_told_and_survived(server: Server, watch: Iterator[WatchEvent]) -> None:
    next(watch)
    server.events.put(BREAK)
    server.items = [pod("meanwhile", 2)]
    assert [brief(next(watch)) for _ in range(3)] == [("LOST", ""), ("ADDED", "meanwhile"), ("SYNCED", "")]


def test_a_kind_is_picked_up_when_the_cluster_learns_of_it(server: Server, watch: Iterator[WatchEvent]) -> None:
    server.known = False
    assert brief(next(watch)) == ("SYNCED", "")
    server.known, server.items = True, [pod("a", 1)]
    assert [brief(next(watch)), brief(next(watch))] == [("ADDED", "a"), ("SYNCED", "")]


def test_what_waits_for_a_stop_is_called_once_and_at_once_if_it_is_late() -> None:
    stop, called = Stop(), list[str]()
    stop.on_set(lambda: called.append("early"))
    stop.on_set(lambda: called.append("withdrawn"))()
    stop.set()
    stop.set()
    stop.on_set(lambda: called.append("late"))
    assert called == ["early", "late"]


def test_a_dead_cluster_is_told_once(
    server: Server, stop: Stop, watch: Iterator[WatchEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    def dead(*args: object) -> Any:
        attempts.append("list")
        if len(attempts) == 5:
            stop.set()
        raise ClusterUnreachable("gone")

    monkeypatch.setattr(watching, "_list", dead)
    assert [brief(event) for event in watch] == [("LOST", "")]
    assert len(attempts) == 5
