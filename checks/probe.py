"""``istio.probe``: does this mesh do its work? The checker brings a pod of its own and looks what becomes of it.

In a namespace with a generated name and the label ``istio-injection=enabled`` it creates one pod, without a sidecar,
and a Service for it; the pod then calls itself through that Service. The namespace goes away again whatever happens.
Pods are not among the watched kinds, or a probe would be the reason for the next one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from meshlab.errors import LabError, MeshlabError
from meshlab.grading import CheckContext, Evidence, NeedMore, Verdict, check, failed, passed, pending

from . import clients, identity, pods, webhooks

LABEL = "meshlab.dev/probe"
READY_WITHIN_S = 15.0
STALE = timedelta(minutes=10)
POLL_S = 0.1
_NAME = "probe"


def judge_probe(evidence: Evidence, _params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if the pod came with a sidecar and was served through it, with an identity."""
    data = evidence.data
    wanted = "a new pod in a labelled namespace gets a sidecar and is served through it"
    if not data["webhook"]:
        return failed(
            "probe.no-injector",
            "declared",
            found="no webhook of Istio's asks for new pods",
            wanted=wanted,
            why="sidecars are added by a webhook that the installation registers, and there is none",
            hint="is Istio installed? kubectl get mutatingwebhookconfigurations",
        )
    if data["refused"]:
        return failed(
            "probe.refused",
            "accepted",
            found=f"the API server refuses new pods in a labelled namespace: {data['refused']}",
            wanted=wanted,
            why="the webhook is registered, but nobody answers it, and it is told to fail closed",
            hint="who answers the webhook? kubectl get pods -n istio-system -l app=istiod",
        )
    if not data["injected"]:
        return failed(
            "probe.no-sidecar",
            "accepted",
            found="the pod was created without a sidecar",
            wanted=wanted,
            why="the namespace carries istio-injection=enabled, but no webhook acts on that label",
            hint="kubectl get mutatingwebhookconfigurations; does one belong to the default revision?",
        )
    if not data["ready"]:
        return pending(
            "probe.not-ready",
            "pushed",
            found=f"the pod has its sidecar, but does not become ready: {data['waiting']}",
            wanted=wanted,
            why="a sidecar is ready once istiod has sent it certificates and configuration",
            hint="istioctl proxy-status; kubectl logs -n istio-system deploy/istiod",
        )
    if data["reply"]["status"] != "200":
        return pending(
            "probe.not-served",
            "observed",
            found=f"the pod is ready, but a request to it got {clients.outcome(data['reply'])}",
            wanted=wanted,
            why="its sidecars' configuration does not let the request through",
            hint="is there a policy for the whole mesh in istio-system?",
        )
    if not data["reply"].get("uri"):
        return failed(
            "probe.no-identity",
            "observed",
            found="the request was answered, but the receiver saw no identity of the caller",
            wanted=wanted,
            why="the request went round the sidecar, or mutual TLS is switched off for the whole mesh",
            hint="kubectl get peerauthentications,destinationrules -n istio-system",
        )
    return passed(
        "probe.served", f"a new pod came with a sidecar and was served as {data['reply']['uri']}", wanted=wanted
    )


@check("istio.probe", judge=judge_probe, watches=("deployments.apps", webhooks.CONFIGURATIONS))
def collect_probe(context: CheckContext, _params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Create the pod, wait until it is ready, let it call itself, and take it away."""
    data: dict[str, Any] = {
        "webhook": bool(webhooks.injectors(context)),
        "refused": "",
        "injected": False,
        "ready": False,
        "waiting": "",
        "reply": {"status": "", "exit": ""},
    }
    evidence = Evidence("requests", data, {"probe": "checker"})
    if not data["webhook"]:
        return evidence
    _sweep(context)
    namespace = f"meshlab-probe-{secrets.token_hex(4)}"
    try:
        _create(context, namespace, data)
        if data["injected"] and _wait_ready(context, namespace, data):
            reply = clients.fetch(context, namespace, _NAME, f"http://{_NAME}/headers")
            data["reply"] = {"status": reply.status, "exit": reply.exit_code, **identity.seen(reply.body)}
    finally:
        context.cluster.delete("namespaces", namespace)
    evidence.vantage |= {"namespace": namespace, "pod": _NAME}
    return evidence


def _create(context: CheckContext, namespace: str, data: dict[str, Any]) -> None:
    cluster = context.cluster
    labels = {LABEL: "true", "istio-injection": "enabled"}
    cluster.create("namespaces", {"metadata": {"name": namespace, "labels": labels}})
    cluster.create("services", _SERVICE, namespace)
    try:
        pod = _create_pod(context, namespace)
    except LabError as error:
        data["refused"] = error.message[:300]
        return
    data["injected"] = pods.is_injected(pod["metadata"], pod["spec"])


def _create_pod(context: CheckContext, namespace: str) -> dict[str, Any]:
    """Create the pod; a new namespace has its ServiceAccount a moment later, and pods are refused before that."""
    deadline = time.monotonic() + READY_WITHIN_S
    while context.cluster.find("serviceaccounts", "default", namespace) is None:
        if time.monotonic() > deadline:
            raise MeshlabError(f"namespace {namespace} does not get a ServiceAccount")
        time.sleep(POLL_S)
    return context.cluster.create("pods", _POD, namespace)


def _wait_ready(context: CheckContext, namespace: str, data: dict[str, Any]) -> bool:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        pod = context.cluster.get("pods", _NAME, namespace)
        data["ready"] = pods.is_ready(pod)
        if data["ready"]:
            return True
        data["waiting"] = pods.waiting_reason(pod)
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)


def _sweep(context: CheckContext) -> None:
    """Remove what a probe that was killed has left behind; a fresh one may be another checker's."""
    limit = (datetime.now(UTC) - STALE).strftime("%Y-%m-%dT%H:%M:%SZ")
    for namespace in context.cluster.list_objects("namespaces", label_selector=LABEL):
        if namespace["metadata"]["creationTimestamp"] < limit:
            context.cluster.delete("namespaces", namespace["metadata"]["name"])


_SERVICE: dict[str, Any] = {
    "metadata": {"name": _NAME, "labels": {LABEL: "true"}},
    "spec": {"selector": {"app": _NAME}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
}
_POD: dict[str, Any] = {
    "metadata": {"name": _NAME, "labels": {"app": _NAME, LABEL: "true"}},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {"name": "web", "image": "mccutchen/go-httpbin", "ports": [{"containerPort": 8080}]},
            {"name": clients.CONTAINER, "image": "curlimages/curl", "command": ["sleep", "infinity"]},
        ],
    },
}
