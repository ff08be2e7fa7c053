"""``answer.*``: what a learner hands in, held against the present state of the cluster and never against a constant.

Answers lie in a ConfigMap of the exercise's namespace, one key per task, so they pass the one seam and judge alike
from any machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from meshlab.grading import CheckContext, Evidence, NeedMore, Verdict, check, failed, passed, pending

from . import clients, http, identity

MAX_LENGTH = 500
_SEPARATORS = re.compile(r"[\s,;]+")
_QUOTES = " \t\r\n\"'`."


def given(context: CheckContext, task: str) -> str:
    """What was handed in for a task, without white space and quotation marks around it; empty if nothing was."""
    found = context.cluster.find("configmaps", f"meshlab-answers-{context.exercise.id}", context.namespace())
    return str(((found or {}).get("data") or {}).get(task, "")).strip(_QUOTES)[:MAX_LENGTH]


def missing(task: str, exercise: str, wanted: str) -> Verdict:
    """The verdict while there is no answer."""
    return failed(
        "answer.missing",
        "declared",
        found="no answer was handed in",
        wanted=wanted,
        why="this task is a question",
        hint=f"meshlab answer {exercise}/{task} ANSWER",
    )


def judge_deployments(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if the names handed in are exactly those of the offered Deployments that exist."""
    data, offered = evidence.data, list(params["among"])
    namespace = params["namespace"]
    wanted = f"those of {', '.join(offered)} that are Deployments in {namespace} now, and no other"
    if not data["answer"]:
        return missing(params["task"], data["exercise"], wanted)
    if not data["present"]:
        return failed(
            "answer.too-early",
            "declared",
            found=f"none of {', '.join(offered)} is in {namespace}",
            wanted=wanted,
            why="the question is about what an installation brought, and nothing is installed yet",
            hint="install first, look, then answer",
        )
    named = {word.removeprefix("deployment/").lower() for word in _SEPARATORS.split(data["answer"]) if word}
    unknown = sorted(named - set(offered))
    if unknown:
        return failed(
            "answer.not-offered",
            "declared",
            found=f"the answer names {', '.join(unknown)}",
            wanted=wanted,
            why="only the names in the question count",
            hint="names separated by commas or spaces, as kubectl prints them",
        )
    absent, forgotten = sorted(named - set(data["present"])), sorted(set(data["present"]) - named)
    if absent:
        return failed(
            "answer.not-there",
            "observed",
            found=f"the answer names {', '.join(absent)}, and {namespace} has no such Deployment",
            wanted=wanted,
            why="add-ons come with the release as samples; no profile installs them",
            hint=f"kubectl get deployments -n {namespace}",
        )
    if forgotten:
        return failed(
            "answer.incomplete",
            "observed",
            found=f"{len(named)} of {len(data['present'])} are named",
            wanted=wanted,
            why=f"there is more of the five in {namespace} than the answer says",
            hint=f"kubectl get deployments -n {namespace}",
        )
    return passed("answer.right", f"{', '.join(sorted(named))}: as it is now", wanted=wanted)


@check(
    "answer.deployments",
    judge=judge_deployments,
    required=("task", "namespace", "among"),
    watches=("deployments.apps",),
)
def collect_deployments(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Read the answer, and which of the offered Deployments exist."""
    names = {obj["metadata"]["name"] for obj in context.cluster.list_objects("deployments.apps", params["namespace"])}
    return Evidence(
        "answer",
        {
            "exercise": context.exercise.id,
            "answer": given(context, params["task"]),
            "present": sorted(names & set(params["among"])),
        },
    )


def judge_identity(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if the SPIFFE ID handed in is the one that the receiver sees behind the client's request."""
    problem = clients.problem_verdict(evidence)
    if problem is not None:
        return problem
    data, answer = evidence.data, evidence.data["answer"]
    wanted = f"the SPIFFE ID of {params['from']}, as the receiver of its request sees it"
    if not answer:
        return missing(params["task"], data["exercise"], wanted)
    seen = data["seen"].get("uri", "")
    if not seen:
        return pending(
            "answer.nothing-seen",
            "observed",
            found=f"{params['url']} answered {clients.outcome(data['reply'])}, and shows no identity of its caller",
            wanted=wanted,
            why="without mutual TLS between both sidecars there is nothing to see",
            hint=f"kubectl exec deploy/{params['from']} -c curl -- curl -s {params['url']}",
        )
    if answer == seen:
        return passed("answer.right", f"{answer}: as the receiver sees it now", wanted=wanted)
    if f"spiffe://{answer}" == seen:
        return failed(
            "answer.no-scheme",
            "observed",
            found=f"the answer is {answer}",
            wanted=wanted,
            why="a SPIFFE ID begins with spiffe://; only the principals of an AuthorizationPolicy leave that out",
            hint="hand in the whole of it",
        )
    if answer == data["seen"].get("by"):
        return failed(
            "answer.receivers-own",
            "observed",
            found=f"{answer} is the identity of the receiver itself",
            wanted=wanted,
            why="the header names both: By= is the one who received the request",
            hint="which field of X-Forwarded-Client-Cert names the caller?",
        )
    return failed(
        "answer.other-identity",
        "observed",
        found=f"the answer is {answer}, and the receiver sees another one",
        wanted=wanted,
        why="an identity is made of namespace and ServiceAccount, not of pod, Deployment or label",
        hint=f"ask as the client: curl -s {params['url']}, and read X-Forwarded-Client-Cert",
    )


@check("answer.identity", judge=judge_identity, required=("task", "from", "url"), watches=http.WATCHES)
def collect_identity(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Read the answer, and ask the receiver what it sees; nobody is asked before there is an answer."""
    data: dict[str, Any] = {
        "exercise": context.exercise.id,
        "answer": given(context, params["task"]),
        "reply": {"status": "", "exit": ""},
        "seen": {},
    }
    if not data["answer"]:
        return Evidence("answer", data)
    try:
        client = clients.find(context, params["from"])
        reply = clients.fetch(context, client.namespace, client.pod, params["url"])
    except clients.ClientProblem as problem:
        return clients.no_client(problem)
    data["reply"] = {"status": reply.status, "exit": reply.exit_code}
    data["seen"] = identity.seen(reply.body)
    return Evidence("answer", data, client.vantage())
