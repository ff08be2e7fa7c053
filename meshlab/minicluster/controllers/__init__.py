"""The control loops: each watches some objects and writes others until the world is as the first ones ask.

In: the Kubernetes API (through shared caches, one watch per resource). Out: ReplicaSets, pods, bindings,
EndpointSlices, statuses, deletions, events. Nothing here starts a process or opens a socket. `runtime` is what all
controllers share, `cache` how they read and write; every other module is one controller or the pure rules of one.
"""

from __future__ import annotations

from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.controllers.cronjob import CronJobController
from meshlab.minicluster.controllers.daemonset import DaemonSetController
from meshlab.minicluster.controllers.deployment import DeploymentController
from meshlab.minicluster.controllers.disruption import DisruptionController
from meshlab.minicluster.controllers.endpoints import EndpointsController
from meshlab.minicluster.controllers.endpointslice import EndpointSliceController
from meshlab.minicluster.controllers.garbage import GarbageCollector
from meshlab.minicluster.controllers.job import JobController
from meshlab.minicluster.controllers.loadbalancer import LoadBalancerController
from meshlab.minicluster.controllers.mirroring import EndpointsMirror
from meshlab.minicluster.controllers.namespace import NamespaceController
from meshlab.minicluster.controllers.replicaset import ReplicaSetController
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.controllers.scheduler import Scheduler
from meshlab.minicluster.controllers.served import Discovery, ServedResource
from meshlab.minicluster.controllers.serviceaccount import NamespaceDefaults
from meshlab.minicluster.controllers.statefulset import StatefulSetController
from meshlab.minicluster.events import EventPruner, EventRecorder
from meshlab.minicluster.kubeapi import KubeApi
from meshlab.minicluster.network.addresses import LabNetwork

__all__ = ["ControllerManager", "Discovery", "ServedResource"]


class ControllerManager:
    """All controllers of a lab, on one set of caches.

    Args:
        api: the API as a trusted component holds it.
        network: where LoadBalancer addresses come from.
        recorder: where events go; each controller speaks under its own name.
        ca_pem: the API server's certificate authority, for ``kube-root-ca.crt``.
        served_resources: every resource version that the API serves at the moment of the call.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        network: LabNetwork,
        recorder: EventRecorder,
        ca_pem: str,
        served_resources: Discovery,
    ) -> None:
        self.caches = CachedApi(api)
        """The shared caches; the forwarder and the name table take their informers from here."""
        self._pruner = EventPruner(api)
        caches = self.caches
        self._controllers: list[Controller] = [
            NamespaceDefaults(caches, recorder, ca_pem),
            Scheduler(caches, recorder),
            ReplicaSetController(caches, recorder),
            DeploymentController(caches, recorder),
            EndpointSliceController(caches, recorder),
            EndpointsController(caches, recorder),
            EndpointsMirror(caches, recorder),
            LoadBalancerController(caches, recorder, network.load_balancers),
            StatefulSetController(caches, recorder),
            DaemonSetController(caches, recorder),
            JobController(caches, recorder),
            CronJobController(caches, recorder),
            DisruptionController(caches, recorder),
            NamespaceController(caches, recorder, served_resources),
            GarbageCollector(caches, recorder, served_resources),
        ]

    async def start(self) -> None:
        """Fill the caches, then start the controllers."""
        await self.caches.start()
        for controller in self._controllers:
            controller.start()
        self._pruner.start()

    async def stop(self) -> None:
        """Stop the controllers, then the caches."""
        await self._pruner.stop()
        for controller in self._controllers:
            await controller.stop()
        await self.caches.stop()
