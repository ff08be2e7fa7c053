"""``http.status`` and ``http.all_succeed``: what a client gets from a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.grading import CheckContext, Evidence, NeedMore, Verdict, check, failed, passed

from . import clients

DEFAULT_REQUESTS = 200
WATCHES = (*clients.ROUTING, *clients.ADMITTING, "deployments.apps")
"""Whatever may change what a client gets."""


def judge_all_succeed(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if every request got a 200."""
    problem = clients.problem_verdict(evidence)
    if problem is not None:
        return problem
    requests = evidence.data["requests"]
    succeeded = requests["status"].get("200", 0)
    wanted = f"200 on every request to {params['url']}"
    if succeeded == requests["n"]:
        return passed("http.all-succeed", f"200 on {succeeded} of {requests['n']}", wanted=wanted)
    return failed(
        "http.some-fail",
        "observed",
        found=clients.describe_failures(requests),
        wanted=wanted,
        why=f"{requests['n'] - succeeded} of {requests['n']} requests of {params['from']} failed",
        hint="look at one of them: kubectl exec deploy/{} -c curl -- curl -sv {}".format(params["from"], params["url"]),
    )


@check("http.all_succeed", judge=judge_all_succeed, required=("from", "url"), optional=("requests",), watches=WATCHES)
def collect_all_succeed(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Send ``requests`` requests from the client."""
    return _collect(context, params, int(params.get("requests", DEFAULT_REQUESTS)))


def judge_status(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if the one request got the wanted status; not converged yet is waited for by the caller's ``within``."""
    problem = clients.problem_verdict(evidence)
    if problem is not None:
        return problem
    requests = evidence.data["requests"]
    wanted = str(params["want"])
    if requests["status"].get(wanted, 0) == requests["n"]:
        return passed("http.status", f"{wanted} from {params['url']}", wanted=wanted)
    return Verdict(
        "PENDING",
        "http.other-status",
        "observed",
        found=clients.describe_failures(requests),
        wanted=f"{wanted} from {params['url']}",
        why="the answer is another one",
        hint="kubectl exec deploy/{} -c curl -- curl -sv {}".format(params["from"], params["url"]),
    )


@check("http.status", judge=judge_status, required=("from", "url", "want"), watches=WATCHES)
def collect_status(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Send one request from the client."""
    return _collect(context, params, 1)


def _collect(context: CheckContext, params: Mapping[str, Any], requests: int) -> Evidence:
    try:
        client = clients.find(context, params["from"])
        replies = clients.send(context, client.namespace, client.pod, params["url"], requests)
    except clients.ClientProblem as problem:
        return clients.no_client(problem)
    data: dict[str, Any] = {"url": params["url"]}
    replies.add_to(data)
    return Evidence("requests", {"requests": data}, client.vantage())
