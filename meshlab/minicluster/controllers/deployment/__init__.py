"""Deployments: a template and a size in, ReplicaSets of the right sizes out, one step per reconcile.

`arithmetic` decides sizes, `replicasets` shapes the sets, `status` words the conditions, all three without input or
output; `controller` reads caches, asks them, and writes.
"""

from meshlab.minicluster.controllers.deployment.controller import DeploymentController

__all__ = ["DeploymentController"]
