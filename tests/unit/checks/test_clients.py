"""Finding a client and sending from it, against a cluster that is a few lines of Python."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest

from checks import clients
from meshlab.cluster.facade import Cluster, ExecResult
from meshlab.errors import LabError
from meshlab.grading.registry import CheckContext
from tests.fakes.grading import exercise


class OneNamespace:
    """A cluster with some pods, in which curl gets what a function says."""

    def __init__(self, *pods: dict[str, Any], stderr: str = "") -> None:
        self.pods = pods
        self.stderr = stderr
        self.batches: list[int] = []
        self.urls: list[str] = []
        self.selected: tuple[str | None, str] | None = None

    def list_objects(self, resource: str, namespace: str | None = None, *, label_selector: str = "") -> list[Any]:
        assert resource == "pods"
        self.selected = (namespace, label_selector)
        return list(self.pods)

    def exec(self, namespace: str, pod: str, container: str, command: list[str], *, timeout_s: float) -> ExecResult:
        if self.stderr:
            return ExecResult("", self.stderr, 6)
        url = command[-1]
        match = re.search(r"n=\[1-(\d+)\]$", url)
        assert match is not None
        self.urls.append(url)
        self.batches.append(int(match[1]))
        reply = command[command.index("--write-out") + 1].replace("\\n", "\n")
        said = ["v1 of myapp", "", "no healthy upstream", ""]
        codes = [("200", "0"), ("200", "0"), ("503", "0"), ("000", "56")]
        text = ""
        for number in range(int(match[1])):
            status, code = codes[number % 4]
            text += said[number % 4] + reply.replace("%{http_code}", status).replace("%{exitcode}", code)
        return ExecResult(text, "", 0)


def context(cluster: OneNamespace) -> CheckContext:
    return CheckContext(cast(Cluster, cluster), exercise())


def pod(
    name: str, *, ready: bool = True, deleted: bool = False, waiting: str = "", created: str = "2026-11-23T10:00:00Z"
) -> dict[str, Any]:
    statuses = [{"name": "curl", "state": {"waiting": {"reason": waiting, "message": "m"}}}] if waiting else []
    return {
        "metadata": {"name": name, "creationTimestamp": created} | ({"deletionTimestamp": "t"} if deleted else {}),
        "spec": {"containers": [{"name": "curl"}], "serviceAccountName": "other"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": statuses,
        },
    }


def test_a_ready_pod_is_the_client() -> None:
    cluster = OneNamespace(pod("old", deleted=True), pod("new", ready=False), pod("good"))
    assert clients.find(context(cluster), "client") == clients.ClientPod("client", "default", "good", "client", False)
    assert cluster.selected == ("default", "app=client")


def test_of_two_ready_pods_the_newer_one_sends() -> None:
    cluster = OneNamespace(pod("new", created="2026-11-23T10:00:01Z"), pod("old"))
    assert clients.find(context(cluster), "client").pod == "new"
    assert clients.find(context(cluster), "stranger").account == "other"


@pytest.mark.parametrize(
    ("pods", "code", "why"),
    [
        ([], "client.missing", "the exercise's client is gone"),
        ([pod("a", deleted=True)], "client.missing", "the exercise's client is gone"),
        ([pod("a", ready=False)], "client.not-ready", "it is still starting"),
        (
            [pod("a", ready=False, waiting="ImagePullBackOff")],
            "client.not-ready",
            "container curl: ImagePullBackOff m",
        ),
    ],
)
def test_a_client_that_cannot_send_says_why(pods: list[dict[str, Any]], code: str, why: str) -> None:
    with pytest.raises(clients.ClientProblem) as caught:
        clients.find(context(OneNamespace(*pods)), "client")
    verdict = caught.value.verdict
    assert (verdict.outcome, verdict.code, verdict.why) == ("PENDING", code, why)


def test_many_requests_go_in_batches_and_are_counted() -> None:
    cluster = OneNamespace()
    replies = clients.send(context(cluster), "default", "good", "http://myapp/", 1000)
    assert cluster.batches == [400, 400, 200]
    assert (replies.total, dict(replies.status)) == (1000, {"200": 500, "503": 250, "000": 250})
    assert dict(replies.first_words) == {"v1": 250, "": 250}
    assert dict(replies.exits) == {"56": 250}
    assert replies.samples[0] == "no healthy upstream"
    assert len(replies.samples) == 20


def test_a_query_of_the_url_is_kept() -> None:
    cluster = OneNamespace()
    clients.send(context(cluster), "default", "good", "http://myapp/?a=b", 3)
    assert cluster.urls == ["http://myapp/?a=b&n=[1-3]"]


def test_a_curl_that_does_not_run_is_the_labs_fault() -> None:
    with pytest.raises(LabError, match="sent nothing: no such program"):
        clients.send(context(OneNamespace(stderr="no such program")), "default", "good", "http://myapp/", 3)


class OneReply(OneNamespace):
    """A cluster in which every URL gets one and the same reply."""

    def __init__(self, status: str, exit_code: str, body: str = "") -> None:
        super().__init__()
        self.reply = (status, exit_code, body)

    def exec(self, namespace: str, pod: str, container: str, command: list[str], *, timeout_s: float) -> ExecResult:
        self.command = command
        mark = command[command.index("--write-out") + 1].replace("\\n", "\n")
        status, exit_code, body = self.reply
        asked = [word for word in command if word.startswith("http")]
        text = (body + mark.replace("%{http_code}", status).replace("%{exitcode}", exit_code)) * len(asked)
        return ExecResult(text, "", int(exit_code))


def test_one_request_keeps_its_body() -> None:
    reply = clients.fetch(context(OneReply("200", "0", '{"a":\n 1}')), "default", "good", "http://myapp/headers")
    assert reply == clients.Reply("200", "0", '{"a":\n 1}')


def test_new_connections_are_asked_for() -> None:
    cluster = OneReply("000", "56")
    replies = clients.fetch_anew(context(cluster), "default", "good", ["http://a/", "http://b/"])
    assert replies == [clients.Reply("000", "56")] * 2
    assert "Connection: close" in cluster.command
    assert [clients.outcome({"status": each.status, "exit": each.exit_code}) for each in replies] == [
        "connection reset",
        "connection reset",
    ]
    assert clients.outcome({"status": "403", "exit": "0"}) == "403"
