"""``istio.absent``, ``istio.installed``, ``istio.gateways``: which parts of Istio a cluster has, and do they run.

The ladder of an installation: the control plane's Deployment is *declared*; its kinds and its webhook are *accepted*
by the API server; and its pods are available, which is what can be *observed* of it without asking it to do anything
(that is ``istio.probe``).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from meshlab.grading import CheckContext, Evidence, NeedMore, Verdict, check, failed, passed, pending

from . import pods, webhooks

ISTIO_NAMESPACE = "istio-system"
GATEWAYS = ("istio-ingressgateway", "istio-egressgateway")
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
_NEEDED = (
    "virtualservices.networking.istio.io",
    "destinationrules.networking.istio.io",
    "gateways.networking.istio.io",
    "peerauthentications.security.istio.io",
    "authorizationpolicies.security.istio.io",
)
"""Kinds that every profile brings and this course uses; not the whole list, which differs by version."""


def judge_absent(evidence: Evidence, _params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if nothing of Istio is on the cluster."""
    left = [f"{name} in {ISTIO_NAMESPACE}" for name in evidence.data["deployments"]]
    left += [f"webhook {name}" for name in evidence.data["webhooks"]]
    if evidence.data["definitions"]:
        left.append(f"{len(evidence.data['definitions'])} of its CustomResourceDefinitions")
    wanted = "a cluster without Istio"
    if not left:
        return passed("istio.absent", "nothing of Istio is there", rung="declared", wanted=wanted)
    return failed(
        "istio.present",
        "declared",
        found=f"Istio is on this cluster already: {', '.join(left)}",
        wanted=wanted,
        why="an installation can only be practised where there is none",
        hint="use a lab of its own, `meshlab --lab install start install-demo`, or take Istio away first: "
        "`istioctl uninstall --purge -y`",
    )


@check("istio.absent", judge=judge_absent, watches=("deployments.apps", DEFINITIONS))
def collect_absent(context: CheckContext, _params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """List what is there of Istio, by name."""
    return Evidence(
        "objects",
        {
            "deployments": sorted(_deployments(context)),
            "webhooks": sorted({entry["configuration"] for entry in webhooks.injectors(context)}),
            "definitions": [
                name for obj in context.cluster.list_objects(DEFINITIONS) if _is_istios(name := obj["metadata"]["name"])
            ],
        },
    )


def judge_installed(evidence: Evidence, _params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if istiod is available, its kinds are served, and its webhook carries a certificate."""
    data = evidence.data
    wanted = f"istiod ready in {ISTIO_NAMESPACE}, its kinds served, its webhook with a CA certificate"
    if not data["istiod"]:
        return failed(
            "istio.no-control-plane",
            "declared",
            found=f"no Deployment with label app=istiod in namespace {ISTIO_NAMESPACE}",
            wanted=wanted,
            why="Istio is not installed on this cluster",
            hint="istioctl has a command for it; which profile does the task name?",
        )
    missing = [name for name in _NEEDED if not data["established"].get(name)]
    if missing:
        return pending(
            "istio.no-kinds",
            "accepted",
            found=f"the API server does not serve {', '.join(missing)}",
            wanted=wanted,
            why="a part of the installation is missing: CustomResourceDefinitions",
            hint="kubectl get crds; install again, it repairs what is missing",
        )
    scaled_down = [name for name, state in data["istiod"].items() if state["wanted"] == 0]
    if scaled_down:
        return failed(
            "istio.scaled-to-zero",
            "accepted",
            found=f"Deployment {scaled_down[0]} is told to have 0 replicas",
            wanted=wanted,
            why="every object of the installation is there, but no process: nobody answers the webhook or the proxies",
            hint=f"kubectl get deployments -n {ISTIO_NAMESPACE}; how many replicas are wanted?",
        )
    waiting = [name for name, state in data["istiod"].items() if state["available"] < state["wanted"]]
    if waiting:
        return pending(
            "istio.not-ready",
            "accepted",
            found=f"Deployment {waiting[0]} has no available pod yet",
            wanted=wanted,
            why=data["istiod"][waiting[0]]["why"],
            hint=f"kubectl describe pods -n {ISTIO_NAMESPACE} -l app=istiod",
        )
    if not data["webhook_has_ca"]:
        return pending(
            "istio.webhook-no-ca",
            "pushed",
            found="the injection webhook carries no CA certificate"
            if data["webhooks"]
            else "there is no injection webhook",
            wanted=wanted,
            why="the API server calls istiod over TLS and must know whom to trust; istiod writes that itself",
            hint="kubectl get mutatingwebhookconfigurations; install again if it was deleted",
        )
    names = ", ".join(sorted(data["istiod"]))
    return passed("istio.installed", f"{names} ready, {len(data['established'])} kinds served", wanted=wanted)


@check(
    "istio.installed",
    judge=judge_installed,
    watches=("deployments.apps", DEFINITIONS, webhooks.CONFIGURATIONS),
)
def collect_installed(context: CheckContext, _params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Read the control plane's Deployments, the kinds and the webhooks."""
    injectors = webhooks.injectors(context)
    control_planes = {
        name: obj for name, obj in _deployments(context).items() if pods.labels(obj).get("app") == "istiod"
    }
    return Evidence(
        "objects",
        {
            "istiod": {name: _state(context, obj) for name, obj in control_planes.items()},
            "established": {
                obj["metadata"]["name"]: _is_established(obj)
                for obj in context.cluster.list_objects(DEFINITIONS)
                if _is_istios(obj["metadata"]["name"])
            },
            "webhooks": sorted({entry["configuration"] for entry in injectors}),
            "webhook_has_ca": bool(injectors) and all(_is_certificate(entry["ca_bundle"]) for entry in injectors),
        },
    )


def judge_gateways(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if every gateway named exists and is available."""
    states, names = evidence.data["gateways"], list(params.get("names", GATEWAYS))
    wanted = f"{' and '.join(names)}, ready in {ISTIO_NAMESPACE}"
    missing = [name for name in names if name not in states]
    if missing:
        there = ", ".join(name for name in names if name in states)
        return failed(
            "gateways.missing",
            "declared",
            found=f"no Deployment {', none '.join(missing)} in {ISTIO_NAMESPACE}"
            + (f"; {there} is there" if there else ""),
            wanted=wanted,
            why="profiles differ in the gateways they bring: minimal has none, default has no egress gateway"
            if evidence.data["istiod"]
            else "Istio is not installed on this cluster",
            hint="`istioctl install` once more, with another profile, changes the installation that is there",
        )
    idle = [name for name in names if states[name]["wanted"] == 0]
    if idle:
        return failed(
            "gateways.scaled-to-zero",
            "accepted",
            found=f"{idle[0]} is told to have 0 replicas",
            wanted=wanted,
            why="the Deployment is there, but no pod of it",
            hint=f"kubectl get deployments -n {ISTIO_NAMESPACE}",
        )
    waiting = [name for name in names if states[name]["available"] < states[name]["wanted"]]
    if waiting:
        return pending(
            "gateways.not-ready",
            "accepted",
            found=f"{waiting[0]} has no available pod yet",
            wanted=wanted,
            why=states[waiting[0]]["why"],
            hint=f"kubectl get pods -n {ISTIO_NAMESPACE}",
        )
    return passed("gateways.ready", f"{' and '.join(names)} are ready", wanted=wanted)


@check("istio.gateways", judge=judge_gateways, optional=("names",), watches=("deployments.apps",))
def collect_gateways(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Read the gateways' Deployments."""
    present = _deployments(context)
    return Evidence(
        "objects",
        {
            "gateways": {
                name: _state(context, present[name]) for name in params.get("names", GATEWAYS) if name in present
            },
            "istiod": any(pods.labels(obj).get("app") == "istiod" for obj in present.values()),
        },
    )


def _deployments(context: CheckContext) -> dict[str, dict[str, Any]]:
    found = context.cluster.list_objects("deployments.apps", ISTIO_NAMESPACE)
    return {obj["metadata"]["name"]: obj for obj in found if not pods.is_leaving(obj)}


def _state(context: CheckContext, deployment: dict[str, Any]) -> dict[str, Any]:
    counts = pods.availability(deployment)
    why = pods.why_unavailable(context, deployment) if counts["available"] < counts["wanted"] else ""
    return {**counts, "why": why}


def _is_istios(definition: str) -> bool:
    return definition.endswith(".istio.io")


def _is_established(definition: Mapping[str, Any]) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)


def _is_certificate(bundle: str) -> bool:
    try:
        return b"-----BEGIN CERTIFICATE-----" in base64.b64decode(bundle, validate=True)
    except binascii.Error:
        return False
