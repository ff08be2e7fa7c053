"""What istiod writes into the cluster: the root certificate for every namespace, the CA bundle for its webhooks."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable

from meshlab.minicluster.informer import Informer
from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.mesh.istio.inject_decision import IGNORED_NAMESPACES

logger = logging.getLogger(__name__)

ROOT_CONFIG_MAP = "istio-ca-root-cert"
ROOT_KEY = "root-cert.pem"
CONFIG_LABEL = "istio.io/config"
MUTATING = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
VALIDATING = "validatingwebhookconfigurations.admissionregistration.k8s.io"
RETRY_S = 0.5
GONE = (404, 409)
"""It was deleted or changed meanwhile: the watch tells, and there is another pass."""


async def unless_gone(request: Awaitable[Obj]) -> None:
    """Write something of which a deletion, or another writer, may come first.

    Raises:
        StatusError: it is refused for any other reason.
    """
    try:
        await request
    except StatusError as error:
        if error.code not in GONE:
            raise
        logger.debug("%s", error)


class Reconciler:
    """Runs one pass over and over: at the first start, after every change, and again when a pass failed."""

    def __init__(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self.passed = asyncio.Event()
        """Set once a pass has succeeded."""
        self._name = name
        self._work = work
        self._wake = asyncio.Event()

    def poke(self, old: Obj | None = None, new: Obj | None = None) -> None:
        """Ask for another pass; usable as an informer's handler."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._work()
                self.passed.set()
            except (StatusError, OSError) as error:
                logger.warning("%s: %s", self._name, error)
                await asyncio.sleep(RETRY_S)
                self._wake.set()


class RootCertificates:
    """Keeps ConfigMap ``istio-ca-root-cert`` in every namespace.

    Args:
        api: the cluster.
        namespaces: the informer of namespaces.
        root_pem: the mesh's root certificate.
    """

    def __init__(self, api: KubeApi, namespaces: Informer, root_pem: str) -> None:
        self._api = api
        self._namespaces = namespaces
        self._data = {ROOT_KEY: root_pem}
        self._config_maps = Informer(api, "configmaps", label_selector=f"{CONFIG_LABEL}=true")
        self._reconciler = Reconciler("root certificates", self._reconcile)

    async def run(self) -> None:
        """Keep them until cancelled."""
        self._namespaces.subscribe(self._reconciler.poke)
        self._config_maps.subscribe(self._reconciler.poke)
        self._config_maps.start()
        try:
            await self._config_maps.synced.wait()
            await self._reconciler.run()
        finally:
            await self._config_maps.stop()

    async def _reconcile(self) -> None:
        for namespace in list(self._namespaces.objects.values()):
            name = namespace["metadata"]["name"]
            terminating = (namespace.get("status") or {}).get("phase") == "Terminating"
            if name in IGNORED_NAMESPACES or terminating:
                continue
            existing = self._config_maps.get(ROOT_CONFIG_MAP, name)
            if existing is None or existing.get("data") != self._data:
                await self._write(name, existing)

    async def _write(self, namespace: str, existing: Obj | None) -> None:
        metadata: Obj = {"name": ROOT_CONFIG_MAP, "namespace": namespace, "labels": {CONFIG_LABEL: "true"}}
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self._data}
        try:
            if existing is None:
                await self._api.create("configmaps", config_map, namespace)
            else:
                await self._api.update("configmaps", {**existing, "data": self._data})
        except StatusError as error:
            # Another replica was faster, or the namespace went away: the watch tells.
            if error.code not in (404, 409) and error.reason != "Forbidden":
                raise
            if error.reason == "AlreadyExists":
                present = await self._api.get("configmaps", ROOT_CONFIG_MAP, namespace)
                if present.get("data") != self._data or not (present["metadata"].get("labels") or {}):
                    labels = {**(present["metadata"].get("labels") or {}), CONFIG_LABEL: "true"}
                    changed = {**present, "data": self._data, "metadata": {**present["metadata"], "labels": labels}}
                    await self._api.update("configmaps", changed)


class WebhookConfigurations:
    """Writes the CA bundle into every webhook that calls this istiod, and closes the validating ones.

    Args:
        api: the cluster.
        namespace: istiod's namespace.
        service: the name of istiod's Service.
        root_pem: the mesh's root certificate.
    """

    def __init__(self, api: KubeApi, namespace: str, service: str, root_pem: str) -> None:
        self._api = api
        self._service = (namespace, service)
        self._bundle = base64.b64encode(root_pem.encode()).decode()
        self._informers = {resource: Informer(api, resource) for resource in (MUTATING, VALIDATING)}
        self._reconciler = Reconciler("webhook configurations", self._reconcile)

    @property
    def passed(self) -> asyncio.Event:
        """Set once all webhooks that existed carry the bundle."""
        return self._reconciler.passed

    async def run(self) -> None:
        """Keep them until cancelled; start it when the webhooks answer already."""
        for informer in self._informers.values():
            informer.subscribe(self._reconciler.poke)
            informer.start()
        try:
            for informer in self._informers.values():
                await informer.synced.wait()
            await self._reconciler.run()
        finally:
            await asyncio.gather(*(informer.stop() for informer in self._informers.values()))

    async def _reconcile(self) -> None:
        for resource, informer in self._informers.items():
            for configuration in list(informer.objects.values()):
                patch = self._patch(configuration, close=resource == VALIDATING)
                if not patch:
                    continue
                try:
                    await self._api.patch(resource, configuration["metadata"]["name"], patch, patch_type="json")
                except StatusError as error:
                    # It was deleted or changed meanwhile: the watch tells.
                    if error.code not in (404, 409, 422):
                        raise

    def _patch(self, configuration: Obj, *, close: bool) -> list[Obj]:
        patch: list[Obj] = []
        for index, webhook in enumerate(configuration.get("webhooks") or []):
            client = webhook.get("clientConfig") or {}
            service = client.get("service") or {}
            if (service.get("namespace"), service.get("name")) != self._service:
                continue
            # An index alone may point at another webhook by now; the test makes the patch fail then.
            guard = {"op": "test", "path": f"/webhooks/{index}/name", "value": webhook["name"]}
            if client.get("caBundle") != self._bundle:
                path = f"/webhooks/{index}/clientConfig/caBundle"
                patch += [guard, {"op": "add", "path": path, "value": self._bundle}]
            if close and webhook.get("failurePolicy") != "Fail":
                path = f"/webhooks/{index}/failurePolicy"
                patch += [guard, {"op": "add", "path": path, "value": "Fail"}]
        return patch
