"""Sends requests from a client of the exercise: one process that reuses its connection, as a real caller would."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshlab.errors import LabError
from meshlab.grading import CheckContext, Evidence, Verdict, failed, pending
from meshlab.grading.evidence import MAX_SAMPLES

from . import pods

REQUEST_TIMEOUT_S = 10
BATCH = 400
ROUTING = (
    "services",
    "virtualservices.networking.istio.io",
    "destinationrules.networking.istio.io",
    "httproutes.gateway.networking.k8s.io",
)
"""The kinds of object that decide where a request goes, to be watched."""
ADMITTING = ("peerauthentications.security.istio.io", "authorizationpolicies.security.istio.io")
"""The kinds that decide whether it is let in."""
CONTAINER = "curl"
"""The container of a client's pod that has curl."""
_MARK = "meshlab-status="
_WRITE_OUT = f"\\n{_MARK}%{{http_code}} %{{exitcode}}\\n"
_REPLY = re.compile(rf"(.*?)\n?{_MARK}(\d+) (\d+)\n", re.S)

_CURL_EXITS = {
    6: "the name cannot be resolved",
    7: "connection refused",
    28: "no answer in time",
    52: "the server closed the connection without an answer",
    55: "the connection broke",
    56: "connection reset",
}


@dataclass(slots=True)
class Replies:
    """Counts of what came back.

    Attributes:
        status: HTTP status, or ``000`` where there was none.
        first_words: first word of the body of each 200.
        exits: curl's exit code where there was no HTTP status.
    """

    total: int = 0
    status: Counter[str] = field(default_factory=Counter)
    first_words: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    samples: list[str] = field(default_factory=list)

    def add_to(self, data: dict[str, Any]) -> None:
        """Fold these counts into the ``requests`` part of an evidence."""
        data["n"] = data.get("n", 0) + self.total
        for key, counter in (("status", self.status), ("by", self.first_words), ("exits", self.exits)):
            merged = Counter(data.get(key) or {})
            merged.update(counter)
            data[key] = dict(sorted(merged.items()))
        data["samples"] = (data.get("samples", []) + self.samples)[:MAX_SAMPLES]


class ClientProblem(Exception):
    """The client cannot send; carries the verdict that says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.found)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class ClientPod:
    """A running pod that sends a check's requests."""

    name: str
    """The client's name in the exercise, which is also its pods' label ``app``."""
    namespace: str
    pod: str
    account: str
    has_proxy: bool

    def vantage(self) -> dict[str, str]:
        """Whose eyes an evidence was seen with."""
        return {
            "namespace": self.namespace,
            "pod": self.name,
            "identity": f"spiffe://cluster.local/ns/{self.namespace}/sa/{self.account}",
            "probe": "exercise",
        }


def find(context: CheckContext, name: str) -> ClientPod:
    """The newest ready pod of a client.

    Raises:
        ClientProblem: there is none.
    """
    client = context.exercise.clients.get(name)
    namespace = client.namespace if client else context.namespace()
    labelled = context.cluster.list_objects("pods", namespace, label_selector=f"app={name}")
    living = [pod for pod in labelled if not pods.is_leaving(pod)]
    wanted = f"a running pod with label app={name} in namespace {namespace}"
    if not living:
        raise ClientProblem(
            pending(
                "client.missing",
                "declared",
                found=f"no pod with label app={name} in namespace {namespace}",
                wanted=wanted,
                why="the exercise's client is gone",
                hint=f"meshlab reset {context.exercise.id} brings it back",
            )
        )
    ready = [pod for pod in living if pods.is_ready(pod)]
    if not ready:
        raise ClientProblem(
            pending(
                "client.not-ready",
                "declared",
                found=f"pod {living[0]['metadata']['name']} is not ready",
                wanted=wanted,
                why=pods.waiting_reason(living[0]),
                hint=f"kubectl describe pod -n {namespace} {living[0]['metadata']['name']}",
            )
        )
    # While a Deployment is rolled out, the old pod still runs beside the new one.
    newest = max(ready, key=lambda pod: pod["metadata"].get("creationTimestamp", ""))
    account = client.service_account if client else newest["spec"].get("serviceAccountName", "default")
    return ClientPod(name, namespace, newest["metadata"]["name"], account, pods.has_proxy(newest["spec"]))


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request got: a status and a body, or curl's exit code where there was no answer (status ``000``)."""

    status: str
    exit_code: str
    body: str = ""


def fetch(context: CheckContext, namespace: str, pod: str, url: str) -> Reply:
    """Send one request and keep its body."""
    command = ["curl", "-sS", "--max-time", str(REQUEST_TIMEOUT_S), "--write-out", _WRITE_OUT, url]
    found = _REPLY.findall(_curl(context, namespace, pod, command).stdout)
    if not found:
        raise LabError(f"curl in {namespace}/{pod} sent nothing to {url}")
    body, status, exit_code = found[0]
    return Reply(status, exit_code, body)


def fetch_anew(context: CheckContext, namespace: str, pod: str, urls: Sequence[str]) -> list[Reply]:
    """Ask every URL on a connection of its own, in one process; bodies are dropped."""
    command = ["curl", "-sS", "--max-time", str(REQUEST_TIMEOUT_S), "-H", "Connection: close"]
    command += ["--write-out", _WRITE_OUT]
    for url in urls:
        command += ["-o", "/dev/null", url]
    found = _REPLY.findall(_curl(context, namespace, pod, command).stdout)
    if len(found) != len(urls):
        raise LabError(f"curl in {namespace}/{pod} was asked for {len(urls)} answers and told of {len(found)}")
    return [Reply(status, exit_code) for _, status, exit_code in found]


def outcome(reply: Mapping[str, Any]) -> str:
    """``503`` or ``connection reset``: what a stored reply amounts to."""
    if reply["status"] != "000":
        return str(reply["status"])
    return _CURL_EXITS.get(int(reply["exit"]), f"curl exit {reply['exit']}")


def send(context: CheckContext, namespace: str, pod: str, url: str, requests: int) -> Replies:
    """Send requests one after the other over one connection; several processes if there are many."""
    replies = Replies()
    while replies.total < requests:
        context.stop_if_overtaken()
        _send_batch(context, namespace, pod, url, min(BATCH, requests - replies.total), replies)
    return replies


def _send_batch(context: CheckContext, namespace: str, pod: str, url: str, requests: int, replies: Replies) -> None:
    numbered = f"{url}{'&' if '?' in url else '?'}n=[1-{requests}]"
    command = ["curl", "-sS", "--max-time", str(REQUEST_TIMEOUT_S), "--write-out", _WRITE_OUT, numbered]
    # Enough for a batch of fast failures; a batch of slow ones ends with what has come so far.
    result = _curl(context, namespace, pod, command)
    found = _REPLY.findall(result.stdout)
    if not found:
        raise LabError(
            f"curl in {namespace}/{pod} sent nothing: {result.stderr.strip() or f'exit code {result.exit_code}'}",
            hint=f"kubectl exec -n {namespace} {pod} -c {CONTAINER} -- curl -v {url}",
        )
    for body, status, exit_code in found:
        replies.total += 1
        replies.status[status] += 1
        if status == "000":
            replies.exits[exit_code] += 1
        if status == "200":
            replies.first_words[(body.split() or [""])[0]] += 1
        elif len(replies.samples) < MAX_SAMPLES:
            replies.samples.append(body.strip()[:200])


def _curl(context: CheckContext, namespace: str, pod: str, command: Sequence[str]) -> Any:
    return context.cluster.exec(namespace, pod, CONTAINER, command, timeout_s=REQUEST_TIMEOUT_S * 6)


def describe_failures(requests: Mapping[str, Any]) -> str:
    """``503 on 12 of 200``, ``connection reset on 200 of 200``: everything that is not a 200."""
    parts = []
    if not requests.get("n"):
        return "nothing was sent yet"
    for status, count in (requests.get("status") or {}).items():
        if status == "000":
            continue
        if status != "200":
            parts.append(f"{status} on {count} of {requests['n']}")
    for code, count in (requests.get("exits") or {}).items():
        parts.append(f"{_CURL_EXITS.get(int(code), f'curl exit {code}')} on {count} of {requests['n']}")
    return ", ".join(parts) or f"200 on {requests['n']} of {requests['n']}"


def no_client(problem: ClientProblem) -> Evidence:
    """Evidence that says only why nothing could be sent."""
    return Evidence("objects", {"problem": problem.verdict.to_json()})


def problem_verdict(evidence: Evidence) -> Verdict | None:
    """The verdict stored by `no_client`, if that is what the evidence is."""
    stored = evidence.data.get("problem")
    if stored is None:
        return None
    maker = pending if stored["verdict"] == "PENDING" else failed
    return maker(
        stored["code"],
        stored["rung"],
        found=stored["found"],
        wanted=stored["wanted"],
        why=stored["why"],
        hint=stored["try"],
    )
