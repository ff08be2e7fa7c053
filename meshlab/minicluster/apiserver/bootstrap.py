"""What a new cluster holds before anybody asks: namespaces, the ``kubernetes`` Service, roles and bindings."""

from __future__ import annotations

from meshlab.minicluster.apiserver.bootstrap_roles import cluster_role_bindings, cluster_roles
from meshlab.minicluster.apiserver.local import LocalApi
from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.network.addresses import LabNetwork

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SERVICE = "kubernetes"
_LABELS = {"component": "apiserver", "provider": "kubernetes"}


async def bootstrap(api: LocalApi, network: LabNetwork, host: str, port: int) -> None:
    """Make what is missing and point the ``kubernetes`` Service at this server."""
    # The Service first: its address is the first of the range, which nobody else may get.
    for name in NAMESPACES:
        await _ensure(api, "namespaces", {"metadata": {"name": name}})
    await _ensure(api, "services", _service(network), "default")
    await _ensure(api, "endpoints", _endpoints(host, port), "default", update=True)
    await _ensure(api, "endpointslices.discovery.k8s.io", _endpoint_slice(host, port), "default", update=True)
    for role in cluster_roles():
        await _ensure(api, "clusterroles.rbac.authorization.k8s.io", role)
    for binding in cluster_role_bindings():
        await _ensure(api, "clusterrolebindings.rbac.authorization.k8s.io", binding)


async def _ensure(
    api: LocalApi, resource: str, obj: Obj, namespace: str | None = None, *, update: bool = False
) -> None:
    try:
        await api.get(resource, obj["metadata"]["name"], namespace)
    except StatusError as error:
        if error.code != 404:
            raise
        await api.create(resource, obj, namespace)
        return
    if update:
        if namespace:
            obj = {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
        await api.update(resource, obj)


def _service(network: LabNetwork) -> Obj:
    return {
        "metadata": {"name": SERVICE, "labels": _LABELS},
        "spec": {
            "clusterIP": network.kubernetes_service_ip,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    }


def _endpoints(host: str, port: int) -> Obj:
    return {
        "metadata": {"name": SERVICE, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": host}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    }


def _endpoint_slice(host: str, port: int) -> Obj:
    return {
        "metadata": {"name": SERVICE, "labels": {"kubernetes.io/service-name": SERVICE}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
