"""``kiali.absent``, ``kiali.reachable``, ``kiali.graph``, ``answer.plain_edge``: Kiali, asked as its own page asks it.

The way in is the API server's service proxy, which works on any cluster with the rights of whoever checks. A graph is
made of metrics, which are collected every few seconds: an edge that is not there yet is PENDING, not wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.errors import ClusterUnreachable, LabError
from meshlab.grading import CheckContext, Evidence, NeedMore, Verdict, check, failed, passed, pending

from . import answers, pods

ISTIO_NAMESPACE = "istio-system"
NAME = "kiali"
DEFAULT_SECONDS = 120
_PROXY = f"/api/v1/namespaces/{ISTIO_NAMESPACE}/services/http:{NAME}:20001/proxy/kiali/api"
_WATCHES = ("deployments.apps", "services")


def judge_absent(evidence: Evidence, _params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if no Kiali runs in Istio's namespace."""
    wanted = f"no Kiali in {ISTIO_NAMESPACE}"
    if not evidence.data["deployment"]:
        return passed("kiali.absent", wanted, rung="declared", wanted=wanted)
    return failed(
        "kiali.present",
        "declared",
        found=f"Kiali is in {ISTIO_NAMESPACE} already",
        wanted=wanted,
        why="the exercise is to bring it and to reach it",
        hint="use a lab of its own (meshlab --lab NAME start ...), or take it away: kubectl delete -f KIALI'S MANIFEST",
    )


@check("kiali.absent", judge=judge_absent, watches=("deployments.apps",))
def collect_absent(context: CheckContext, _params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Look for Kiali's Deployment."""
    return Evidence("objects", {"deployment": _deployment(context) is not None})


def judge_reachable(evidence: Evidence, _params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if Kiali answers through its Service and says that it runs."""
    stopped = judge_kiali(evidence, f"Kiali answers at its Service {ISTIO_NAMESPACE}/{NAME}, port 20001")
    return stopped or passed("kiali.reachable", f"Kiali {evidence.data['version']} answers and is running")


@check("kiali.reachable", judge=judge_reachable, watches=_WATCHES)
def collect_reachable(context: CheckContext, _params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Ask Kiali for its status."""
    return Evidence("objects", _kiali(context))


def judge_kiali(evidence: Evidence, wanted: str) -> Verdict | None:
    """Why Kiali cannot be asked; None if it can."""
    data = evidence.data
    if not data["deployment"]:
        return failed(
            "kiali.not-installed",
            "declared",
            found=f"there is no Deployment {NAME} in namespace {ISTIO_NAMESPACE}",
            wanted=wanted,
            why="Kiali is an add-on: no profile of Istio's brings it",
            hint="which directory of an Istio release holds the add-ons? In the lab: ls $MESHLAB_SAMPLES/addons",
        )
    if data["unavailable"]:
        return pending(
            "kiali.not-ready",
            "accepted",
            found="Kiali's Deployment has no available pod yet",
            wanted=wanted,
            why=data["unavailable"],
            hint=f"kubectl get pods -n {ISTIO_NAMESPACE} -l app={NAME}",
        )
    if data["refused"] or data["state"] != "running":
        return pending(
            "kiali.no-answer",
            "observed",
            found=f"Kiali does not answer as it should: {data['refused'] or data['state'] or 'no state'}",
            wanted=wanted,
            why="its pod runs, but its Service does not lead to an answer",
            hint=f"kubectl get service,endpointslices -n {ISTIO_NAMESPACE} -l app={NAME}",
        )
    return None


def judge_graph(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if the graph has an edge from the client to every destination."""
    data, client = evidence.data, params["from"]
    wanted = f"the graph shows edges from {client} to {', '.join(params['to'])}"
    stopped = judge_kiali(evidence, wanted)
    if stopped is not None:
        return stopped
    edges = data["edges"]
    drawn = {edge["to"] for edge in edges if edge["from"] == client}
    lacking = [name for name in params["to"] if name not in drawn]
    if not lacking:
        rates = ", ".join(
            f"{edge['to']} {edge['rate']}/s" for edge in edges if edge["from"] == client and edge["to"] in params["to"]
        )
        return passed("graph.edges", f"edges from {client}: {rates}", wanted=wanted)
    others = sorted({edge["from"] for edge in edges if edge["to"] in lacking})
    if others:
        called = sorted({edge["to"] for edge in edges if edge["to"] in lacking})
        return pending(
            "graph.other-caller",
            "observed",
            found=f"{', '.join(called)} got requests, but from {', '.join(others)}",
            wanted=wanted,
            why="a caller without a sidecar has no name in the graph: it is drawn as unknown"
            if "unknown" in others
            else "the graph draws who really called",
            hint=f"send from the pod of {client} in namespace {data['namespace']}",
        )
    return pending(
        "graph.no-edge" if edges else "graph.empty",
        "observed",
        found=f"no edge from {client} to {', '.join(lacking)} in the last {data['seconds']} s"
        + ("" if edges else "; the graph of the namespace has no edge at all"),
        wanted=wanted,
        why="a graph is made of requests, not of objects: where nobody calls, there is nothing to draw",
        hint=f"let {client} call for a minute, in a loop, and look again",
    )


@check("kiali.graph", judge=judge_graph, required=("from", "to"), optional=("seconds",), watches=_WATCHES)
def collect_graph(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Ask Kiali for the graph of the exercise's namespace; nothing is sent, the edges are to be the learner's own."""
    return Evidence("objects", _kiali(context) | _graph(context, params))


def judge_plain_edge(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if the workload handed in is the end of the client's only edge without mutual TLS."""
    data, client = evidence.data, params["from"]
    wanted = f"the destination of the edge from {client} that is not mutual TLS"
    if not data["answer"]:
        return answers.missing(params["task"], data["exercise"], wanted)
    stopped = judge_kiali(evidence, wanted)
    if stopped is not None:
        return stopped
    mine = {edge["to"]: edge["mtls"] for edge in data["edges"] if edge["from"] == client}
    plain = sorted(name for name, mutual in mine.items() if not mutual)
    answer = data["answer"].lower().removeprefix("deployment/").partition(".")[0]
    if answer not in mine:
        return pending(
            "answer.no-such-edge",
            "observed",
            found=f"the graph has no edge from {client} to {answer} in the last {data['seconds']} s",
            wanted=wanted,
            why="an answer is held against the graph as it is now, and nobody called that workload of late",
            hint=f"the graph has edges from {client} to: {', '.join(sorted(mine)) or 'nobody; send some traffic'}",
        )
    if answer not in plain:
        return failed(
            "answer.mutual-tls",
            "observed",
            found=f"the edge from {client} to {answer} is mutual TLS",
            wanted=wanted,
            why="a padlock on an edge says that both ends have a sidecar and spoke mutual TLS",
            hint="which edge has no padlock? (in Kiali itself: Display > Security)",
        )
    return passed("answer.right", f"{client} calls {answer} without mutual TLS, as the graph shows", wanted=wanted)


@check(
    "answer.plain_edge",
    judge=judge_plain_edge,
    required=("task", "from"),
    optional=("seconds",),
    watches=_WATCHES,
)
def collect_plain_edge(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Read the answer and, if there is one, the graph."""
    data: dict[str, Any] = {
        "exercise": context.exercise.id,
        "answer": answers.given(context, params["task"]),
    }
    if data["answer"]:
        data |= _kiali(context) | _graph(context, params)
    return Evidence("answer", data)


def edges_of(graph: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A workload graph as ``{"from", "to", "rate", "mtls"}`` per edge; unmeshed callers are ``unknown``."""
    elements = graph.get("elements") or {}
    names = {node["data"]["id"]: _node_name(node["data"]) for node in elements.get("nodes") or []}
    found = []
    for edge in elements.get("edges") or []:
        data = edge["data"]
        traffic = data.get("traffic") or {}
        rates = traffic.get("rates") or {}
        found.append(
            {
                "from": names.get(data["source"], "unknown"),
                "to": names.get(data["target"], "unknown"),
                "rate": rates.get(traffic.get("protocol", ""), "0"),
                "mtls": float(data.get("isMTLS") or 0) > 0,
            }
        )
    return sorted(found, key=lambda edge: (edge["from"], edge["to"]))


def _node_name(node: Mapping[str, Any]) -> str:
    return str(node.get("workload") or node.get("service") or node.get("app") or "unknown")


def _kiali(context: CheckContext) -> dict[str, Any]:
    deployment = _deployment(context)
    data = {"deployment": deployment is not None, "unavailable": "", "refused": "", "state": "", "version": ""}
    if deployment is None:
        return data
    counts = pods.availability(deployment)
    if counts["available"] < max(1, counts["wanted"]):
        return data | {"unavailable": pods.why_unavailable(context, deployment)}
    try:
        status = context.cluster.request("GET", f"{_PROXY}/status")["status"]
        return data | {"state": status.get("Kiali state", ""), "version": status.get("Kiali version", "")}
    except ClusterUnreachable:
        raise
    except (LabError, TypeError, KeyError) as error:
        return data | {"refused": str(error)[:200]}


def _graph(context: CheckContext, params: Mapping[str, Any]) -> dict[str, Any]:
    seconds, namespace = int(params.get("seconds", DEFAULT_SECONDS)), context.namespace()
    query = {"namespaces": namespace, "duration": f"{seconds}s", "graphType": "workload"}
    try:
        edges = edges_of(context.cluster.request("GET", f"{_PROXY}/namespaces/graph", params=query))
    except ClusterUnreachable:
        raise
    except (LabError, TypeError, KeyError, AttributeError):
        # Why Kiali cannot be asked is told by its status, which is asked in the same look.
        edges = []
    return {"namespace": namespace, "seconds": seconds, "edges": edges}


def _deployment(context: CheckContext) -> dict[str, Any] | None:
    return context.cluster.find("deployments.apps", NAME, ISTIO_NAMESPACE)
