"""``istio.namespace_injects``, ``istio.injected``, ``istio.kube_injected``: who has a sidecar, and who put it there.

Marks of injection are a container ``istio-proxy``, ordinary or native (an init container that stays), and the
annotation ``sidecar.istio.io/status``. Whether a namespace asks for injection is decided by the selectors of the
cluster's webhooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.grading import CheckContext, Evidence, NeedMore, Verdict, check, failed, passed, pending

from . import pods, webhooks

INJECTION_LABELS = ("istio-injection", "istio.io/rev")


def judge_namespace(evidence: Evidence, _params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if the namespace's labels make a webhook inject new pods."""
    data = evidence.data
    wanted = f"namespace {data['namespace']} asks for sidecars"
    if data["injects"]:
        return passed(
            "namespace.injects", f"{_labels_text(data)}, and a webhook acts on it", rung="accepted", wanted=wanted
        )
    if not data["labels"]:
        return failed(
            "namespace.no-label",
            "declared",
            found=f"namespace {data['namespace']} carries no label of Istio's",
            wanted=wanted,
            why="injection is asked for by a label of the namespace; annotations are not looked at",
            hint=f"kubectl get namespace {data['namespace']} --show-labels; which label does the webhook select?",
        )
    return failed(
        "namespace.no-match",
        "declared",
        found=f"namespace {data['namespace']} carries {_labels_text(data)}, and no webhook selects that",
        wanted=wanted,
        why='the webhook compares label values as they are: istio-injection is "enabled", istio.io/rev a revision',
        hint="kubectl get mutatingwebhookconfiguration istio-sidecar-injector -o yaml; read namespaceSelector",
    )


@check(
    "istio.namespace_injects",
    judge=judge_namespace,
    optional=("role",),
    watches=("namespaces", webhooks.CONFIGURATIONS),
)
def collect_namespace(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Read the namespace's labels, and hold them against the webhooks' selectors."""
    return Evidence("objects", _namespace(context, params))


def judge_injected(evidence: Evidence, _params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if every pod of the namespace runs, ready, with a sidecar."""
    data = evidence.data
    wanted = f"every pod of namespace {data['namespace']} runs with a sidecar"
    living = [pod for pod in data["pods"] if not pod["leaving"]]
    if not living:
        return pending(
            "injected.no-pods",
            "declared",
            found=f"namespace {data['namespace']} has no pod",
            wanted=wanted,
            why="there is nothing to inject; were its Deployments deleted or scaled down?",
            hint=f"kubectl get deployments -n {data['namespace']}",
        )
    without = sorted({pod["workload"] for pod in living if not pod["injected"]})
    if without:
        renewed = [name for name in without if any(pod["injected"] for pod in living if pod["workload"] == name)]
        if renewed:
            return pending(
                "injected.rolling",
                "accepted",
                found=f"old pods without a sidecar still run: {', '.join(renewed)}",
                wanted=wanted,
                why="a Deployment keeps its old pods until the new ones are ready",
                hint=f"kubectl rollout status -n {data['namespace']} deployment/{renewed[0]}",
            )
        return _without_sidecar(data, living, without, wanted)
    waiting = [pod for pod in living if not pod["ready"]]
    if waiting:
        return pending(
            "injected.not-ready",
            "accepted",
            found=f"pod {waiting[0]['name']} has its sidecar and is not ready",
            wanted=wanted,
            why=waiting[0]["why"],
            hint=f"kubectl describe pod -n {data['namespace']} {waiting[0]['name']}",
        )
    if len(living) < len(data["pods"]):
        leaving = next(pod for pod in data["pods"] if pod["leaving"])
        return pending(
            "injected.old-leaving",
            "accepted",
            found=f"pod {leaving['name']} is still on its way out",
            wanted=wanted,
            why="it may answer until it is gone",
            hint=f"kubectl get pods -n {data['namespace']}",
        )
    names = ", ".join(sorted({pod["workload"] for pod in living}))
    return passed("injected.all", f"{len(living)} of {len(living)} pods with a sidecar, ready: {names}", wanted=wanted)


def _without_sidecar(data: Mapping[str, Any], living: list[dict[str, Any]], without: list[str], wanted: str) -> Verdict:
    found = f"without a sidecar: {', '.join(without)}"
    count = sum(not pod["injected"] for pod in living)
    if any(pod["opted_out"] for pod in living if not pod["injected"]):
        return failed(
            "injected.opted-out",
            "declared",
            found=found,
            wanted=wanted,
            why="their pods carry sidecar.istio.io/inject=false, which keeps them out of an enabled namespace",
            hint=f"kubectl get deployment -n {data['namespace']} {without[0]} -o yaml; look at the template's labels",
        )
    if data["injects"]:
        return failed(
            "injected.old-pods",
            "accepted",
            found=f"{found} ({count} of {len(living)} pods)",
            wanted=wanted,
            why="the namespace asks for sidecars, but a pod is injected when it is created, and these are older",
            hint="a running pod cannot be changed; what makes a Deployment create its pods anew? (a restart)",
        )
    annotated = any(pod["annotated"] for pod in living if not pod["injected"])
    return failed(
        "injected.not-asked",
        "declared",
        found=f"{found} ({count} of {len(living)} pods), and namespace {data['namespace']} does not ask for sidecars",
        wanted=wanted,
        why="the annotation sidecar.istio.io/inject cannot make the API server call the webhook: only labels select"
        if annotated
        else "no webhook was asked when they were created",
        hint="what does the webhook look at, and where does that stand: on the namespace or on the pod?",
    )


@check(
    "istio.injected",
    judge=judge_injected,
    optional=("role",),
    watches=("namespaces", "pods", "deployments.apps", webhooks.CONFIGURATIONS),
)
def collect_injected(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """List the namespace's pods with their marks of injection."""
    data = _namespace(context, params)
    listed = context.cluster.list_objects("pods", data["namespace"])
    running = [pod for pod in listed if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
    data["pods"] = [_pod(pod) for pod in running]
    return Evidence("objects", data)


def judge_kube_injected(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """PASS if a Deployment's template carries the sidecar, in a namespace that does not ask for one."""
    data, name = evidence.data, params["deployment"]
    wanted = f"the template of Deployment {name} carries the sidecar, in a namespace without injection label"
    where = f"kubectl get deployment -n {data['namespace']} {name} -o yaml"
    if data["template"] is None:
        return failed(
            "kube-inject.no-deployment",
            "declared",
            found=f"there is no Deployment {name} in namespace {data['namespace']}",
            wanted=wanted,
            why="it was deleted, or applied to another namespace",
            hint=f"kubectl get deployments -A; meshlab reset {evidence.data['exercise']} brings it back",
        )
    if data["injects"]:
        return failed(
            "kube-inject.by-namespace",
            "declared",
            found=f"namespace {data['namespace']} carries {_labels_text(data)}",
            wanted=wanted,
            why="that makes the webhook inject every new pod; here the manifest itself is to carry the sidecar",
            hint="take the label away again: kubectl label namespace ... KEY-",
        )
    injected_pods = [pod for pod in data["pods"] if pod["injected"] and not pod["leaving"]]
    if not data["template"]["injected"]:
        if injected_pods:
            return failed(
                "kube-inject.by-webhook",
                "declared",
                found=f"the pods of {name} have a sidecar, the Deployment's template has none",
                wanted=wanted,
                why="a label on the template made the webhook inject the pods as they were created",
                hint=f"{where}: compare its containers with those of the pod",
            )
        return failed(
            "kube-inject.not-applied",
            "declared",
            found=f"the template of Deployment {name} has no sidecar",
            wanted=wanted,
            why="kube-inject prints a manifest and changes nothing on the cluster; a Service passes through unchanged",
            hint=f"{where}: is what kube-inject printed for the Deployment what the cluster has?",
        )
    ready = [pod for pod in injected_pods if pod["ready"]]
    others = [pod for pod in data["pods"] if not pod["injected"] or pod["leaving"]]
    if not ready or others:
        waiting = next((pod for pod in injected_pods if not pod["ready"]), None)
        return pending(
            "kube-inject.rolling",
            "accepted",
            found=f"{len(ready)} pods with a sidecar are ready, {len(others)} without one still run",
            wanted=wanted,
            why=waiting["why"] if waiting else "the Deployment is being rolled out",
            hint=f"kubectl rollout status -n {data['namespace']} deployment/{name}",
        )
    return passed(
        "kube-inject.template", f"the template of {name} carries the sidecar, its pod is ready", wanted=wanted
    )


@check(
    "istio.kube_injected",
    judge=judge_kube_injected,
    required=("deployment",),
    optional=("role",),
    watches=("namespaces", "pods", "deployments.apps", webhooks.CONFIGURATIONS),
)
def collect_kube_injected(context: CheckContext, params: Mapping[str, Any], _so_far: Evidence | None) -> Evidence:
    """Read the Deployment's template, its pods and the namespace's labels."""
    data = _namespace(context, params)
    data["exercise"] = context.exercise.id
    found = context.cluster.find("deployments.apps", params["deployment"], data["namespace"])
    data["template"], data["pods"] = None, []
    if found is not None:
        template = found["spec"]["template"]
        data["template"] = {"injected": pods.is_injected(template.get("metadata") or {}, template["spec"])}
        selector = ",".join(f"{key}={value}" for key, value in found["spec"]["selector"]["matchLabels"].items())
        listed = context.cluster.list_objects("pods", data["namespace"], label_selector=selector)
        data["pods"] = [_pod(pod) for pod in listed]
    return Evidence("objects", data)


def _namespace(context: CheckContext, params: Mapping[str, Any]) -> dict[str, Any]:
    """The namespace's labels of Istio's, and what the webhooks make of them."""
    name = context.namespace(params.get("role"))
    found = context.cluster.find("namespaces", name)
    labels = pods.labels(found) if found else {}
    return {
        "namespace": name,
        "labels": {key: labels[key] for key in INJECTION_LABELS if key in labels},
        "injects": webhooks.namespace_injects(webhooks.injectors(context), labels),
    }


def _pod(pod: Mapping[str, Any]) -> dict[str, Any]:
    metadata, ready = pod["metadata"], pods.is_ready(pod)
    return {
        "name": metadata["name"],
        "workload": pods.workload(pod),
        "injected": pods.is_injected(metadata, pod["spec"]),
        "opted_out": pods.labels(pod).get("sidecar.istio.io/inject") == "false",
        "annotated": "sidecar.istio.io/inject" in (metadata.get("annotations") or {}),
        "ready": ready,
        "leaving": pods.is_leaving(pod),
        "why": "" if ready else pods.waiting_reason(pod),
    }


def _labels_text(data: Mapping[str, Any]) -> str:
    return " and ".join(f"{key}={value}" for key, value in data["labels"].items()) or "no label of Istio's"
