"""What a pod is, what its services are, and how traffic gets there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from meshlab.minicluster.kubeapi import Obj, matches_labels
from meshlab.minicluster.mesh.istio.analysis.mesh import PROXY, containers, has_proxy, root_namespace
from meshlab.minicluster.mesh.istio.analysis.messages import quoted
from meshlab.minicluster.mesh.istio.analysis.model import Resource, Snapshot
from meshlab.minicluster.mesh.istio.inject_decision import REVISION
from meshlab.minicluster.mesh.istio.istioctl.describe import lookup, rules
from meshlab.minicluster.mesh.istio.istioctl.describe.authentication import authentication
from meshlab.minicluster.mesh.istio.istioctl.describe.ingress import RULE, ingress
from meshlab.minicluster.mesh.istio.istioctl.describe.lookup import View
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError

PROXY_UID = 1337
RESERVED = "WARNING: User ID (UID) 1337 is reserved for the sidecar proxy."
REQUIREMENTS = "https://istio.io/v1.31/docs/ops/deployment/application-requirements/"
SERVICE_REQUIREMENTS = "https://istio.io/docs/setup/kubernetes/additional-setup/requirements/"
NAME_LABELS = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app", "service.istio.io/workload-name")
REVISION_LABELS = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
STATUS = "sidecar.istio.io/status"
AUTHORIZATION = "authorizationpolicies.security.istio.io"


def describe_pod(pod: Resource, view: View) -> Iterator[str]:
    """The lines for a pod: itself, its services, its mTLS mode, its gateways.

    Raises:
        CommandError: the pod has no sidecar to ask; what was known without it has been given out then.
    """
    yield from _pod(pod, view)
    services = [
        service
        for service in view.snapshot.of("services")
        if service.namespace == pod.namespace and matches_labels(service.spec.get("selector"), dict(pod.labels))
    ]
    if not services and not view.ignore_unmeshed:
        yield f"Warning: No Kubernetes Services select pod {view.name(pod)} (see {SERVICE_REQUIREMENTS} )"
    yield RULE
    if has_proxy(containers(pod.spec)):
        yield from _services(services, pod, [pod.labels], view)
    elif not view.ignore_unmeshed:
        raise CommandError(f'failed to execute command on sidecar: container "{PROXY}" not found in pod {pod.name}')
    yield RULE
    yield from authentication(view.snapshot, pod.labels, pod.namespace)
    yield from ingress(services, [pod.labels], view)


def describe_service(service: Resource, view: View) -> Iterator[str]:
    """The lines for a service: by the sidecar of its first ready pod, with the labels of all of them."""
    selector = service.spec.get("selector")
    selected = [
        pod
        for pod in view.snapshot.of("pods")
        if pod.namespace == service.namespace and matches_labels(selector, dict(pod.labels))
    ]
    ready = []
    for pod in selected:
        problem = _unready(pod, view)
        if problem:
            yield problem
        else:
            ready.append(pod)
    if not selected:
        yield f"Service {quoted(view.name(service))} has no pods."
    elif not ready:
        yield f"Service {quoted(view.name(service))} has no Istio pods.  ({len(selected)} pods in service)."
        yield "Use `istioctl kube-inject` or redeploy with Istio automatic sidecar injection."
    else:
        labels = [pod.labels for pod in ready]
        yield from _services([service], ready[0], labels, view)
        yield from ingress([service], labels, view)


def _unready(pod: Resource, view: View) -> str:
    phase = (pod.obj.get("status") or {}).get("phase")
    if phase != "Running":
        return f"   Pod is not Running ({phase})"
    state = next((status.get("ready") for _, status in _statuses(pod) if status.get("name") == PROXY), None)
    if state is None:
        return f'Pod {view.name(pod)}: no container "{PROXY}" in pod'
    return "" if state else f"WARNING: Pod {view.name(pod)} Container {PROXY} NOT READY"


def _statuses(pod: Resource) -> list[tuple[str, Obj]]:
    status = pod.obj.get("status") or {}
    return [
        *(("Container", item) for item in status.get("containerStatuses") or []),
        *(("Init Container", item) for item in status.get("initContainerStatuses") or []),
    ]


def _pod(pod: Resource, view: View) -> Iterator[str]:
    applications = pod.spec.get("containers") or []
    yield from (RESERVED for item in applications if item.get("name") != PROXY and _runs_as_proxy(item))
    name = view.name(pod)
    yield f"Pod: {name}"
    yield f"   Pod Revision: {_revision(pod)}"
    ports = [
        f"{port['containerPort']}{_transport(port)} ({item['name']})"
        for item in applications
        for port in item.get("ports") or []
    ]
    yield f"   Pod Ports: {', '.join(ports)}" if ports else "   Pod does not expose ports"
    phase = (pod.obj.get("status") or {}).get("phase")
    if phase != "Running":
        yield f"   Pod is not Running ({phase})"
        return
    for kind, status in _statuses(pod):
        if not status.get("ready"):
            yield f"WARNING: Pod {name} {kind} {status.get('name')} NOT READY"
    if view.ignore_unmeshed:
        return
    if not has_proxy(containers(pod.spec)):
        yield f"WARNING: {name} is not part of mesh; no Istio sidecar"
        return
    if _runs_as_proxy(pod.spec):
        yield f"   {RESERVED}"
    for labels, what in ((NAME_LABELS, "name"), (REVISION_LABELS, "revision")):
        if not any(label in pod.labels for label in labels):
            yield f"Suggestion: add required service {what} label for Istio telemetry. See {REQUIREMENTS}."


def _runs_as_proxy(part: Obj) -> bool:
    return (part.get("securityContext") or {}).get("runAsUser") == PROXY_UID


def _transport(port: Obj) -> str:
    return "" if port.get("protocol", "TCP") == "TCP" else f"/{port['protocol']}"


def _revision(pod: Resource) -> str:
    """By the annotation, else by what the injector wrote; empty if neither knows."""
    if REVISION in pod.annotations:
        return pod.annotations[REVISION]
    try:
        status = json.loads(pod.annotations.get(STATUS) or "{}")
    except ValueError:
        return ""
    return str(status.get("revision") or "")


def _services(
    services: Sequence[Resource], pod: Resource, pods_labels: Sequence[Mapping[str, str]], view: View
) -> Iterator[str]:
    snapshot = view.snapshot
    policies = _authorization(snapshot, pod)
    for number, service in enumerate(services):
        if number:
            yield RULE
        yield f"Service: {view.name(service)}"
        ports = service.spec.get("ports") or []
        yield from _ports(ports, pod)
        several = len(ports) > 1
        indent = "   " if several else ""
        for port in ports:
            if several:
                yield f"{port['port']}:"
            rule = lookup.destination_rule(service, pod.namespace, snapshot)
            subsets = rules.Subsets.of(rule, view.name(rule), pods_labels) if rule else rules.Subsets()
            found = list(rules.destination_rule(rule, subsets)) if rule else []
            routes = lookup.in_mesh(service, port, pod.namespace, snapshot)
            if routes is not None:
                found += rules.virtual_service(routes, view.name(routes), lookup.full_host(service), subsets)
            yield from (indent + line for line in found)
            if policies:
                prefix = f"{port['port']} " if several else ""
                yield f"{prefix}RBAC policies: {', '.join(policies)}"


def _ports(ports: Sequence[Obj], pod: Resource) -> Iterator[str]:
    for port in ports:
        if port.get("protocol", "TCP") != "TCP":
            continue
        target = lookup.target_port(port, [pod])
        if target is None:
            yield f"   no suitable port for manifest: {pod.obj['metadata'].get('uid', '')}"
        else:
            word = lookup.protocol_word(port)
            yield f"   Port: {port.get('name') or ''} {port['port']}/{word} targets pod port {target}"


def _authorization(snapshot: Snapshot, pod: Resource) -> list[str]:
    """The rules in the first filter that enforces some: those that deny, or else those that allow."""
    root = root_namespace(snapshot)
    policies = [
        policy
        for policy in snapshot.of(AUTHORIZATION)
        if policy.namespace in (root, pod.namespace)
        and policy.selector.items() <= pod.labels.items()
        and not (policy.spec.get("targetRef") or policy.spec.get("targetRefs"))
    ]
    for action in ("DENY", "ALLOW"):
        acting = [policy for policy in policies if (policy.spec.get("action") or "ALLOW") == action]
        if acting:
            return sorted(
                f"ns[{policy.namespace}]-policy[{policy.name}]-rule[{index}]"
                for policy in acting
                for index in range(len(policy.spec.get("rules") or []))
            )
    return []
