"""Whether a pod gets a sidecar: two steps, as upstream takes them.

First the API server decides, by labels alone, whether it calls the injection webhook; then the injector looks at the
pod itself: host network, ignored namespaces, the pod's label or annotation, the selectors of its configuration, its
policy. Both steps are here, so that the webhook, ``kube-inject``, ``analyze`` and ``check-inject`` answer alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.labels import selects
from meshlab.minicluster.mesh.istio.reading import label_selector

INJECT = "sidecar.istio.io/inject"
REVISION = "istio.io/rev"
INJECTION = "istio-injection"
STATUS = "sidecar.istio.io/status"
PROXY_CONTAINER = "istio-proxy"
DEFAULT_REVISION = "default"
IGNORED_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})


@dataclass(frozen=True, slots=True)
class InjectionConfig:
    """What the ConfigMaps ``istio-sidecar-injector`` and ``istio`` say about injection."""

    policy: str = "enabled"
    never_inject: Sequence[Obj] = ()
    """Label selectors; a pod that one of them selects is not injected unless it says so itself."""
    always_inject: Sequence[Obj] = ()
    injected_annotations: Mapping[str, str] = field(default_factory=dict)
    default_templates: Sequence[str] = ("sidecar",)
    templates: Mapping[str, str] = field(default_factory=dict)
    """Templates of one's own, by name."""
    values: Obj = field(default_factory=dict)
    """The installation's values, as far as injection reads them."""
    mesh_config: Obj = field(default_factory=dict)
    revision: str = DEFAULT_REVISION

    @classmethod
    def from_config_maps(cls, injector: Obj, mesh: Obj | None = None) -> InjectionConfig:
        """Read the two ConfigMaps.

        Raises:
            ValueError: the YAML or JSON in them is malformed.
        """
        data = injector.get("data") or {}
        try:
            config = yaml.safe_load(data.get("config") or "") or {}
            values = yaml.safe_load(data.get("values") or "") or {}
            mesh_config = yaml.safe_load(((mesh or {}).get("data") or {}).get("mesh") or "") or {}
        except yaml.YAMLError as error:
            raise ValueError(f"the injection configuration is not valid YAML: {error}") from error
        return cls(
            policy=str(config.get("policy") or "enabled"),
            never_inject=config.get("neverInjectSelector") or (),
            always_inject=config.get("alwaysInjectSelector") or (),
            injected_annotations=config.get("injectedAnnotations") or {},
            default_templates=config.get("defaultTemplates") or ("sidecar",),
            templates=config.get("templates") or {},
            values=values,
            mesh_config=mesh_config,
            revision=str(values.get("revision") or DEFAULT_REVISION),
        )

    @property
    def every_namespace(self) -> bool:
        """Whether namespaces without a label are injected (``enableNamespacesByDefault``)."""
        return bool((self.values.get("sidecarInjectorWebhook") or {}).get("enableNamespacesByDefault"))


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a pod is injected, and why."""

    inject: bool
    reason: str
    webhook: str = ""
    """The entry that selects the pod: ``namespace``, ``object``, ``rev.namespace``, ``rev.object`` or ``auto``."""


def decide(pod: Obj, namespace: Obj, config: InjectionConfig) -> Decision:
    """Both steps: what happens to this pod when it is created in this namespace."""
    entry = selecting_webhook(pod, namespace, config)
    if not entry:
        return Decision(False, "no injection webhook selects the pod")
    accepted = accept(pod, namespace["metadata"]["name"], config)
    return Decision(accepted.inject, accepted.reason, entry)


def selecting_webhook(pod: Obj, namespace: Obj, config: InjectionConfig) -> str:
    """The webhook entry of this revision that makes the API server call the injector; empty if none does."""
    labels = pod["metadata"].get("labels") or {}
    namespace_labels = namespace["metadata"].get("labels") or {}
    inject, pod_revision = labels.get(INJECT), labels.get(REVISION)
    injection, revision = namespace_labels.get(INJECTION), namespace_labels.get(REVISION)
    unlabelled = injection is None and revision is None
    is_default = config.revision == DEFAULT_REVISION
    if inject == "false":
        return ""
    if revision == config.revision and injection is None:
        return "rev.namespace"
    if unlabelled and pod_revision == config.revision:
        return "rev.object"
    if is_default and injection == "enabled":
        return "namespace"
    if is_default and unlabelled and inject == "true" and pod_revision is None:
        return "object"
    if (
        is_default
        and config.every_namespace
        and unlabelled
        and namespace["metadata"]["name"] not in IGNORED_NAMESPACES
        and inject is None
        and pod_revision is None
    ):
        return "auto"
    return ""


def accept(pod: Obj, namespace: str, config: InjectionConfig) -> Decision:
    """The injector's own test, for a pod that reached it."""
    metadata = pod["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if (pod.get("spec") or {}).get("hostNetwork"):
        return Decision(False, "host networking is enabled")
    if namespace in IGNORED_NAMESPACES:
        return Decision(False, f"namespace {namespace} is never injected")
    source, override = ("label", labels[INJECT]) if INJECT in labels else ("annotation", annotations.get(INJECT))
    if override in ("true", "false"):
        return Decision(override == "true", f"{source} {INJECT}={override}")
    if any(_selects(selector, labels) for selector in config.never_inject):
        return Decision(False, "a neverInjectSelector selects the pod")
    if any(_selects(selector, labels) for selector in config.always_inject):
        return Decision(True, "an alwaysInjectSelector selects the pod")
    return Decision(config.policy == "enabled", f"the policy is {config.policy}")


def is_injected(pod: Obj) -> bool:
    """Whether a proxy was injected before: the status annotation, and the container in either list."""
    if STATUS not in (pod["metadata"].get("annotations") or {}):
        return False
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    return any(container.get("name") == PROXY_CONTAINER for container in containers)


def _selects(selector: Obj, labels: Mapping[str, str]) -> bool:
    """A ``metav1.LabelSelector``; an empty one selects nothing here, as upstream's injector has it."""
    given = label_selector(selector)
    return any(given.values()) and selects(given, labels)
