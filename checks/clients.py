"""Sends requests from a client of the exercise: one process that reuses its connection, as a real caller would."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshlab.errors import LabError
from meshlab.grading import CheckContext, Evidence, Verdict, failed, pending
from meshlab.grading.evidence import MAX_SAMPLES

REQUEST_TIMEOUT_S = 10
BATCH = 400
ROUTING = (
    "services",
    "virtualservices.networking.istio.io",
    "destinationrules.networking.istio.io",
    "httproutes.gateway.networking.k8s.io",
)
"""The kinds of object that decide where a request goes, to be watched."""
_MARK = "meshlab-status="
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


def find_client(context: CheckContext, name: str) -> tuple[str, str]:
    """(namespace, pod) of a running client.

    Raises:
        ClientProblem: there is none.
    """
    client = context.exercise.clients.get(name)
    namespace = client.namespace if client else context.namespace()
    pods = context.cluster.list_objects("pods", namespace, label_selector=f"app={name}")
    living = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
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
    ready = [pod for pod in living if _is_ready(pod)]
    if not ready:
        raise ClientProblem(
            pending(
                "client.not-ready",
                "declared",
                found=f"pod {living[0]['metadata']['name']} is not ready",
                wanted=wanted,
                why=_waiting_reason(living[0]),
                hint=f"kubectl describe pod -n {namespace} {living[0]['metadata']['name']}",
            )
        )
    return namespace, ready[0]["metadata"]["name"]


def send(context: CheckContext, namespace: str, pod: str, url: str, requests: int, container: str = "curl") -> Replies:
    """Send requests one after the other over one connection; several processes if there are many."""
    replies = Replies()
    while replies.total < requests:
        context.stop_if_overtaken()
        _send_batch(context, namespace, pod, container, url, min(BATCH, requests - replies.total), replies)
    return replies


def _send_batch(
    context: CheckContext, namespace: str, pod: str, container: str, url: str, requests: int, replies: Replies
) -> None:
    joiner = "&" if "?" in url else "?"
    command = [
        "curl",
        "-sS",
        "--max-time",
        str(REQUEST_TIMEOUT_S),
        "--write-out",
        f"\\n{_MARK}%{{http_code}} %{{exitcode}}\\n",
        f"{url}{joiner}n=[1-{requests}]",
    ]
    # Enough for a batch of fast failures; a batch of slow ones ends with what has come so far.
    result = context.cluster.exec(namespace, pod, container, command, timeout_s=REQUEST_TIMEOUT_S * 6)
    found = _REPLY.findall(result.stdout)
    if not found:
        raise LabError(
            f"curl in {namespace}/{pod} sent nothing: {result.stderr.strip() or f'exit code {result.exit_code}'}",
            hint=f"kubectl exec -n {namespace} {pod} -c {container} -- curl -v {url}",
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


def vantage(namespace: str, pod: str, context: CheckContext, name: str) -> dict[str, str]:
    """Whose eyes the evidence was seen with."""
    client = context.exercise.clients.get(name)
    account = client.service_account if client else "default"
    return {
        "namespace": namespace,
        "pod": name,
        "identity": f"spiffe://cluster.local/ns/{namespace}/sa/{account}",
        "probe": "exercise",
    }


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


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def _waiting_reason(pod: dict[str, Any]) -> str:
    status = pod.get("status") or {}
    for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return f"container {container['name']}: {waiting.get('reason')} {waiting.get('message', '')}".strip()
    return "it is still starting"
