"""``istio.identity``: whose identity does the receiver of a request see?

Behind mutual TLS the receiver's sidecar writes the header ``X-Forwarded-Client-Cert``: ``By=`` is the receiver's own
SPIFFE ID, ``URI=`` the caller's. A receiver that shows its request headers (go-httpbin's ``/headers``) so lets a
caller see itself with the server's eyes. Without a sidecar on both sides there is no such header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from meshlab.grading import CheckContext, Evidence, NeedMore, Verdict, check, failed, passed, pending

from . import clients, http

_HEADER = "X-Forwarded-Client-Cert"
_FIELDS = {"by": re.compile(r"(?:^|[;,])By=([^;,]*)"), "uri": re.compile(r"(?:^|[;,])URI=([^;,]*)")}


def seen(body: str) -> dict[str, str]:
    """``{"by": ..., "uri": ...}`` of a reply that lists its request's headers; empty if it saw no certificate."""
    try:
        headers = json.loads(body)["headers"]
        value = next((value for name, value in headers.items() if name.lower() == _HEADER.lower()), None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    if value is None:
        return {}
    text = ",".join(value) if isinstance(value, list) else str(value)
    # Every proxy on the way appends an element; the last one was written by the receiver's own sidecar.
    found = {name: pattern.findall(text) for name, pattern in _FIELDS.items()}
    return {name: values[-1] for name, values in found.items() if values}


def spiffe_id(namespace: str, account: str) -> re.Pattern[str]:
    """The SPIFFE ID of a ServiceAccount, in any trust domain."""
    return re.compile(rf"spiffe://[^/]+/ns/{re.escape(namespace)}/sa/{re.escape(account)}")


def judge_identity(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if the receiver saw the caller's ServiceAccount behind the request."""
    problem = clients.problem_verdict(evidence)
    if problem is not None:
        return problem
    data, client = evidence.data, params["from"]
    server = urlsplit(params["url"]).hostname
    wanted = f"{server} sees {client} as {data['expected']}"
    if data["reply"]["status"] != "200":
        return pending(
            "identity.not-served",
            "observed",
            found=f"{params['url']} answered {client} with {clients.outcome(data['reply'])}",
            wanted=wanted,
            why="nothing can be said of an identity before the request is served",
            hint=f"kubectl exec -n {data['namespace']} deploy/{client} -c curl -- curl -sv {params['url']}",
        )
    uri = data["reply"].get("uri", "")
    if not uri:
        return failed(
            "identity.none",
            "observed",
            found=f"{server} answered, but saw no certificate behind the request",
            wanted=wanted,
            why=f"the pod of {client} has a sidecar, so the receiver is the one without"
            if data["caller_has_proxy"]
            else f"the pod of {client} has no sidecar",
            hint="mutual TLS needs a sidecar on both sides; which pods were created before they could be injected?",
        )
    if not spiffe_id(data["namespace"], data["account"]).fullmatch(uri):
        return failed(
            "identity.other",
            "observed",
            found=f"{server} saw {uri}",
            wanted=wanted,
            why="the identity comes from the ServiceAccount of the calling pod, and this is another one",
            hint=f"kubectl get pods -n {data['namespace']} -o custom-columns=POD:.metadata.name,"
            "ACCOUNT:.spec.serviceAccountName",
        )
    return passed("identity.seen", f"{server} saw {uri}", wanted=wanted)


@check("istio.identity", judge=judge_identity, required=("from", "url"), watches=http.WATCHES)
def collect_identity(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Send one request from the client and keep what the receiver saw of its certificate."""
    try:
        client = clients.find(context, params["from"])
        reply = clients.fetch(context, client.namespace, client.pod, params["url"])
    except clients.ClientProblem as problem:
        return clients.no_client(problem)
    data = {
        "namespace": client.namespace,
        "account": client.account,
        "expected": f"spiffe://.../ns/{client.namespace}/sa/{client.account}",
        "caller_has_proxy": client.has_proxy,
        "reply": {"status": reply.status, "exit": reply.exit_code, **seen(reply.body)},
    }
    return Evidence("requests", data, client.vantage())
