"""What the pods of a node share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from meshlab.minicluster.images.catalogue import Image
from meshlab.minicluster.kubeapi import KubeApi, Obj
from meshlab.minicluster.network.addresses import LabNetwork, PortMap
from meshlab.minicluster.node.actions import Actions
from meshlab.minicluster.node.environment import Sources
from meshlab.minicluster.node.runtime import Runtime
from meshlab.minicluster.node.volumes import IssueToken


@dataclass(slots=True)
class NodeServices:
    """What the pods of a node share."""

    api: KubeApi
    runtime: Runtime
    actions: Actions
    network: LabNetwork
    ports: PortMap
    names_file: Path
    node_name: str
    api_server: str
    zone: str
    issue_token: IssueToken
    lookup: Callable[[str], Image | None]
    image_names: Callable[[], list[str]]
    event: Callable[[Obj, str, str, str, str], None]
    """``(pod, type, reason, message, field path)``."""
    sources: Callable[[str], Sources]
    """Look-ups in a namespace."""
    services_in: Callable[[str], list[Obj]]
    """The Services whose variables a pod of a namespace gets."""
