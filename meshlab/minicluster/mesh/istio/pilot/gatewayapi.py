"""What istiod writes for the Gateway API: classes, statuses, and the Deployments of managed Gateways.

Only the leader of a revision writes, only for what belongs to that revision, and only what differs from what is there:
a pass over a cluster in order makes no request.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Sequence

from meshlab.minicluster.informer import Informer
from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.mesh.gatewayapi.classes import BUILT_IN, GROUP, known_classes
from meshlab.minicluster.mesh.gatewayapi.gateways import MANAGED_LABEL, RESOURCE, is_managed
from meshlab.minicluster.mesh.gatewayapi.status import Status, render
from meshlab.minicluster.mesh.gatewayapi.translate import CLASSES
from meshlab.minicluster.mesh.istio.inject import InjectionConfig
from meshlab.minicluster.mesh.istio.kubegateway import MANAGER, deployed_objects, laid_over
from meshlab.minicluster.mesh.istio.pilot.caretaking import MUTATING, Reconciler, unless_gone
from meshlab.minicluster.mesh.istio.pilot.leadership import Leadership
from meshlab.minicluster.mesh.istio.pilot.revisions import Revisions
from meshlab.minicluster.mesh.istio.pilot.watching import ClusterWatch

logger = logging.getLogger(__name__)


class GatewayApiController:
    """Writes for one revision.

    Args:
        api: the cluster.
        watch: the cluster as istiod sees it.
        revision: istiod's revision.
        identity: istiod's pod.
        config: the injector's configuration, for the proxies that are deployed.
    """

    def __init__(
        self, api: KubeApi, watch: ClusterWatch, revision: str, identity: str, config: Callable[[], InjectionConfig]
    ) -> None:
        self._api = api
        self._watch = watch
        self._config = config
        self._statuses: Sequence[Status] = ()
        self._webhooks = Informer(api, MUTATING)
        self._revisions = Revisions(revision, watch.namespaces, self._webhooks)
        selector = f"{MANAGED_LABEL}={MANAGER}"
        self._deployed = {
            resource: Informer(api, resource, label_selector=selector)
            for resource in ("serviceaccounts", "deployments.apps", "services")
        }
        self._status_writer = Reconciler("gateway statuses", self._write_statuses)
        self._deployer = Reconciler("gateway deployments", self._deploy)
        self._leadership = Leadership(
            api,
            watch.namespace,
            f"istio-gateway-status-leader{'' if revision == 'default' else '-' + revision}",
            identity,
        )

    def translated(self, statuses: Sequence[Status]) -> None:
        """Take note of what the statuses should say now."""
        self._statuses = statuses
        self._status_writer.poke()
        self._deployer.poke()

    async def run(self) -> None:
        """Lead, and write while leading, until cancelled."""
        await self._leadership.run(self._lead)

    async def _lead(self) -> None:
        informers = [self._webhooks, *self._deployed.values()]
        for informer in informers:
            informer.start()
        for informer in self._deployed.values():
            informer.subscribe(self._deployer.poke)
        try:
            for informer in informers:
                await informer.synced.wait()
            await asyncio.gather(self._status_writer.run(), self._deployer.run())
        finally:
            await asyncio.gather(*(informer.stop() for informer in informers))

    async def _write_statuses(self) -> None:
        await self._create_classes()
        for wanted in self._statuses:
            informer = self._watch.informer(wanted.resource)
            obj = informer.get(wanted.name, wanted.namespace) if informer is not None else None
            # One that changed since is translated again at once.
            if obj is None or obj["metadata"].get("generation", 0) != wanted.generation or not self._is_mine(obj):
                continue
            current = obj.get("status") or {}
            now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            status = render(wanted, current, now)
            if status == current or (not current.get("parents") and status == {"parents": []}):
                continue
            version = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            await unless_gone(
                self._api.patch(
                    wanted.resource,
                    wanted.name,
                    {"metadata": version, "status": status},
                    wanted.namespace or None,
                    subresource="status",
                )
            )

    def _is_mine(self, obj: Obj) -> bool:
        return not obj["metadata"].get("namespace") or self._revisions.is_mine(obj)

    async def _create_classes(self) -> None:
        informer = self._watch.informer(CLASSES)
        if informer is None or not informer.synced.is_set():
            return
        for name, info in BUILT_IN.items():
            if informer.get(name) is None:
                spec = {"controllerName": info.controller, "description": info.description}
                obj = {"apiVersion": f"{GROUP}/v1", "kind": "GatewayClass", "metadata": {"name": name}, "spec": spec}
                await unless_gone(self._api.create(CLASSES, obj))

    async def _deploy(self) -> None:
        gateways, classes = self._watch.informer(RESOURCE), self._watch.informer(CLASSES)
        if gateways is None or classes is None:
            return
        known = known_classes(classes.objects.values())
        for gateway in list(gateways.objects.values()):
            info = known.get(gateway["spec"]["gatewayClassName"])
            leaving = gateway["metadata"].get("deletionTimestamp")
            if info is None or not info.programs or leaving or not is_managed(gateway["spec"]):
                continue
            if self._revisions.is_mine(gateway):
                await self._apply(gateway)

    async def _apply(self, gateway: Obj) -> None:
        try:
            wanted = deployed_objects(gateway, self._config())
        except ValueError as error:
            logger.error("gateway %s: %s", gateway["metadata"]["name"], error)
            return
        for resource, obj in wanted:
            namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
            current = self._deployed[resource].get(name, namespace)
            if current is None:
                await unless_gone(self._create(resource, obj))
            elif (changed := laid_over(current, obj)) != current:
                await unless_gone(self._api.update(resource, changed))

    async def _create(self, resource: str, obj: Obj) -> Obj:
        try:
            return await self._api.create(resource, obj, obj["metadata"]["namespace"])
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            # It has not our label: somebody's own, or a ServiceAccount that was named on purpose.
            current = await self._api.get(resource, obj["metadata"]["name"], obj["metadata"]["namespace"])
            changed: Obj = laid_over(current, obj)
            return await self._api.update(resource, changed) if changed != current else current
