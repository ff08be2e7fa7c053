"""The admission plugins of the server itself: namespace lifecycle and ServiceAccounts."""

from __future__ import annotations

from meshlab.minicluster.apiserver import names, statuses
from meshlab.minicluster.apiserver.admission.attributes import Attributes
from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.apiserver.strategies.podspec import containers, default_volume
from meshlab.minicluster.kubeapi import Obj, StatusError

IMMORTAL_NAMESPACES = ("default", "kube-system", "kube-public")
TOKEN_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_EXPIRATION_S = 3607
ROOT_CA_CONFIG_MAP = "kube-root-ca.crt"
_MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
# Reviews are answered even where the namespace is gone.
_EXEMPT_GROUPS = ("authorization.k8s.io", "authentication.k8s.io")


class NamespaceLifecycle:
    """Nothing is created in a namespace that is missing or going; the system's namespaces cannot be deleted."""

    def admit(self, attributes: Attributes, store: Store) -> None:
        request = attributes.request
        resource = request.resource
        if attributes.operation == "DELETE" and resource.storage == "namespaces":
            if request.name in IMMORTAL_NAMESPACES:
                raise statuses.forbidden(resource, request.name, "this namespace may not be deleted")
            return
        if not resource.namespaced or attributes.operation != "CREATE" or resource.group in _EXEMPT_GROUPS:
            return
        namespace = store.get("namespaces", ("", request.namespace))
        if namespace is None:
            raise StatusError(
                404,
                "NotFound",
                f'namespaces "{request.namespace}" not found',
                {"name": request.namespace, "kind": "namespaces"},
            )
        if namespace.obj["metadata"].get("deletionTimestamp") and not request.subresource:
            message = f"namespace {request.namespace} is being terminated"
            raise statuses.forbidden(
                resource,
                attributes.name,
                f"unable to create new content in namespace {request.namespace} because it is being terminated",
                [{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}],
            )


class ServiceAccounts:
    """Every pod runs as a ServiceAccount and finds its token, the cluster's CA and its namespace in a volume."""

    def admit(self, attributes: Attributes, store: Store) -> None:
        request, pod = attributes.request, attributes.obj
        if request.resource.storage != "pods" or request.subresource or attributes.operation != "CREATE" or pod is None:
            return
        if _MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {}):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = store.get("serviceaccounts", (request.namespace, name))
        if account is None:
            raise statuses.forbidden(
                request.resource,
                attributes.name,
                f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found',
            )
        if not spec.get("imagePullSecrets") and account.obj.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(reference) for reference in account.obj["imagePullSecrets"]]
        automount = spec.get("automountServiceAccountToken")
        if automount is None:
            automount = account.obj.get("automountServiceAccountToken")
        if automount is not False:
            mount_token(spec)


def mount_token(spec: Obj) -> None:
    """Give every container that has nothing at the token's path the ``kube-api-access`` volume, in place."""
    volumes = spec.get("volumes") or []
    volume_name = next((v["name"] for v in volumes if str(v.get("name", "")).startswith("kube-api-access-")), None)
    missing = [
        container
        for field, container in containers(spec)
        if not field.startswith("ephemeral")
        and not any(mount.get("mountPath") == TOKEN_MOUNT_PATH for mount in container.get("volumeMounts") or ())
    ]
    if not missing:
        return
    if volume_name is None:
        volume_name = names.generate("kube-api-access-")
        spec["volumes"] = [*volumes, _token_volume(volume_name)]
    for container in missing:
        mount = {"name": volume_name, "readOnly": True, "mountPath": TOKEN_MOUNT_PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]


def _token_volume(name: str) -> Obj:
    volume: Obj = {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_EXPIRATION_S, "path": "token"}},
                {"configMap": {"name": ROOT_CA_CONFIG_MAP, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]
        },
    }
    default_volume(volume)
    return volume
