"""What istiod deploys for a Gateway of the Gateway API: ServiceAccount, Deployment and Service. Pure.

Upstream's template ``kube-gateway``; the proxy's container is that of the injection template ``gateway``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.gatewayapi.classes import GROUP
from meshlab.minicluster.mesh.gatewayapi.gateways import MANAGED_LABEL, NAME_OVERRIDE, deployment_name
from meshlab.minicluster.mesh.istio.inject_decision import INJECT, InjectionConfig
from meshlab.minicluster.mesh.istio.inject_templates import Owner, TemplateInput, gateway
from meshlab.minicluster.mesh.istio.reading import mapping, objects, string_map, text

SERVICE_ACCOUNT = "gateway.istio.io/service-account"
SERVICE_TYPE = "networking.istio.io/service-type"
CONTROLLER_VERSION = "gateway.istio.io/controller-version"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
NOT_COPIED = frozenset({LAST_APPLIED, NAME_OVERRIDE, SERVICE_ACCOUNT, CONTROLLER_VERSION})
MANAGER = "istio.io-gateway-controller"
NAME_LABEL = f"{GROUP}/gateway-name"
CLASS_LABEL = f"{GROUP}/gateway-class-name"
PORTS = (("metrics", 15020), ("status-port", 15021), ("http-envoy-prom", 15090))


def deployed_objects(obj: Obj, config: InjectionConfig) -> list[tuple[str, Obj]]:
    """(resource, object) of everything that a managed Gateway needs.

    Args:
        obj: the Gateway.
        config: the injector's configuration: image, resources, log levels.
    """
    metadata, spec = obj["metadata"], mapping(obj.get("spec"))
    annotations = string_map(metadata.get("annotations"))
    name = deployment_name(obj)
    account = annotations.get(SERVICE_ACCOUNT) or f"{metadata['name']}-{text(spec.get('gatewayClassName'))}"
    copied = _infrastructure(obj, "annotations")
    labels = {
        **_infrastructure(obj, "labels"),
        NAME_LABEL: metadata["name"],
        CLASS_LABEL: text(spec.get("gatewayClassName")),
        MANAGED_LABEL: MANAGER,
    }

    def described(own_name: str) -> Obj:
        owner = {"apiVersion": f"{GROUP}/v1", "kind": "Gateway", "name": metadata["name"], "uid": metadata["uid"]}
        found: Obj = {
            "name": own_name,
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner],
        }
        return {**found, "annotations": copied} if copied else found

    return [
        ("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": described(account)}),
        (
            "deployments.apps",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": described(name),
                "spec": {
                    "selector": {"matchLabels": {NAME_LABEL: metadata["name"]}},
                    "template": _pod(obj, name, account, labels, copied, config),
                },
            },
        ),
        (
            "services",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": described(name),
                "spec": _service(spec, metadata["name"], annotations.get(SERVICE_TYPE) or "LoadBalancer"),
            },
        ),
    ]


def _infrastructure(obj: Obj, part: str) -> dict[str, str]:
    """Labels or annotations for everything deployed: those of ``spec.infrastructure``, else the Gateway's own."""
    wanted = mapping(mapping(obj.get("spec")).get("infrastructure")).get(part)
    own = string_map(wanted if isinstance(wanted, dict) else obj["metadata"].get(part))
    return {
        key: value
        for key, value in own.items()
        if key not in NOT_COPIED and not (isinstance(wanted, dict) and key.startswith(f"{GROUP}/"))
    }


def _service(spec: Mapping[str, Any], name: str, service_type: str) -> Obj:
    ports: dict[int, Obj] = {15021: {"name": "status-port", "port": 15021, "protocol": "TCP", "appProtocol": "tcp"}}
    for listener in objects(spec.get("listeners")):
        port = {"name": text(listener.get("name")), "port": listener.get("port"), "protocol": "TCP"}
        ports.setdefault(
            int(listener.get("port") or 0), {**port, "appProtocol": text(listener.get("protocol")).lower()}
        )
    found: Obj = {"type": service_type, "selector": {NAME_LABEL: name}, "ports": list(ports.values())}
    addresses = objects(spec.get("addresses"))
    if addresses and service_type == "LoadBalancer":
        found["loadBalancerIP"] = text(addresses[0].get("value"))
    return found


def _pod(
    obj: Obj, name: str, account: str, labels: Mapping[str, str], copied: Mapping[str, str], config: InjectionConfig
) -> Obj:
    metadata = obj["metadata"]
    pod: Obj = {"metadata": {"labels": dict(labels), "annotations": dict(copied)}, "spec": {"containers": []}}
    given = TemplateInput(pod, metadata["namespace"], Owner(name, "Deployment", "apps/v1"), config)
    proxy = gateway(given)
    container = {
        **proxy.container,
        "ports": [{"containerPort": port, "name": port_name, "protocol": "TCP"} for port_name, port in PORTS],
        "env": [entry for entry in proxy.container["env"] if entry["name"] != "ISTIO_META_UNPRIVILEGED_POD"],
        "startupProbe": {
            **proxy.container["startupProbe"],
            "failureThreshold": 30,
            "initialDelaySeconds": 1,
            "timeoutSeconds": 1,
        },
    }
    return {
        "metadata": {
            "annotations": {**copied, **proxy.annotations},
            "labels": {
                INJECT: "false",
                "service.istio.io/canonical-name": name,
                "service.istio.io/canonical-revision": "latest",
                **labels,
            },
        },
        "spec": {
            "securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
            "serviceAccountName": account,
            "containers": [container],
            "volumes": proxy.volumes,
        },
    }


def laid_over(current: Any, wanted: Any) -> Any:
    """A wanted object over the one that is there: what the API server or other controllers added stays.

    Lists of named things follow the wanted list, each laid over the one of its name.
    """
    if isinstance(current, dict) and isinstance(wanted, dict):
        return {**current, **{key: laid_over(current.get(key), value) for key, value in wanted.items()}}
    if isinstance(current, list) and isinstance(wanted, list):
        named = {item["name"]: item for item in current if isinstance(item, dict) and "name" in item}
        return [
            laid_over(named.get(item["name"]), item) if isinstance(item, dict) and "name" in item else item
            for item in wanted
        ]
    return wanted
