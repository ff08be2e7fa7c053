"""Turn an installation's spec into Kubernetes objects, grouped by the component they belong to. Pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any

import yaml

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.manifests import istio_crds
from meshlab.minicluster.mesh.istio.manifests.options import OptionsError, Spec, merge
from meshlab.minicluster.mesh.istio.manifests.webhooks import default_validator, injector_webhooks

COMPONENT_LABEL = "operator.istio.io/component"
MANAGED_LABEL = "operator.istio.io/managed"
VERSION_LABEL = "operator.istio.io/version"
OWNER_LABEL = "install.operator.istio.io/owning-resource"
REVISION_LABEL = "istio.io/rev"

GATEWAY_PORTS: dict[str, list[Obj]] = {
    "IngressGateways": [
        {"name": "status-port", "port": 15021, "protocol": "TCP", "targetPort": 15021},
        {"name": "http2", "port": 80, "protocol": "TCP", "targetPort": 8080},
        {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443},
        {"name": "tcp", "port": 31400, "protocol": "TCP", "targetPort": 31400},
        {"name": "tls", "port": 15443, "protocol": "TCP", "targetPort": 15443},
    ],
    "EgressGateways": [
        {"name": "http2", "port": 80, "protocol": "TCP", "targetPort": 8080},
        {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443},
    ],
}
SERVICE_TYPES = {"IngressGateways": "LoadBalancer", "EgressGateways": "ClusterIP"}
ISTIO_LABELS = {"istio-ingressgateway": "ingressgateway", "istio-egressgateway": "egressgateway"}


class _Template(Template):
    """``@name`` instead of ``$name``: manifests use ``$(VAR)`` themselves."""

    delimiter = "@"


@dataclass(frozen=True, slots=True)
class Component:
    """One component of an installation and its objects, in the order in which they are applied."""

    name: str
    """``Base``, ``Pilot``, ``IngressGateways`` or ``EgressGateways``, as the label carries it."""
    objects: tuple[Obj, ...]


def render(spec: Spec, *, version: str) -> list[Component]:
    """The components that the spec enables; one that is disabled has no objects.

    Args:
        spec: what `options.resolve` made of the user's options.
        version: istioctl's version, for the version label.
    """
    components = spec.spec["components"]
    rendered = {
        "Base": _base(spec) if _enabled(components["base"]) else [],
        "Pilot": _pilot(spec) if _enabled(components["pilot"]) else [],
        "IngressGateways": _gateways(spec, "IngressGateways", components["ingressGateways"]),
        "EgressGateways": _gateways(spec, "EgressGateways", components["egressGateways"]),
    }
    for name, objects in rendered.items():
        for obj in objects:
            labels = obj["metadata"].setdefault("labels", {})
            labels |= {
                COMPONENT_LABEL: name,
                MANAGED_LABEL: "Reconcile",
                VERSION_LABEL: version,
                OWNER_LABEL: spec.owner,
                REVISION_LABEL: spec.revision,
            }
    return [Component(name, tuple(objects)) for name, objects in rendered.items()]


def _enabled(component: Obj) -> bool:
    return component.get("enabled") is True


def _budgets(spec: Spec) -> bool:
    return bool(spec.spec["values"]["global"]["defaultPodDisruptionBudget"]["enabled"])


def _base(spec: Spec) -> list[Obj]:
    return [*istio_crds(), *_documents("base.yaml", {"namespace": spec.namespace})]


def _pilot(spec: Spec) -> list[Obj]:
    values, revision, namespace = spec.spec["values"], spec.revision, spec.namespace
    default = revision == "default"
    suffix = "" if default else f"-{revision}"
    webhook_suffix = suffix if namespace == "istio-system" else f"{suffix}-{namespace}"
    objects = _documents(
        "istiod.yaml",
        {
            "namespace": namespace,
            "revision": revision,
            "suffix": suffix,
            "webhookSuffix": webhook_suffix,
            "selectorLabel": "istio: pilot" if default else f'istio.io/rev: "{revision}"',
            "istioLabel": "pilot" if default else "istiod",
            "hub": spec.spec["hub"],
            "tag": spec.spec["tag"],
        },
    )
    result = []
    for obj in objects:
        kind, name = obj["kind"], obj["metadata"]["name"]
        if kind == "ConfigMap" and name == f"istio{suffix}":
            obj["data"] = {"mesh": _yaml(mesh_config(spec)), "meshNetworks": "networks: {}"}
        elif kind == "ConfigMap":
            obj["data"] = {"config": injector_config(spec), "values": json.dumps(injector_values(spec), indent=2)}
        elif kind == "MutatingWebhookConfiguration":
            injector = values["sidecarInjectorWebhook"]
            obj["webhooks"] = injector_webhooks(
                namespace,
                revision,
                every_namespace=bool(injector["enableNamespacesByDefault"]),
                reinvocation=injector["reinvocationPolicy"],
            )
        elif kind == "Deployment":
            obj["spec"]["replicas"] = values["pilot"]["replicaCount"]
            env = {"PILOT_TRACE_SAMPLING": str(values["pilot"]["traceSampling"])}
            env |= {key: str(value) for key, value in values["pilot"]["env"].items()}
            overlay = {"env": [{"name": key, "value": value} for key, value in env.items()]}
            _overlay_workload(obj, overlay, "pilot")
            _overlay_workload(obj, spec.spec["components"]["pilot"].get("k8s") or {}, "pilot")
        elif kind == "PodDisruptionBudget" and not _budgets(spec):
            continue
        result.append(obj)
    # For any other revision the tag "default" brings the validator, if this revision is to have the tag.
    if spec.spec["values"]["defaultRevision"] == revision:
        result.append(default_validator(namespace, revision))
    return result


def mesh_config(spec: Spec) -> Obj:
    """The MeshConfig that goes into ConfigMap ``istio``, key ``mesh``."""
    suffix = "" if spec.revision == "default" else f"-{spec.revision}"
    defaults: Obj = {
        "defaultConfig": {"discoveryAddress": f"istiod{suffix}.{spec.namespace}.svc:15012"},
        "defaultProviders": {"metrics": ["prometheus"]},
        "enablePrometheusMerge": True,
        "rootNamespace": spec.namespace,
        "trustDomain": "cluster.local",
    }
    config: Obj = merge(defaults, spec.spec["meshConfig"])
    return dict(sorted(config.items()))


def injector_values(spec: Spec) -> Obj:
    """The part of the values that injection reads, as upstream stores it beside its templates."""
    values = spec.spec["values"]
    shared = {
        "hub": spec.spec["hub"],
        "tag": spec.spec["tag"],
    }
    return {
        "gateways": {key: values["gateways"][key] for key in ("seccompProfile", "securityContext")},
        "global": values["global"] | shared,
        "pilot": {key: values["pilot"][key] for key in ("cni", "env")},
        "revision": "" if spec.revision == "default" else spec.revision,
        "sidecarInjectorWebhook": values["sidecarInjectorWebhook"],
    }


def injector_config(spec: Spec) -> str:
    """The injector's own configuration: policy and selectors. The templates are built into the lab's istiod."""
    injector = spec.spec["values"]["sidecarInjectorWebhook"]
    config = {
        "defaultTemplates": injector["defaultTemplates"] or ["sidecar"],
        "policy": spec.spec["values"]["global"]["proxy"]["autoInject"],
        "alwaysInjectSelector": injector["alwaysInjectSelector"],
        "neverInjectSelector": injector["neverInjectSelector"],
        "injectedAnnotations": injector["injectedAnnotations"],
        "templates": injector["templates"],
    }
    return "# The sidecar and gateway templates are built into the lab's istiod.\n" + _yaml(config)


def _gateways(spec: Spec, component: str, gateways: list[Obj]) -> list[Obj]:
    result = []
    for gateway in gateways:
        if not _enabled(gateway):
            continue
        name = gateway["name"]
        labels = {"app": name, "istio": ISTIO_LABELS.get(name, name)} | (gateway.get("label") or {})
        substitutions = {
            "name": name,
            "namespace": gateway.get("namespace") or spec.namespace,
            "app": labels["app"],
            "istio": labels["istio"],
            "revision": spec.revision,
            "component": component,
        }
        for obj in _documents("gateway.yaml", substitutions):
            overlay = gateway.get("k8s") or {}
            if obj["kind"] == "Service":
                obj["spec"] |= {"type": SERVICE_TYPES[component], "ports": copy.deepcopy(GATEWAY_PORTS[component])}
                _overlay_service(obj, overlay)
            elif obj["kind"] == "Deployment":
                _gateway_workload(obj, component, spec.revision)
                _overlay_workload(obj, overlay, name)
            elif obj["kind"] == "PodDisruptionBudget" and not _budgets(spec):
                continue
            result.append(obj)
    return result


def _gateway_workload(deployment: Obj, component: str, revision: str) -> None:
    template = deployment["spec"]["template"]
    ports = [{"containerPort": port["targetPort"], "protocol": "TCP"} for port in GATEWAY_PORTS[component]]
    ports.append({"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"})
    template["spec"]["containers"][0]["ports"] = ports
    if revision != "default":
        template["metadata"]["labels"][REVISION_LABEL] = revision


WORKLOAD_OVERLAYS = frozenset(
    [
        "env",
        "resources",
        "replicaCount",
        "nodeSelector",
        "tolerations",
        "affinity",
        "podAnnotations",
        "strategy",
        "imagePullPolicy",
        "priorityClassName",
        "service",
        "serviceAnnotations",
        "hpaSpec",
        "podDisruptionBudget",
        "overlays",
        "securityContext",
    ]
)


NOT_APPLIED = ("hpaSpec", "overlays", "podDisruptionBudget")
"""Of those, what is accepted and changes nothing here."""


def not_applied(spec: Spec) -> list[str]:
    """The ``k8s`` settings of an installation that change nothing, by path."""
    found = []
    for name, component in spec.spec["components"].items():
        for each in component if isinstance(component, list) else [component]:
            settings = each.get("k8s") or {}
            where = f"components.{name}" + (f".[name:{each['name']}]" if isinstance(component, list) else "")
            found += [f"{where}.k8s.{field}" for field in NOT_APPLIED if field in settings]
    return found


def _overlay_workload(deployment: Obj, overlay: Mapping[str, Any], owner: str) -> None:
    """Lay ``components.<x>.k8s`` over a Deployment."""
    for field in overlay:
        if field not in WORKLOAD_OVERLAYS:
            raise OptionsError(f'unknown field "{field}" in k8s settings of {owner}')
    pod = deployment["spec"]["template"]
    container = pod["spec"]["containers"][0]
    if "replicaCount" in overlay:
        deployment["spec"]["replicas"] = overlay["replicaCount"]
    if "strategy" in overlay:
        deployment["spec"]["strategy"] = overlay["strategy"]
    if "env" in overlay:
        container["env"] = merge(container.get("env") or [], overlay["env"])
        for entry in container["env"]:
            if "valueFrom" in entry and "value" in entry:
                del entry["valueFrom"]
    if "resources" in overlay:
        container["resources"] = merge(container.get("resources") or {}, overlay["resources"])
    if "imagePullPolicy" in overlay:
        container["imagePullPolicy"] = overlay["imagePullPolicy"]
    for field in ("nodeSelector", "tolerations", "affinity", "priorityClassName", "securityContext"):
        if field in overlay:
            pod["spec"][field] = overlay[field]
    if "podAnnotations" in overlay:
        pod["metadata"]["annotations"] |= overlay["podAnnotations"]


def _overlay_service(service: Obj, overlay: Mapping[str, Any]) -> None:
    """Lay ``k8s.service`` and ``k8s.serviceAnnotations`` over a gateway's Service; given ports replace the default."""
    if "service" in overlay:
        given = dict(overlay["service"])
        if "ports" in given:
            service["spec"]["ports"] = given.pop("ports")
        service["spec"] = merge(service["spec"], given)
    if "serviceAnnotations" in overlay:
        service["metadata"]["annotations"] = dict(overlay["serviceAnnotations"])


def _documents(template: str, values: Mapping[str, str]) -> list[Obj]:
    text = _Template((files(__package__) / template).read_text()).substitute(values)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, loader) if document]


def _yaml(value: object) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, default_flow_style=False)
    return text
