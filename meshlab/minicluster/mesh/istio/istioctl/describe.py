"""``istioctl experimental describe``: a pod or service, and what of Istio's configuration concerns it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from meshlab.minicluster.kubeapi import Obj, matches_labels
from meshlab.minicluster.mesh.istio.analysis.model import Resource, Snapshot
from meshlab.minicluster.mesh.istio.analysis.virtualservice import destinations
from meshlab.minicluster.mesh.istio.hosts import resolve_host
from meshlab.minicluster.mesh.istio.istioctl.analyze import collect
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.pods import find_pod, split_name
from meshlab.minicluster.mesh.istio.istioctl.session import connect
from meshlab.minicluster.mesh.istio.protocol import port_protocol

RULE = "-" * 20


async def run(argv: Sequence[str]) -> int:
    """Run ``describe pod NAME`` or ``describe service NAME``."""
    parser = CommandParser("experimental describe", "Describe a pod or service and its Istio configuration.")
    parser.add_argument("kind", choices=("pod", "po", "service", "svc"))
    parser.add_argument("name", nargs="?", default="", metavar="name[.namespace]")
    arguments = parser.parse(argv)
    if not arguments.name:
        raise CommandError("expecting a name", hint="istioctl x describe pod NAME[.NAMESPACE]", exit_code=EXIT_USAGE)
    async with connect(arguments) as session:
        if arguments.kind.startswith("po"):
            subject, resources = await asyncio.gather(find_pod(session, arguments.name), collect(session.api))
            lines = describe_pod(subject, Snapshot(resources), session.istio_namespace)
        else:
            _, name, namespace = split_name(arguments.name, session.default_namespace)
            service, resources = await asyncio.gather(
                session.api.get("services", name, namespace), collect(session.api)
            )
            lines = describe_service(Resource({"kind": "Service", "apiVersion": "v1", **service}), Snapshot(resources))
    print("\n".join(lines))
    return 0


def describe_pod(pod: Obj, snapshot: Snapshot, root_namespace: str = "istio-system") -> list[str]:
    """The lines for a pod: its ports, services, rules and effective mTLS mode."""
    metadata, spec = pod["metadata"], pod["spec"]
    labels, namespace = metadata.get("labels") or {}, metadata["namespace"]
    shown = metadata["name"] + (f".{namespace}" if namespace != "default" else "")
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    lines = [f"Pod: {shown}"]
    lines.append(f"   Pod Revision: {(metadata.get('annotations') or {}).get('istio.io/rev', 'default')}")
    ports = [
        f"{port['containerPort']}{'/' + port['protocol'] if port.get('protocol', 'TCP') != 'TCP' else ''} ({c['name']})"
        for c in containers
        for port in c.get("ports") or []
    ]
    lines.append(f"   Pod Ports: {', '.join(ports)}" if ports else "   Pod does not expose ports")
    if not any(container["name"] == "istio-proxy" for container in containers):
        lines.append(f"WARNING: {shown} is not part of mesh; no Istio sidecar")
        return lines
    for key in ("app", "version"):
        lines += [f"   Suggestion: add '{key}' label to pod for Istio telemetry."] if key not in labels else []
    services = [
        service
        for service in snapshot.of("services")
        if service.namespace == namespace and matches_labels(service.spec.get("selector"), labels)
    ]
    for service in services:
        lines += [RULE, *describe_service(service, snapshot, labels)]
    lines += [RULE, *_authentication(snapshot, labels, namespace, root_namespace)]
    policies = [
        f"ns[{policy.namespace}]-policy[{policy.name}]-rule[{index}]"
        for policy in snapshot.of("authorizationpolicies.security.istio.io")
        if policy.namespace in (namespace, root_namespace) and _selected(policy, labels)
        for index in range(max(1, len(policy.spec.get("rules") or [])))
    ]
    if policies:
        lines.append(f"RBAC policies: {', '.join(policies)}")
    return lines


def describe_service(service: Resource, snapshot: Snapshot, pod_labels: Mapping[str, str] | None = None) -> list[str]:
    """The lines for a service; with a pod's labels also which subsets match that pod."""
    host = f"{service.name}.{service.namespace}.svc.cluster.local"
    suffix = "" if service.namespace == "default" else f".{service.namespace}"
    lines = [f"Service: {service.name}{suffix}"]
    for port in service.spec.get("ports") or []:
        protocol = port_protocol(
            port["port"], port.get("name") or "", port.get("appProtocol"), port.get("protocol", "TCP")
        )
        word = "auto-detect" if protocol.name == "AUTO" else protocol.name
        target = port.get("targetPort", port["port"])
        lines.append(f"   Port: {port.get('name') or ''} {port['port']}/{word} targets pod port {target}")
    subsets: list[str] = []
    for rule in snapshot.of("destinationrules.networking.istio.io"):
        if resolve_host(str(rule.spec.get("host", "")), rule.namespace) == host:
            subsets += list(_matching(rule, pod_labels))
            lines += _rule_lines(rule, pod_labels)
    for virtual_service in snapshot.of("virtualservices.networking.istio.io"):
        lines += _route_lines(virtual_service, host, subsets if pod_labels is not None else None)
    return lines


def _matching(rule: Resource, labels: Mapping[str, str] | None) -> Iterator[str]:
    for subset in rule.spec.get("subsets") or []:
        wanted = subset.get("labels") or {}
        if labels is None or all(labels.get(key) == value for key, value in wanted.items()):
            yield str(subset["name"])


def _rule_lines(rule: Resource, labels: Mapping[str, str] | None) -> Iterator[str]:
    yield f'DestinationRule: {rule.name} for "{rule.spec.get("host")}"'
    names = [str(subset["name"]) for subset in rule.spec.get("subsets") or []]
    matching = list(_matching(rule, labels))
    if labels is not None and names:
        if matching:
            yield f"   Matching subsets: {','.join(matching)}"
            if others := [name for name in names if name not in matching]:
                yield f"      (Non-matching subsets {','.join(others)})"
        else:
            yield f"   WARNING POD DOES NOT MATCH ANY SUBSETS.  (Non matching subsets {','.join(names)})"
    policy = rule.spec.get("trafficPolicy") or {}
    if not policy:
        yield "   No Traffic Policy"
    elif "tls" in policy:
        yield f"   Traffic Policy TLS Mode: {policy['tls'].get('mode')}"
    for field, text in (
        ("loadBalancer", "load balancer"),
        ("connectionPool", "connection pool"),
        ("outlierDetection", "outlier detection"),
    ):
        if field in policy:
            yield f"      Policies: {text}"


def _route_lines(virtual_service: Resource, host: str, subsets: Sequence[str] | None) -> Iterator[str]:
    routes = [
        target
        for target in destinations(virtual_service)
        if resolve_host(target.host, virtual_service.namespace) == host
    ]
    if not routes:
        return
    yield f"VirtualService: {virtual_service.name}"
    for target in routes:
        if target.mirror:
            continue
        weight: object = virtual_service.obj
        for key in target.path[:-2]:
            weight = weight[key]  # type: ignore[index]
        share = weight.get("weight") if isinstance(weight, dict) else None
        if subsets is not None and target.subset and target.subset not in subsets:
            yield f"   Route to non-matching subset {target.subset}" + (f" with weight {share}%" if share else "")
        else:
            yield (
                f'   Route to host "{target.host}"'
                + (f" subset {target.subset}" if target.subset else "")
                + (f" with weight {share}%" if share is not None else "")
            )


def _selected(policy: Resource, labels: Mapping[str, str]) -> bool:
    wanted = (policy.spec.get("selector") or {}).get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items())


def _authentication(snapshot: Snapshot, labels: Mapping[str, str], namespace: str, root: str) -> Iterator[str]:
    """Workload over namespace over mesh; the oldest of a level; UNSET inherits."""
    mode, applied = "PERMISSIVE", []
    levels: tuple[list[Resource], ...] = ([], [], [])
    for policy in snapshot.of("peerauthentications.security.istio.io"):
        selective = bool((policy.spec.get("selector") or {}).get("matchLabels"))
        if selective and policy.namespace == namespace and _selected(policy, labels):
            levels[2].append(policy)
        elif not selective and policy.namespace == namespace and namespace != root:
            levels[1].append(policy)
        elif not selective and policy.namespace == root:
            levels[0].append(policy)
    for level in levels:
        oldest = sorted(level, key=lambda item: (item.obj["metadata"].get("creationTimestamp") or "", item.name))[:1]
        for policy in oldest:
            applied.append(f"{policy.name}.{policy.namespace}")
            stated = (policy.spec.get("mtls") or {}).get("mode", "UNSET")
            mode = mode if stated == "UNSET" else stated
    yield "Effective PeerAuthentication:"
    yield f"   Workload mTLS mode: {mode}"
    if applied:
        yield "Applied PeerAuthentication:"
        yield f"   {', '.join(applied)}"
