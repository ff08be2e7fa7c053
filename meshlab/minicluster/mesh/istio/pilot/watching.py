"""What istiod watches: Kubernetes objects always, Istio's resources as soon as their definitions exist."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from meshlab.minicluster.informer import Informer
from meshlab.minicluster.kubeapi import KubeApi, Obj
from meshlab.minicluster.mesh.gatewayapi.gateways import RESOURCE as GATEWAYS
from meshlab.minicluster.mesh.gatewayapi.translate import WATCHED as GATEWAY_API
from meshlab.minicluster.mesh.gatewayapi.translate import referenced_namespaces
from meshlab.minicluster.mesh.istio.ingress import CLASSES as INGRESS_CLASSES
from meshlab.minicluster.mesh.istio.ingress import INGRESSES
from meshlab.minicluster.mesh.istio.translate import WATCHED, IstioSnapshot, KnownServices

logger = logging.getLogger(__name__)

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
SECRETS_WAIT_S = 2.0
CORE = (
    "services",
    "pods",
    "nodes",
    "namespaces",
    "endpointslices.discovery.k8s.io",
    INGRESSES,
    INGRESS_CLASSES,
)

Significance = Callable[[Obj], Any]

SIGNIFICANT: dict[str, Significance] = {
    "pods": lambda pod: (
        pod["metadata"].get("labels"),
        pod["metadata"].get("deletionTimestamp"),
        pod["metadata"].get("annotations"),
        (pod.get("spec") or {}).get("nodeName"),
        (pod.get("status") or {}).get("podIP"),
        (pod.get("status") or {}).get("phase"),
    ),
    "nodes": lambda node: node["metadata"].get("labels"),
    "namespaces": lambda namespace: namespace["metadata"].get("labels"),
    **dict.fromkeys(
        (*GATEWAY_API, INGRESSES),
        lambda obj: tuple(obj["metadata"].get(key) for key in ("generation", "labels", "annotations")),
    ),
}
"""The part of an object that can change what proxies get, where the rest changes often."""


class ClusterWatch:
    """Informers for everything that the translation reads.

    Args:
        api: the cluster.
        namespace: istiod's own namespace, where the mesh configuration is.
        mesh_config_map: the name of the ConfigMap with MeshConfig.
    """

    def __init__(self, api: KubeApi, namespace: str, mesh_config_map: str) -> None:
        self.namespace = namespace
        self._api = api
        self._mesh_config_map = mesh_config_map
        self._handlers: list[Callable[[], None]] = []
        self._definitions = Informer(api, DEFINITIONS)
        self._informers: dict[str, Informer] = {resource: Informer(api, resource) for resource in CORE}
        self.config_maps = Informer(api, "configmaps", namespace)
        self._secrets: dict[str, Informer] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._mesh_config: tuple[str, Obj] = ("", {})
        self._known_services = KnownServices()

    @property
    def pods(self) -> Informer:
        """All pods."""
        return self._informers["pods"]

    @property
    def namespaces(self) -> Informer:
        """All namespaces."""
        return self._informers["namespaces"]

    def listed(self, resource: str) -> Sequence[Obj]:
        """The objects of one of the watched resources; none if the cluster does not have it."""
        informer = self._informers.get(resource)
        return list(informer.objects.values()) if informer is not None else ()

    def subscribe(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` after each change that may matter to a proxy; it must only take note."""
        self._handlers.append(handler)

    async def start(self) -> None:
        """Begin to watch; returns when everything that exists has been listed once."""
        for resource, informer in self._informers.items():
            self._follow(resource, informer)
        self.config_maps.subscribe(self._config_map_changed)
        self.config_maps.start()
        self._definitions.subscribe(self._definition_changed)
        self._definitions.start()
        await self._definitions.synced.wait()
        for informer in [*self._informers.values(), self.config_maps]:
            await informer.synced.wait()

    async def stop(self) -> None:
        """Stop watching."""
        informers = [self._definitions, self.config_maps, *self._informers.values(), *self._secrets.values()]
        await asyncio.gather(*(informer.stop() for informer in informers), *self._stopping)

    def snapshot(self) -> IstioSnapshot:
        """The objects at this moment."""
        objects: dict[str, Sequence[Obj]] = {
            resource: list(informer.objects.values()) for resource, informer in self._informers.items()
        }
        secrets = {
            key: secret
            for namespace in referenced_namespaces(objects)
            if namespace in self._secrets
            for key, secret in self._secrets[namespace].objects.items()
        }
        return IstioSnapshot(
            objects,
            mesh_config=self.mesh_config,
            root_namespace=self.namespace,
            secrets=secrets,
            known_services=self._known_services,
        )

    async def load_secrets(self) -> None:
        """Have the Secrets at hand that the Gateway API's listeners point at; returns when they have been listed."""
        gateways = {GATEWAYS: list(self._informers[GATEWAYS].objects.values())} if GATEWAYS in self._informers else {}
        for namespace in sorted(referenced_namespaces(gateways)):
            try:
                async with asyncio.timeout(SECRETS_WAIT_S):
                    await self.secrets(namespace).synced.wait()
            except TimeoutError:
                logger.warning("the Secrets of namespace %s cannot be listed yet", namespace)

    def informer(self, resource: str) -> Informer | None:
        """The informer of a resource; None while the resource is not served."""
        return self._informers.get(resource)

    @property
    def mesh_config(self) -> Obj:
        """MeshConfig as in the ConfigMap; the last good one while what is there cannot be parsed."""
        config_map = self.config_maps.get(self._mesh_config_map, self.namespace) or {}
        text = (config_map.get("data") or {}).get("mesh") or ""
        if text != self._mesh_config[0]:
            try:
                parsed = yaml.safe_load(text) or {}
            except yaml.YAMLError as error:
                logger.error("mesh configuration is not valid YAML: %s", error)
                parsed = self._mesh_config[1]
            self._mesh_config = (text, parsed if isinstance(parsed, dict) else self._mesh_config[1])
        return self._mesh_config[1]

    def secrets(self, namespace: str) -> Informer:
        """The Secrets of a namespace with a gateway; watched from the first call on."""
        informer = self._secrets.get(namespace)
        if informer is None:
            informer = self._secrets[namespace] = Informer(self._api, "secrets", namespace)
            informer.subscribe(lambda old, new: self._on_change())
            informer.start()
        return informer

    def _on_change(self) -> None:
        for handler in self._handlers:
            handler()

    def _follow(self, resource: str, informer: Informer) -> None:
        significant = SIGNIFICANT.get(resource)

        def changed(old: Obj | None, new: Obj | None) -> None:
            if significant and old and new and significant(old) == significant(new):
                return
            self._on_change()

        informer.subscribe(changed)
        informer.start()

    def _config_map_changed(self, old: Obj | None, new: Obj | None) -> None:
        if (new or old or {})["metadata"]["name"] == self._mesh_config_map:
            self._on_change()

    def _definition_changed(self, old: Obj | None, new: Obj | None) -> None:
        definition = new or old
        name = definition["metadata"]["name"] if definition else ""
        if name not in WATCHED:
            return
        if new is not None and _established(new):
            if name not in self._informers:
                self._informers[name] = Informer(self._api, name)
                self._follow(name, self._informers[name])
        elif new is None and name in self._informers:
            informer = self._informers.pop(name)
            task = asyncio.get_running_loop().create_task(informer.stop())
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)
            self._on_change()


def _established(definition: Obj) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)
