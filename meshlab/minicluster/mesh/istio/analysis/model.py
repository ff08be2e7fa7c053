"""What analyzers read and write: a snapshot of resources, and messages about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.messages import MESSAGES, Level

KINDS: Mapping[tuple[str, str], str] = {
    ("", "Namespace"): "namespaces",
    ("", "Pod"): "pods",
    ("", "Service"): "services",
    ("", "Secret"): "secrets",
    ("", "ConfigMap"): "configmaps",
    ("apps", "Deployment"): "deployments.apps",
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
    ): "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    ("gateway.networking.k8s.io", "Gateway"): "gateways.gateway.networking.k8s.io",
    ("networking.istio.io", "VirtualService"): "virtualservices.networking.istio.io",
    ("networking.istio.io", "DestinationRule"): "destinationrules.networking.istio.io",
    ("networking.istio.io", "Gateway"): "gateways.networking.istio.io",
    ("networking.istio.io", "ServiceEntry"): "serviceentries.networking.istio.io",
    ("networking.istio.io", "Sidecar"): "sidecars.networking.istio.io",
    ("networking.istio.io", "EnvoyFilter"): "envoyfilters.networking.istio.io",
    ("networking.istio.io", "WorkloadEntry"): "workloadentries.networking.istio.io",
    ("networking.istio.io", "WorkloadGroup"): "workloadgroups.networking.istio.io",
    ("networking.istio.io", "ProxyConfig"): "proxyconfigs.networking.istio.io",
    ("security.istio.io", "AuthorizationPolicy"): "authorizationpolicies.security.istio.io",
    ("security.istio.io", "PeerAuthentication"): "peerauthentications.security.istio.io",
    ("security.istio.io", "RequestAuthentication"): "requestauthentications.security.istio.io",
    ("telemetry.istio.io", "Telemetry"): "telemetries.telemetry.istio.io",
    ("extensions.istio.io", "WasmPlugin"): "wasmplugins.extensions.istio.io",
}
"""Group and kind of everything that is analyzed, and how the API calls it."""

SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
CLUSTER_SCOPED = frozenset({"Namespace", "MutatingWebhookConfiguration"})
SUPPRESS_ANNOTATION = "galley.istio.io/analyze-suppress"

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """One object, and where in which file it stands, if it came from one."""

    obj: Obj
    file: str = ""
    lines: Mapping[Path, int] = field(default_factory=dict)
    """Line (from 1) of each value of the document; ``()`` is the document itself."""

    @property
    def kind(self) -> str:
        """``VirtualService``."""
        return str(self.obj["kind"])

    @property
    def group(self) -> str:
        """``networking.istio.io``; empty for the core group."""
        api_version = str(self.obj.get("apiVersion", ""))
        return api_version.rpartition("/")[0]

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """``metadata.namespace``; a Namespace's is its own name, as upstream's origins have it."""
        if self.kind == "Namespace":
            return self.name
        return str(self.obj["metadata"].get("namespace") or "")

    @property
    def full_name(self) -> str:
        """``namespace/name``, or the name of a cluster-scoped object."""
        return self.name if self.kind in CLUSTER_SCOPED else f"{self.namespace}/{self.name}"

    @property
    def labels(self) -> Mapping[str, str]:
        """``metadata.labels``."""
        return self.obj["metadata"].get("labels") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        """``metadata.annotations``."""
        return self.obj["metadata"].get("annotations") or {}

    @property
    def selector(self) -> Mapping[str, str]:
        """The labels by which the resource selects workloads, ``selector.matchLabels``; empty without a selector."""
        return (self.spec.get("selector") or {}).get("matchLabels") or {}

    @property
    def spec(self) -> Obj:
        """``spec``, empty if there is none."""
        spec = self.obj.get("spec")
        return spec if isinstance(spec, dict) else {}


@dataclass(frozen=True, slots=True)
class Message:
    """One finding about one resource."""

    code: str
    resource: Resource
    text: str
    path: Path = ()
    """Where in the resource; decides the line that is shown."""

    @property
    def level(self) -> Level:
        """Error, Warning or Info."""
        return MESSAGES[self.code].level

    @property
    def origin(self) -> str:
        """``VirtualService default/reviews``."""
        return f"{self.resource.kind} {self.resource.full_name}"

    @property
    def reference(self) -> str:
        """``file.yaml:12``; empty for an object of the cluster."""
        if not self.resource.file:
            return ""
        path = self.path
        while path and path not in self.resource.lines:
            path = path[:-1]
        line = self.resource.lines.get(path)
        return f"{self.resource.file}:{line}" if line else self.resource.file


def message(code: str, resource: Resource, *arguments: object, path: Path = ()) -> Message:
    """A message of the catalogue with its arguments filled in."""
    return Message(code, resource, MESSAGES[code].template.format(*arguments), path)


class Snapshot:
    """All resources that are analyzed together, by what the API calls their kind."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._by_kind: dict[str, list[Resource]] = {}
        for resource in resources:
            key = KINDS.get((resource.group, resource.kind))
            if key is not None:
                self._by_kind.setdefault(key, []).append(resource)

    def of(self, kind: str) -> Sequence[Resource]:
        """The resources of ``virtualservices.networking.istio.io`` and so on."""
        return self._by_kind.get(kind, [])


Analyze = Callable[[Snapshot], Iterable[Message]]


@dataclass(frozen=True, slots=True)
class Analyzer:
    """One analyzer: upstream's name for it, what it checks, and the pure function."""

    name: str
    description: str
    analyze: Analyze
