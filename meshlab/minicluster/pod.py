"""What a container's program knows of its pod: the few facts that a kernel would give it on a real node.

The node writes it as JSON beside the container's files and hands the path to the program out of band (never through a
variable that ``env`` would show). Built-in programs receive it as an argument.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from meshlab.minicluster.network.addresses import PortMap

SIDECAR_PORTS = (15020, 15021, 15090)
"""What a mesh proxy serves for everybody: on the pod's address, and so on the loopback that its containers share."""


def local_socket(runtime_dir: Path, port: int) -> Path:
    """The unix socket that stands for a port of a pod's loopback.

    All users of the host can connect to its loopback addresses. A program whose port is nobody else's business, such
    as Envoy's administration, listens on this socket instead: in the pod's own directory, where its containers find
    it, and port-forward.

    Args:
        runtime_dir: the pod's runtime directory.
        port: the nominal port.
    """
    return runtime_dir / f"{port}.sock"


@dataclass(frozen=True, slots=True)
class PodContext:
    """One container's view of its pod and of the lab's network."""

    namespace: str
    name: str
    container: str
    uid: str
    service_account: str
    node_name: str
    pod_ip: str
    """The nominal address, ``status.podIP``; the source address of the pod's own connections."""
    bind_ip: str
    """Where this container's programs listen: the pod IP, or the hidden address behind a sidecar."""
    app_ip: str
    """Where the application containers listen (hidden if the pod has a sidecar); ``localhost`` means this."""
    proxy_url: str
    """``http://podIP:15001`` for an application container behind a sidecar, else empty."""
    api_server: str
    """``https://127.N.0.1:6443``."""
    names_file: str
    """The lab's name table (`network.names.NameTable`)."""
    ports_file: str
    """The lab's port map (`network.addresses.PortMap`)."""
    runtime_dir: str
    """A 0700 directory shared by the containers of this pod, short enough for unix sockets."""
    container_dir: str
    """This container's own directory: bin/, logs, private files."""
    zone: str = ""
    capture: dict[str, str] = field(default_factory=dict)
    """Annotations that say which connections the sidecar takes (`network.capture.CaptureRules`); none: all."""
    captures_dns: bool = False
    """Whether the sidecar answers questions for names, and so knows those that only the mesh knows."""
    mounts: dict[str, str] = field(default_factory=dict)
    """Where volumes really are, by mountPath; empty where a private root has them at their mountPath."""

    @property
    def ports(self) -> PortMap:
        """The lab's port map, as this program may read it."""
        return PortMap(Path(self.ports_file), self.bind_ip)

    def local_socket(self, port: int) -> Path:
        """Where a program serves a port of the pod's loopback; see `local_socket`."""
        return local_socket(Path(self.runtime_dir), port)

    def host_path(self, path: str) -> str:
        """The file to open for an absolute path of the container; built-in programs open volumes through it.

        Args:
            path: as the manifest or the command line gives it; a relative one is returned as it is.
        """
        if not self.mounts or not path.startswith("/"):
            return path
        wanted = PurePosixPath(path)
        for target in sorted(self.mounts, key=len, reverse=True):
            if wanted.is_relative_to(target):
                return str(PurePosixPath(self.mounts[target], wanted.relative_to(target)))
        return path

    def save(self, path: Path) -> None:
        """Write the context where a launcher script can read it."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> PodContext:
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text()))
