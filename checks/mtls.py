"""``mtls.strict``: is plaintext refused while the meshed client is served?

Both calls are made, each by the right client, on new connections only: a pooled connection keeps the mode that it was
opened with. What proves STRICT is a connection that the server's proxy ends before any HTTP is spoken (no status at
all); a 403 proves the opposite, since the plaintext was read before it was refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from meshlab.grading import CheckContext, Evidence, NeedMore, Verdict, check, failed, passed, pending

from . import clients

ISTIO_NAMESPACE = "istio-system"
TRIES = 3
PEER_AUTHENTICATIONS = "peerauthentications.security.istio.io"
DESTINATION_RULES = "destinationrules.networking.istio.io"
AUTHORIZATION_POLICIES = "authorizationpolicies.security.istio.io"
_CLOSED_BY_PEER = ("35", "52", "55", "56")
"""curl's exit codes for a connection that was accepted and then ended by the other side without an answer."""


def judge_strict(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if every plaintext connection is ended and every call of the meshed client is served."""
    problem = clients.problem_verdict(evidence)
    if problem is not None:
        return problem
    permitted, forbidden, data = params["permitted"], params["forbidden"], evidence.data
    wanted = f"{forbidden} is refused without an answer, {permitted} gets 200"
    for url, replies in data["permitted"].items():
        bad = [reply for reply in replies if reply["status"] != "200"]
        if bad:
            return pending(
                "mtls.meshed-refused",
                "observed",
                found=f"{permitted} got {clients.outcome(bad[0])} from {_host(url)} on {len(bad)} of {len(replies)}",
                wanted=wanted,
                why="the client in the mesh must be served; something tells it not to use mutual TLS"
                if data["client_side"]
                else "the client in the mesh must be served as well",
                hint="kubectl get destinationrules,peerauthentications,authorizationpolicies -A",
            )
    for url, replies in data["forbidden"].items():
        stopped = _judge_plaintext(data, url, replies, forbidden, wanted)
        if stopped is not None:
            return stopped
    hosts = ", ".join(_host(url) for url in data["forbidden"])
    return passed(
        "mtls.strict",
        f"{forbidden}: connection ended without an answer; {permitted}: 200 (new connections to {hosts})",
        wanted=wanted,
    )


def _judge_plaintext(
    data: Mapping[str, Any], url: str, replies: list[dict[str, str]], forbidden: str, wanted: str
) -> Verdict | None:
    """The verdict on one server, None if it ended every plaintext connection."""
    answered = [reply for reply in replies if reply["status"] != "000"]
    if any(reply["status"] == "403" for reply in answered):
        return failed(
            "mtls.plaintext-denied",
            "observed",
            found=f"{forbidden} got 403 from {_host(url)}",
            wanted=wanted,
            why="an AuthorizationPolicy refused the request, so the plaintext was accepted, read and answered",
            hint="which resource says how connections to a workload are to be made, before any request is read?",
        )
    if answered:
        return _accepted(data, url, answered[0], forbidden, wanted)
    other = [reply for reply in replies if reply["exit"] not in _CLOSED_BY_PEER]
    if other:
        return pending(
            "mtls.not-reset",
            "observed",
            found=f"{forbidden} could not even connect to {_host(url)}: {clients.outcome(other[0])}",
            wanted=wanted,
            why="that is no sign of mutual TLS: the server must be there and end the connection itself",
            hint="is the Service still there, and are its pods ready?",
        )
    return None


def _accepted(data: Mapping[str, Any], url: str, reply: dict[str, str], forbidden: str, wanted: str) -> Verdict:
    found = f"{forbidden} got {reply['status']} from {_host(url)}, without a certificate"
    for policy in data["strict"]:
        # An empty selector holds for the whole namespace, or mesh.
        if policy["selects"].items() <= data["selectors"][url].items():
            return pending(
                "mtls.not-effective",
                "accepted",
                found=found,
                wanted=wanted,
                why=f"{policy['name']} says STRICT, but {_host(url)} still takes plaintext",
                hint="does another PeerAuthentication, older or closer to the workload, say otherwise?",
            )
    if data["strict"]:
        return failed(
            "mtls.one-workload",
            "accepted",
            found=found,
            wanted=wanted,
            why=f"{data['strict'][0]['name']} is STRICT for the workloads that it selects, and this is none of them",
            hint="a PeerAuthentication without a selector holds for its whole namespace",
        )
    if data["client_side"]:
        return failed(
            "mtls.client-side-only",
            "declared",
            found=found,
            wanted=wanted,
            why=f"{data['client_side']} tells clients in the mesh how to call; nobody told the server, "
            "and a client without a sidecar never reads it",
            hint="which resource says what a server accepts?",
        )
    return failed(
        "mtls.plaintext-accepted",
        "declared",
        found=found,
        wanted=wanted,
        why=f"{data['permissive']} says PERMISSIVE: both are taken"
        if data["permissive"]
        else "nothing says otherwise, so the mode is PERMISSIVE: mutual TLS and plaintext are both taken",
        hint="which resource says what a server accepts, and what is its strictest mode?",
    )


@check(
    "mtls.strict",
    judge=judge_strict,
    required=("permitted", "forbidden", "urls"),
    watches=(PEER_AUTHENTICATIONS, DESTINATION_RULES, AUTHORIZATION_POLICIES, "pods", "services"),
)
def collect_strict(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Call every URL from both clients, each time on a new connection, and read the policies that could be meant."""
    try:
        permitted = clients.find(context, params["permitted"])
        forbidden = clients.find(context, params["forbidden"])
        data = {
            "permitted": _call(context, permitted, params["urls"]),
            "forbidden": _call(context, forbidden, params["urls"]),
        }
    except clients.ClientProblem as problem:
        return clients.no_client(problem)
    return Evidence("requests", data | _policies(context, params["urls"]), forbidden.vantage())


def _call(context: CheckContext, client: clients.ClientPod, urls: list[str]) -> dict[str, list[dict[str, str]]]:
    replies = clients.fetch_anew(context, client.namespace, client.pod, [url for url in urls for _ in range(TRIES)])
    found: dict[str, list[dict[str, str]]] = {url: [] for url in urls}
    for url, reply in zip((url for url in urls for _ in range(TRIES)), replies, strict=True):
        found[url].append({"status": reply.status, "exit": reply.exit_code})
    return found


def _policies(context: CheckContext, urls: list[str]) -> dict[str, Any]:
    """The resources that explain an outcome, and which pods stand behind each URL."""
    namespace = context.namespace()
    strict, permissive = [], ""
    for obj in _of(context, PEER_AUTHENTICATIONS, (namespace, ISTIO_NAMESPACE)):
        spec = obj.get("spec") or {}
        mode = (spec.get("mtls") or {}).get("mode")
        if mode == "STRICT":
            strict.append({"name": _name(obj), "selects": (spec.get("selector") or {}).get("matchLabels") or {}})
        elif mode == "PERMISSIVE":
            permissive = _name(obj)
    rules = [
        _name(obj)
        for obj in _of(context, DESTINATION_RULES, (namespace,))
        if ((obj.get("spec") or {}).get("trafficPolicy") or {}).get("tls")
    ]
    return {
        "strict": strict,
        "permissive": permissive,
        "client_side": rules[0] if rules else "",
        "selectors": {url: _selector(context, url) for url in urls},
    }


def _selector(context: CheckContext, url: str) -> dict[str, str]:
    """What the Service of a URL selects; empty if there is no such Service."""
    service = context.cluster.find("services", _host(url), context.namespace())
    selector: dict[str, str] = ((service or {}).get("spec") or {}).get("selector") or {}
    return selector


def _of(context: CheckContext, resource: str, namespaces: tuple[str, ...]) -> list[dict[str, Any]]:
    return [obj for namespace in namespaces for obj in context.cluster.list_objects(resource, namespace)]


def _name(obj: Mapping[str, Any]) -> str:
    return f"{obj['kind']} {obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _host(url: str) -> str:
    return (urlsplit(url).hostname or url).partition(".")[0]
