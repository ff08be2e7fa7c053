"""The node: what a kubelet and its container runtime are on a real machine.

Pods that the scheduler bound to it flow in through the API; processes, their logs and the pods' status flow out. From
the outside in: `kubelet.Node` watches pods and owns one `podworker.PodWorker` each, which owns one
`container.Container` per container; those start programs through `runtime.Runtime`, which knows directories, volumes
and private roots; `processes.Processes` talks to the `supervisor`, the one process that forks. What can be pure is:
`environment`, `fieldpath`, `status`, `probes`, `backoff`, `rootfs`.
"""

from meshlab.minicluster.node.kubelet import Node

__all__ = ["Node"]
