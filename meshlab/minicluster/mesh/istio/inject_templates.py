"""What injection adds to a pod: the ``sidecar`` and ``gateway`` templates of upstream, as functions of pod and values.

The proxy is a native sidecar (an init container with ``restartPolicy: Always``) unless the pod asks for the old form.
There is no ``istio-init``: traffic is captured by address, not by iptables; `meshlab doctor --fidelity` declares it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.inject_decision import PROXY_CONTAINER, InjectionConfig
from meshlab.minicluster.mesh.istio.inject_volumes import user_volumes

PROXY_UID = 1337
STATUS_PORT = 15020
READINESS_PORT = 15021
TELEMETRY_PORT = 15090
CA_PORT = 15012

CAPTURE_VALUES = (
    ("includeIPRanges", "traffic.sidecar.istio.io/includeOutboundIPRanges", "*"),
    ("excludeIPRanges", "traffic.sidecar.istio.io/excludeOutboundIPRanges", ""),
    ("includeOutboundPorts", "traffic.sidecar.istio.io/includeOutboundPorts", ""),
    ("excludeOutboundPorts", "traffic.sidecar.istio.io/excludeOutboundPorts", ""),
    ("includeInboundPorts", "traffic.sidecar.istio.io/includeInboundPorts", "*"),
    ("excludeInboundPorts", "traffic.sidecar.istio.io/excludeInboundPorts", ""),
)
"""(value below ``global.proxy``, annotation, default)."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The workload that a pod belongs to, as far as the pod itself tells."""

    name: str
    kind: str = "Pod"
    api_version: str = "v1"


def owner_of(pod: Obj) -> Owner:
    """The Deployment behind a ReplicaSet's pod (its name is the ReplicaSet's without the hash), else the controller."""
    metadata = pod["metadata"]
    for reference in metadata.get("ownerReferences") or []:
        if not reference.get("controller"):
            continue
        name, kind = reference["name"], reference["kind"]
        template_hash = (metadata.get("labels") or {}).get("pod-template-hash")
        if kind == "ReplicaSet" and template_hash and name.endswith(f"-{template_hash}"):
            return Owner(name.removesuffix(f"-{template_hash}"), "Deployment", "apps/v1")
        return Owner(name, kind, reference["apiVersion"])
    return Owner(metadata.get("name") or (metadata.get("generateName") or "").rstrip("-"))


@dataclass(frozen=True, slots=True)
class TemplateInput:
    """Everything that a template looks at."""

    pod: Obj
    namespace: str
    owner: Owner
    config: InjectionConfig

    @property
    def labels(self) -> Mapping[str, str]:
        """The pod's labels."""
        return self.pod["metadata"].get("labels") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        """The pod's annotations."""
        return self.pod["metadata"].get("annotations") or {}

    def value(self, *path: str, default: Any = None) -> Any:
        """A value of the installation, such as ``value("global", "proxy", "image")``."""
        node: Any = self.config.values
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
            if node is None:
                return default
        return node

    @property
    def native(self) -> bool:
        """Whether the proxy becomes a native sidecar: yes, unless the pod refuses (the node is new enough)."""
        return self.annotations.get("sidecar.istio.io/nativeSidecar") != "false"


@dataclass(frozen=True, slots=True)
class Injected:
    """What a template adds."""

    container: Obj
    volumes: list[Obj]
    labels: dict[str, str]
    annotations: dict[str, str]
    init: bool
    """The container goes to ``initContainers``."""


def sidecar(given: TemplateInput) -> Injected:
    """The template ``sidecar``."""
    containers = [container["name"] for container in given.pod["spec"].get("containers") or []]
    applications = [name for name in containers if name != PROXY_CONTAINER]
    annotations = {"istio.io/rev": given.config.revision}
    if applications:
        annotations["kubectl.kubernetes.io/default-logs-container"] = applications[0]
        annotations["kubectl.kubernetes.io/default-container"] = applications[0]
    annotations = {key: given.annotations.get(key, value) for key, value in annotations.items()}
    container = _proxy(given, "sidecar", applications)
    if given.native:
        container["restartPolicy"] = "Always"
    elif _holds_application(given):
        container["lifecycle"] = {"postStart": {"exec": {"command": ["pilot-agent", "wait"]}}}
    if given.value("global", "proxy", "startupProbe", "enabled", default=True):
        threshold = given.value("global", "proxy", "startupProbe", "failureThreshold", default=600)
        container["startupProbe"] = _health_probe(
            initialDelaySeconds=0, periodSeconds=1, timeoutSeconds=3, failureThreshold=threshold
        )
    labels = {"security.istio.io/tlsMode": given.labels.get("security.istio.io/tlsMode", "istio"), **_canonical(given)}
    annotations |= _prometheus(given) | _capture(given)
    volumes = [*_volumes(), *user_volumes(container, given.annotations)]
    return Injected(container, volumes, labels, annotations, init=given.native)


def gateway(given: TemplateInput) -> Injected:
    """The template ``gateway``: the pod's own container ``istio-proxy`` is filled in."""
    annotations = {
        "istio.io/rev": given.config.revision,
        "prometheus.io/path": "/stats/prometheus",
        "prometheus.io/port": str(STATUS_PORT),
        "prometheus.io/scrape": "true",
    }
    container = _proxy(given, "router", [PROXY_CONTAINER])
    container["env"].append({"name": "ISTIO_META_UNPRIVILEGED_POD", "value": "true"})
    container["startupProbe"] = _health_probe(
        initialDelaySeconds=0, periodSeconds=1, timeoutSeconds=3, failureThreshold=600
    )
    annotations = {key: given.annotations.get(key, value) for key, value in annotations.items()}
    return Injected(container, _volumes(), _canonical(given), annotations, init=False)


TEMPLATES = {"sidecar": sidecar, "gateway": gateway}


def _proxy(given: TemplateInput, role: str, applications: list[str]) -> Obj:
    annotations = given.annotations
    log_level = annotations.get("sidecar.istio.io/logLevel") or given.value(
        "global", "proxy", "logLevel", default="warning"
    )
    component_level = annotations.get("sidecar.istio.io/componentLogLevel") or given.value(
        "global", "proxy", "componentLogLevel", default="misc:error"
    )
    agent_level = annotations.get("sidecar.istio.io/agentLogLevel") or given.value(
        "global", "logging", "level", default="default:info"
    )
    domain = given.value("global", "proxy", "clusterDomain", default="cluster.local")
    container: Obj = {
        "name": PROXY_CONTAINER,
        "image": _image(given),
        "args": [
            "proxy",
            role,
            "--domain",
            f"$(POD_NAMESPACE).svc.{domain}",
            f"--proxyLogLevel={log_level}",
            f"--proxyComponentLogLevel={component_level}",
            f"--log_output_level={agent_level}",
        ],
        "ports": [{"containerPort": TELEMETRY_PORT, "name": "http-envoy-prom", "protocol": "TCP"}],
        "env": _environment(given, applications),
        "resources": _resources(given),
        "readinessProbe": _health_probe(
            initialDelaySeconds=given.value("global", "proxy", "readinessInitialDelaySeconds", default=0),
            periodSeconds=given.value("global", "proxy", "readinessPeriodSeconds", default=15),
            timeoutSeconds=3,
            failureThreshold=given.value("global", "proxy", "readinessFailureThreshold", default=4),
        ),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": PROXY_UID,
            "runAsNonRoot": True,
            "runAsUser": PROXY_UID,
        },
        "volumeMounts": [
            {"name": "workload-socket", "mountPath": "/var/run/secrets/workload-spiffe-uds"},
            {"name": "credential-socket", "mountPath": "/var/run/secrets/credential-uds"},
            {"name": "workload-certs", "mountPath": "/var/run/secrets/workload-spiffe-credentials"},
            {"name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio"},
            {"name": "istio-data", "mountPath": "/var/lib/istio/data"},
            {"name": "istio-envoy", "mountPath": "/etc/istio/proxy"},
            {"name": "istio-token", "mountPath": "/var/run/secrets/tokens"},
            {"name": "istio-podinfo", "mountPath": "/etc/istio/pod"},
        ],
    }
    pull_policy = given.value("global", "imagePullPolicy")
    if pull_policy:
        container["imagePullPolicy"] = pull_policy
    return container


def _image(given: TemplateInput) -> str:
    image = given.annotations.get("sidecar.istio.io/proxyImage") or given.value(
        "global", "proxy", "image", default="proxyv2"
    )
    if "/" in image:
        return str(image)
    hub = given.value("global", "hub", default="registry.istio.io/release")
    tag = given.value("global", "tag", default="1.31.0")
    kind = (_proxy_settings(given).get("image") or {}).get("imageType")
    return f"{hub}/{image}:{tag}-{kind}" if kind else f"{hub}/{image}:{tag}"


def _environment(given: TemplateInput, applications: list[str]) -> list[Obj]:
    def field(name: str, path: str) -> Obj:
        return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}

    def limit(name: str, resource: str) -> Obj:
        return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": "1"}}}

    def plain(name: str, value: str) -> Obj:
        return {"name": name, "value": value}

    namespace = given.value("global", "istioNamespace", default="istio-system")
    revision = given.config.revision
    suffix = "" if revision == "default" else f"-{revision}"
    owner = given.owner
    group = "" if "/" not in owner.api_version else owner.api_version
    base = f"apis/{group}" if group else f"api/{owner.api_version}"
    mesh_id = given.value("global", "meshID") or _trust_domain(given)
    ports = [
        {key: port[key] for key in ("name", "containerPort", "protocol") if key in port}
        for container in given.pod["spec"].get("containers") or []
        for port in container.get("ports") or []
    ]
    environment = [
        plain("PILOT_CERT_PROVIDER", given.value("global", "pilotCertProvider", default="istiod")),
        plain("CA_ADDR", given.value("global", "caAddress") or f"istiod{suffix}.{namespace}.svc:{CA_PORT}"),
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("INSTANCE_IP", "status.podIP"),
        field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        field("HOST_IP", "status.hostIP"),
        limit("ISTIO_CPU_LIMIT", "limits.cpu"),
        plain("PROXY_CONFIG", _proxy_config(given)),
        plain("ISTIO_META_POD_PORTS", json.dumps(ports)),
        plain("ISTIO_META_APP_CONTAINERS", ",".join(applications)),
        limit("GOMEMLIMIT", "limits.memory"),
        limit("GOMAXPROCS", "limits.cpu"),
        plain("ISTIO_META_CLUSTER_ID", given.value("global", "multiCluster", "clusterName") or "Kubernetes"),
        field("ISTIO_META_NODE_NAME", "spec.nodeName"),
        plain("ISTIO_META_INTERCEPTION_MODE", given.annotations.get("sidecar.istio.io/interceptionMode", "REDIRECT")),
        plain("ISTIO_META_WORKLOAD_NAME", owner.name),
        plain(
            "ISTIO_META_OWNER",
            f"kubernetes://{base}/namespaces/{given.namespace}/{owner.kind.lower()}s/{owner.name}",
        ),
        plain("ISTIO_META_MESH_ID", mesh_id),
        plain("TRUST_DOMAIN", _trust_domain(given)),
    ]
    variables = _proxy_settings(given).get("proxyMetadata") or {}
    # A flag such as ``--set ...ISTIO_META_DNS_CAPTURE=true`` arrives as a boolean.
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in variables.items()}
    environment += [plain(name, value) for name, value in sorted(texts.items())]
    merged = _merged_metrics(given)
    if merged:
        environment.append(plain("ISTIO_PROMETHEUS_ANNOTATIONS", json.dumps(merged, separators=(",", ":"))))
    return environment


def _trust_domain(given: TemplateInput) -> str:
    return str(given.config.mesh_config.get("trustDomain") or "cluster.local")


def _proxy_config(given: TemplateInput) -> str:
    """The proxy's configuration where it differs from the defaults."""
    config = _proxy_settings(given)
    if config.get("discoveryAddress") == "istiod.istio-system.svc:15012":
        del config["discoveryAddress"]
    return json.dumps(config, separators=(",", ":")) + "\n"


def _proxy_settings(given: TemplateInput) -> Obj:
    """The proxy's configuration: the mesh's, with fields of the pod's annotation instead; proxyMetadata are merged."""
    import yaml

    config = dict(given.config.mesh_config.get("defaultConfig") or {})
    own = yaml.safe_load(given.annotations.get("proxy.istio.io/config") or "") or {}
    metadata = {**(config.get("proxyMetadata") or {}), **(own.get("proxyMetadata") or {})}
    return config | own | ({"proxyMetadata": metadata} if metadata else {})


def _holds_application(given: TemplateInput) -> bool:
    import yaml

    override = yaml.safe_load(given.annotations.get("proxy.istio.io/config") or "") or {}
    default = given.config.mesh_config.get("defaultConfig") or {}
    return bool(
        override.get("holdApplicationUntilProxyStarts")
        or default.get("holdApplicationUntilProxyStarts")
        or given.value("global", "proxy", "holdApplicationUntilProxyStarts")
    )


def _resources(given: TemplateInput) -> Obj:
    """The four annotations replace the installation's values altogether, as upstream."""
    wanted = {
        ("requests", "cpu"): given.annotations.get("sidecar.istio.io/proxyCPU"),
        ("requests", "memory"): given.annotations.get("sidecar.istio.io/proxyMemory"),
        ("limits", "cpu"): given.annotations.get("sidecar.istio.io/proxyCPULimit"),
        ("limits", "memory"): given.annotations.get("sidecar.istio.io/proxyMemoryLimit"),
    }
    if not any(wanted.values()):
        return dict(given.value("global", "proxy", "resources", default={}))
    resources: Obj = {}
    for (kind, resource), amount in wanted.items():
        if amount:
            resources.setdefault(kind, {})[resource] = amount
    return resources


def _health_probe(**timing: int) -> Obj:
    return {"httpGet": {"path": "/healthz/ready", "port": READINESS_PORT}, **timing}


def _canonical(given: TemplateInput) -> dict[str, str]:
    """Canonical name and revision: the label itself, the recommended label, the short one, the workload's name."""
    name_labels = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
    revision_labels = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
    name = next((given.labels[key] for key in name_labels if given.labels.get(key)), given.owner.name)
    revision = next((given.labels[key] for key in revision_labels if given.labels.get(key)), "latest")
    return {
        "service.istio.io/canonical-name": name[:63].rstrip("-"),
        "service.istio.io/canonical-revision": revision,
    }


def _merges_metrics(given: TemplateInput) -> bool:
    """The pod's word counts before the mesh's."""
    own = given.annotations.get("prometheus.istio.io/merge-metrics")
    return bool(given.config.mesh_config.get("enablePrometheusMerge", True)) if own is None else own == "true"


def _merged_metrics(given: TemplateInput) -> dict[str, str]:
    """Where the application's own metrics are, for the agent to serve beside Envoy's."""
    keys = {"scrape": "prometheus.io/scrape", "path": "prometheus.io/path", "port": "prometheus.io/port"}
    if not _merges_metrics(given) or given.annotations.get(keys["scrape"]) == "false":
        return {}
    return {key: given.annotations[name] for key, name in keys.items() if name in given.annotations}


def _prometheus(given: TemplateInput) -> dict[str, str]:
    if not _merges_metrics(given) or given.annotations.get("prometheus.io/scrape") == "false":
        return {}
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(STATUS_PORT),
        "prometheus.io/path": "/stats/prometheus",
    }


def _capture(given: TemplateInput) -> dict[str, str]:
    """What the installation says of captured traffic, where the pod does not say it itself.

    Upstream hands both to istio-init; here they stand in the pod's annotations.
    """
    found = {}
    for value, annotation, default in CAPTURE_VALUES:
        wanted = str(given.value("global", "proxy", value, default=default))
        if wanted != default:
            found[annotation] = given.annotations.get(annotation, wanted)
    return found


def _volumes() -> list[Obj]:
    token = {"path": "istio-token", "expirationSeconds": 43200, "audience": "istio-ca"}
    return [
        {"name": "workload-socket", "emptyDir": {}},
        {"name": "credential-socket", "emptyDir": {}},
        {"name": "workload-certs", "emptyDir": {}},
        {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}},
        {"name": "istio-data", "emptyDir": {}},
        {
            "name": "istio-podinfo",
            "downwardAPI": {
                "items": [
                    {"path": "labels", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels"}},
                    {"path": "annotations", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.annotations"}},
                ]
            },
        },
        {"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}},
    ]
