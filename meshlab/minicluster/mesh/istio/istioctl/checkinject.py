"""``istioctl experimental check-inject``: which injection webhook takes a pod, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.labels import selects
from meshlab.minicluster.mesh.istio.inject_decision import INJECTION, REVISION
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.pods import find_pod
from meshlab.minicluster.mesh.istio.istioctl.revisiontag import NEVER
from meshlab.minicluster.mesh.istio.istioctl.session import connect
from meshlab.minicluster.mesh.istio.istioctl.table import columns


async def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("experimental check-inject", "Check whether a pod is, or would be, injected.")
    parser.add_argument("pod", nargs="?", default="", metavar="[type/]name[.namespace]")
    parser.add_argument("-l", "--labels", default="", help="check a pod with these labels instead: a=b,c=d")
    arguments = parser.parse(argv)
    if not arguments.pod and not arguments.labels:
        raise CommandError("requires a resource name or --labels", exit_code=EXIT_USAGE)
    async with connect(arguments) as session:
        namespace = session.default_namespace
        if arguments.pod:
            pod = await find_pod(session, arguments.pod)
            namespace = pod["metadata"]["namespace"]
            labels = pod["metadata"].get("labels") or {}
        else:
            labels = dict(part.partition("=")[::2] for part in arguments.labels.split(","))
        namespace_labels = (await session.api.get("namespaces", namespace))["metadata"].get("labels") or {}
        hooks = (await session.api.list("mutatingwebhookconfigurations.admissionregistration.k8s.io")).items
    injectors = sorted(filter(is_injector, hooks), key=lambda hook: str(hook["metadata"]["name"]))
    if not injectors:
        print("ERROR: no Istio injection hooks present.")
        return 0
    rows = [["WEBHOOK", "REVISION", "INJECTED", "REASON"]]
    for hook in injectors:
        injected, reason = verdict(hook, labels, namespace_labels)
        revision = (hook["metadata"].get("labels") or {}).get(REVISION, "default")
        rows.append([hook["metadata"]["name"], revision, "✔" if injected else "✘", reason])
    print(columns(rows, padding=5), end="")
    if sum(row[2] == "✔" for row in rows) > 1:
        print("ERROR: multiple webhooks will inject, which can lead to errors", end="")
    return 0


def is_injector(hook: Obj) -> bool:
    """Whether a configuration is Istio's; one of its entries' names says so."""
    return any(str(entry.get("name", "")).endswith("istio.io") for entry in hook.get("webhooks") or [])


def verdict(hook: Obj, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> tuple[bool, str]:
    """Whether one of a configuration's entries selects the pod, and what decides; upstream's order and words."""
    entries = hook.get("webhooks") or []
    for entry in entries:
        for_namespace, for_pod = entry.get("namespaceSelector") or {}, entry.get("objectSelector") or {}
        by_namespace, by_pod = selects(for_namespace, namespace_labels), selects(for_pod, labels)
        if by_namespace and by_pod:
            namespace, pod = _deciding(for_namespace, namespace_labels), _deciding(for_pod, labels)
            if namespace:
                also = f", and pod label {pod} matches" if pod else ""
                return True, f"Namespace label {namespace} matches{also}"
            if pod:
                return True, f"Pod label {pod} matches"
        elif by_namespace:
            for expression in for_pod.get("matchExpressions") or []:
                key, operator = expression["key"], expression["operator"]
                refusing = operator == "NotIn" and labels.get(key) in expression["values"]
                if key in labels and (refusing or operator == "DoesNotExist"):
                    return False, f"Pod has {key}={labels[key]} label, preventing injection"
        elif by_pod and namespace_labels.get(INJECTION, "enabled") != "enabled":
            return False, f"Namespace has {INJECTION}={namespace_labels[INJECTION]} label, preventing injection"
    if any(entry.get("namespaceSelector") == entry.get("objectSelector") == NEVER for entry in entries):
        return False, "The injection webhook is deactivated, and will never match labels."
    wanted = (
        ", ".join(f"{key}={value}" for entry in entries for key, value in _wanted(entry.get(selector) or {}))
        for selector in ("namespaceSelector", "objectSelector")
    )
    return False, "No matching namespace labels ({}) or pod labels ({})".format(*wanted)


def _wanted(selector: Obj) -> Iterator[tuple[str, str]]:
    for expression in selector.get("matchExpressions") or []:
        if expression["operator"] == "In":
            yield from ((expression["key"], value) for value in expression["values"])


def _deciding(selector: Obj, labels: Mapping[str, str]) -> str:
    """The first label that the selector compares with values."""
    for expression in selector.get("matchExpressions") or []:
        if expression["operator"] in ("In", "NotIn") and expression["key"] in labels:
            return f"{expression['key']}={labels[expression['key']]}"
    return ""
