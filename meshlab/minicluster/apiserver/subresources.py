"""The subresources that are more than a part of their object: scale, binding, eviction, ServiceAccount tokens."""

from __future__ import annotations

import datetime
import math
from typing import Any

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.registry import Deletion, Registry, thaw
from meshlab.minicluster.apiserver.requests import DeleteOptions, Request
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.selectors import selector_from_object
from meshlab.minicluster.apiserver.store import Record
from meshlab.minicluster.apiserver.strategies.base import timestamp
from meshlab.minicluster.apiserver.tokens import Tokens
from meshlab.minicluster.kubeapi import Obj, StatusError

_BUILTIN_SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": "",
}


def scale_paths(catalog: Catalog, resource: Resource) -> Obj:
    """Where a resource keeps what its Scale shows."""
    custom = catalog.custom(resource)
    if custom is not None and custom.scale is not None:
        return custom.scale
    return _BUILTIN_SCALE


def _steps(path: str) -> list[str]:
    return [step for step in path.split(".") if step]


def _at(obj: Obj, path: str) -> Any:
    node: Any = obj
    for step in _steps(path):
        node = node.get(step) if isinstance(node, dict) else None
    return node


def _selector_text(obj: Obj, path: str) -> str:
    if path:
        found = _at(obj, path)
        return found if isinstance(found, str) else ""
    selector = (obj.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels", {} if "matchExpressions" in selector else selector) or {}
    terms = [f"{key}={value}" for key, value in sorted(labels.items())]
    for term in selector.get("matchExpressions") or () if "matchExpressions" in selector else ():
        values = ",".join(sorted(term.get("values") or ()))
        words = {"In": f"{term['key']} in ({values})", "NotIn": f"{term['key']} notin ({values})"}
        words |= {"Exists": term["key"], "DoesNotExist": f"!{term['key']}"}
        terms.append(words[term["operator"]])
    return ",".join(terms)


def scale_of(obj: Obj, paths: Obj) -> Obj:
    """The ``autoscaling/v1`` Scale of an object."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Obj = {"replicas": _at(obj, paths["statusReplicasPath"]) or 0}
    selector = _selector_text(obj, paths.get("labelSelectorPath") or "")
    if selector:
        status["selector"] = selector
    replicas = _at(obj, paths["specReplicasPath"])
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": replicas} if replicas is not None else {},
        "status": status,
    }


def scaled(obj: Obj, scale: Obj, paths: Obj, resource: Resource) -> Obj:
    """A private copy of the object with the replicas that a Scale wants.

    Raises:
        StatusError: 422 for a number that cannot be, 409 for a Scale of another version of the object.
    """
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    name = obj["metadata"]["name"]
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        problem = statuses.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        details = {"name": name, "group": "autoscaling", "kind": "Scale", "causes": [problem.to_cause()]}
        message = f'Scale.autoscaling "{name}" is invalid: {problem.field}: {problem.message}'
        raise StatusError(422, "Invalid", message, details)
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version and version != obj["metadata"]["resourceVersion"]:
        raise statuses.conflict(resource, name)
    copy = thaw(obj)
    node = copy
    *parents, last = _steps(paths["specReplicasPath"])
    for step in parents:
        node = node.setdefault(step, {})
    node[last] = replicas
    return copy


async def bind(registry: Registry, request: Request, binding: Obj) -> None:
    """Assign a pod to a node (``pods/binding``).

    Raises:
        StatusError: 409 if the pod is assigned or going.
    """
    node = (binding.get("target") or {}).get("name")
    if not node:
        raise statuses.invalid(request.resource, request.name, [statuses.required("target.name")])

    def assign(pod: Obj) -> Obj:
        if pod["metadata"].get("deletionTimestamp"):
            why = f"pod {request.name} is being deleted, cannot be assigned to a host"
            raise statuses.conflict(request.resource, request.name, why)
        if pod["spec"].get("nodeName"):
            why = f'pod {request.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise statuses.conflict(request.resource, request.name, why)
        copy = thaw(pod)
        copy["spec"]["nodeName"] = node
        condition = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(),
        }
        status = copy.setdefault("status", {})
        others = [item for item in status.get("conditions") or () if item["type"] != "PodScheduled"]
        status["conditions"] = [*others, condition]
        return copy

    request.subresource = "binding"
    await registry.modify(request, assign)


async def evict(registry: Registry, request: Request, eviction: Obj) -> Deletion:
    """Delete a pod unless a PodDisruptionBudget needs it.

    Raises:
        StatusError: 429 if a budget would be violated.
    """
    pod = registry.get(request).obj
    options = DeleteOptions.from_object(eviction.get("deleteOptions") or {})
    phase = (pod.get("status") or {}).get("phase")
    if phase not in ("Pending", "Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp"):
        _check_budgets(registry, pod)
    return await registry.delete(request, options)


def _check_budgets(registry: Registry, pod: Obj) -> None:
    namespace = pod["metadata"]["namespace"]
    for _, record in registry.store.collection("policy/poddisruptionbudgets").scan(namespace):
        spec = record.obj["spec"]
        selector = spec.get("selector")
        if selector is None or not selector_from_object(selector).matches(pod["metadata"].get("labels")):
            continue
        covered = [
            other.obj
            for _, other in registry.store.collection("pods").scan(namespace)
            if selector_from_object(selector).matches(other.obj["metadata"].get("labels"))
            and not other.obj["metadata"].get("deletionTimestamp")
        ]
        healthy = sum(map(_is_ready, covered))
        wanted = _desired_healthy(spec, len(covered))
        if _is_ready(pod) and healthy - 1 < wanted:
            name = record.obj["metadata"]["name"]
            cause = {
                "reason": "DisruptionBudget",
                "message": f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently",
            }
            raise StatusError(
                429,
                "TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget.",
                {"causes": [cause]},
            )


def _is_ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _desired_healthy(spec: Obj, expected: int) -> int:
    if spec.get("maxUnavailable") is not None:
        return max(0, expected - _amount(spec["maxUnavailable"], expected))
    if spec.get("minAvailable") is not None:
        return _amount(spec["minAvailable"], expected)
    return max(0, expected - 1)


def _amount(value: int | str, expected: int) -> int:
    """A number or a percentage, rounded up as upstream's disruption controller does."""
    if isinstance(value, int):
        return value
    return math.ceil(int(value.rstrip("%")) * expected / 100)


def request_token(registry: Registry, tokens: Tokens, request: Request, body: Obj) -> Obj:
    """Answer a TokenRequest for a ServiceAccount.

    Raises:
        StatusError: 404/409 for what the token would be bound to, 422 for a life-time that is too short.
    """
    account = registry.get(request).obj
    spec = body.get("spec") or {}
    seconds = spec.get("expirationSeconds") or 3600
    if seconds < 600:
        problem = statuses.invalid_value(
            "spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"
        )
        details = {"group": "authentication.k8s.io", "kind": "TokenRequest", "causes": [problem.to_cause()]}
        message = f'TokenRequest.authentication.k8s.io "" is invalid: {problem.field}: {problem.message}'
        raise StatusError(422, "Invalid", message, details)
    bound = _bound_object(registry, request, spec.get("boundObjectRef"))
    token, expires = tokens.issue(account, spec.get("audiences") or (), seconds, bound)
    moment = datetime.datetime.fromtimestamp(expires, datetime.UTC)
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": request.name,
            "namespace": request.namespace,
            "creationTimestamp": timestamp(),
        },
        "spec": {
            "audiences": spec.get("audiences") or ["https://kubernetes.default.svc.cluster.local"],
            "expirationSeconds": seconds,
            "boundObjectRef": spec.get("boundObjectRef"),
        },
        "status": {"token": token, "expirationTimestamp": timestamp(moment)},
    }


def _bound_object(registry: Registry, request: Request, reference: Obj | None) -> Obj | None:
    if not reference:
        return None
    collection = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}.get(reference.get("kind", ""))
    if collection is None:
        raise statuses.bad_request(f"cannot bind token for serviceaccount to {reference.get('kind')}")
    namespace = "" if collection == "nodes" else request.namespace
    record: Record | None = registry.store.get(collection, (namespace, reference.get("name", "")))
    if record is None:
        raise statuses.not_found(registry.catalog.resolve(collection), reference.get("name", ""))
    uid = reference.get("uid")
    if uid and uid != record.obj["metadata"]["uid"]:
        why = f"the UID in the bound object reference ({uid}) does not match the UID in record"
        raise statuses.conflict(registry.catalog.resolve(collection), reference["name"], why)
    return record.obj
