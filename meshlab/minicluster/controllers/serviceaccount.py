"""What every namespace has: the ServiceAccount ``default`` and the ConfigMap ``kube-root-ca.crt``."""

from __future__ import annotations

from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.controllers.ownership import is_being_deleted
from meshlab.minicluster.controllers.podcontrol import namespace_is_terminating
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Handler, Key
from meshlab.minicluster.kubeapi import Obj, StatusError

ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class NamespaceDefaults(Controller):
    """Keeps the default ServiceAccount and the root certificate in every active namespace.

    Args:
        api: caches and API.
        recorder: unused; these controllers emit no events.
        ca_pem: the certificate authority of the API server.
    """

    def __init__(self, api: CachedApi, recorder: EventRecorder, ca_pem: str) -> None:
        super().__init__(api, recorder)
        self._ca_pem = ca_pem
        self._namespaces = api.cache("namespaces")
        self._accounts = api.cache("serviceaccounts")
        self._maps = api.cache("configmaps")
        self.watch("namespaces")
        for cache, name in ((self._accounts, ACCOUNT), (self._maps, ROOT_CA)):
            cache.subscribe(self._on_change_of(name))

    def _on_change_of(self, name: str) -> Handler:
        def changed(old: Obj | None, new: Obj | None) -> None:
            metadata = (new if new is not None else old or {})["metadata"]
            if metadata["name"] == name and old is not None:
                self.queue.add(("", metadata["namespace"]))

        return changed

    async def reconcile(self, key: Key) -> None:
        _, name = key
        namespace = self._namespaces.get(name)
        if namespace is None or is_being_deleted(namespace):
            return
        try:
            if self._accounts.get(ACCOUNT, name) is None:
                account = {
                    "apiVersion": "v1",
                    "kind": "ServiceAccount",
                    "metadata": {"name": ACCOUNT, "namespace": name},
                }
                await self._create("serviceaccounts", account, name)
            await self._root_ca(name)
        except StatusError as error:
            if not namespace_is_terminating(error):
                raise

    async def _root_ca(self, namespace: str) -> None:
        data = {"ca.crt": self._ca_pem}
        current = self._maps.get(ROOT_CA, namespace)
        if current is None:
            metadata = {
                "name": ROOT_CA,
                "namespace": namespace,
                "annotations": {"kubernetes.io/description": DESCRIPTION},
            }
            await self._create(
                "configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}, namespace
            )
        elif current.get("data") != data and not is_being_deleted(current):
            await self.api.update("configmaps", {**current, "data": data})

    async def _create(self, resource: str, obj: Obj, namespace: str) -> None:
        try:
            await self.api.create(resource, obj, namespace)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
