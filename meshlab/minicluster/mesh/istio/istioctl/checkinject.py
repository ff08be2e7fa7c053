"""``istioctl experimental check-inject``: which injection webhook takes a pod, and why the others do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.pods import find_pod
from meshlab.minicluster.mesh.istio.istioctl.session import connect
from meshlab.minicluster.mesh.istio.istioctl.table import columns

NO_LABELS = (
    "No matching namespace labels (istio-injection=enabled, istio.io/rev) or pod labels (sidecar.istio.io/inject=true)"
)


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
    injectors = [hook for hook in hooks if any(is_injector(entry) for entry in hook.get("webhooks") or [])]
    if not injectors:
        raise CommandError(
            "no Istio injection webhook is present in the cluster",
            hint="istioctl install --set profile=demo -y  installs Istio.",
        )
    rows = [["WEBHOOK", "REVISION", "INJECTED", "REASON"]]
    for hook in injectors:
        injected, reason = verdict(hook, labels, namespace_labels)
        revision = (hook["metadata"].get("labels") or {}).get("istio.io/rev", "default")
        rows.append([hook["metadata"]["name"], revision, "✔" if injected else "✘", reason])
    print(columns(rows, padding=5), end="")
    return 0


def is_injector(entry: Obj) -> bool:
    """Whether a webhook entry is the sidecar injector's."""
    return str(entry.get("name", "")).endswith("sidecar-injector.istio.io")


def verdict(hook: Obj, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> tuple[bool, str]:
    """Whether one of a configuration's entries selects the pod, and the label that decides."""
    for entry in hook.get("webhooks") or []:
        chosen = is_injector(entry) and _selects(entry.get("namespaceSelector"), namespace_labels)
        if chosen and _selects(entry.get("objectSelector"), labels):
            return True, _reason(entry, labels, namespace_labels)
    if labels.get("sidecar.istio.io/inject") == "false":
        return False, "Pod label sidecar.istio.io/inject=false explicitly disables injection"
    if "istio-injection" in namespace_labels and namespace_labels["istio-injection"] != "enabled":
        value = namespace_labels["istio-injection"]
        return False, f"Namespace label istio-injection={value} does not enable injection"
    revision = namespace_labels.get("istio.io/rev") or labels.get("istio.io/rev")
    if revision:
        own = (hook["metadata"].get("labels") or {}).get("istio.io/rev", "default")
        return False, f"Label istio.io/rev={revision} does not match this revision ({own})"
    return False, NO_LABELS


def _reason(entry: Obj, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> str:
    prefix = entry["name"].removesuffix("sidecar-injector.istio.io").rstrip(".")
    return {
        "namespace": f"Namespace label istio-injection={namespace_labels.get('istio-injection')} matches",
        "object": f"Pod label sidecar.istio.io/inject={labels.get('sidecar.istio.io/inject')} matches",
        "rev.namespace": f"Namespace label istio.io/rev={namespace_labels.get('istio.io/rev')} matches",
        "rev.object": f"Pod label istio.io/rev={labels.get('istio.io/rev')} matches",
        "auto": "Injection is enabled for every namespace without labels",
    }.get(prefix, f"Webhook {entry['name']} matches")


def _selects(selector: Obj | None, labels: Mapping[str, str]) -> bool:
    """A ``metav1.LabelSelector`` of a webhook; an empty one selects everything."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], expression.get("values") or []
        matched = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[expression["operator"]]
        if not matched:
            return False
    return True
