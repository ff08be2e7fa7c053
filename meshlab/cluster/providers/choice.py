"""Which cluster is meant, and what may be done to get it ready: the one place that tells the embedded lab from others.

The embedded lab is ours: it may be started, and a mesh may be installed into it. A cluster that a kubeconfig names is
somebody else's: nothing is started and nothing is installed; what is missing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from meshlab.cluster import fidelity
from meshlab.cluster.mesh import MeshInfo, detect_mesh
from meshlab.cluster.providers import embedded, meshes
from meshlab.errors import ClusterUnreachable, UsageError
from meshlab.labs import LabPaths

if TYPE_CHECKING:
    # It brings the Kubernetes client with it, which the first frame of the screen must not wait for.
    from meshlab.cluster.facade import Cluster

Say = Callable[[str], None]


class Provider(Protocol):
    """One way to a cluster."""

    @property
    def name(self) -> str:
        """What events call it: the lab's name, or ``kubeconfig``."""

    def locate(self) -> tuple[Path, str | None]:
        """Kubeconfig file and context.

        Raises:
            LabError: there is no such cluster now.
        """

    def ensure(self, say: Say) -> None:
        """Bring the cluster up, if that is ours to do.

        Raises:
            LabError: it does not come up.
        """

    def ensure_mesh(self, cluster: Cluster, wanted: str, say: Say) -> MeshInfo | None:
        """The cluster's mesh, installed if it is missing and that is ours to do.

        Args:
            cluster: the cluster.
            wanted: what an exercise needs, ``istio/demo``; empty if it needs none.
            say: told before anything is installed.

        Raises:
            UsageError: the cluster lacks the mesh, and it is not ours to install.
            LabError: the installation failed.
        """

    def lacking(self, capabilities: Iterable[str]) -> tuple[str, ...]:
        """Those of an exercise's capabilities that this provider is known not to have."""


@dataclass(frozen=True, slots=True)
class EmbeddedProvider:
    """The embedded lab of a name."""

    lab: LabPaths

    @property
    def name(self) -> str:
        return self.lab.name

    def locate(self) -> tuple[Path, str | None]:
        return Path(embedded.running(self.lab).kubeconfig), None

    def ensure(self, say: Say) -> None:
        if self.lab.info() is None:
            say(f"starting lab {self.lab.name}")
            embedded.ensure(self.lab, on_progress=say)

    def ensure_mesh(self, cluster: Cluster, wanted: str, say: Say) -> MeshInfo | None:
        found = detect_mesh(cluster)
        name, profile = meshes.split(wanted)
        if not name or (found is not None and found.ready):
            return found
        say(f"installing {name} (as by: {meshes.install_command(profile)})")
        meshes.install(cluster, wanted)
        return detect_mesh(cluster)

    def lacking(self, capabilities: Iterable[str]) -> tuple[str, ...]:
        absent = {capability.name for capability in fidelity.CAPABILITIES if capability.embedded == "no"}
        return tuple(name for name in capabilities if name in absent)


@dataclass(frozen=True, slots=True)
class KubeconfigProvider:
    """A cluster that the user named."""

    kubeconfig: Path
    context: str | None = None
    name: str = "kubeconfig"

    def locate(self) -> tuple[Path, str | None]:
        if not self.kubeconfig.is_file():
            raise ClusterUnreachable(
                f"no kubeconfig at {self.kubeconfig}", hint="name an existing file with --kubeconfig"
            )
        return self.kubeconfig.resolve(), self.context

    def ensure(self, say: Say) -> None:
        """Nothing: it is not ours to start."""

    def ensure_mesh(self, cluster: Cluster, wanted: str, say: Say) -> MeshInfo | None:
        found = detect_mesh(cluster)
        name, profile = meshes.split(wanted)
        if name and (found is None or not found.ready):
            raise UsageError(
                f"the exercise needs {name}, and this cluster has none that is ready",
                title="No mesh",
                hint=f"install it: {meshes.install_command(profile)}",
            )
        return found

    def lacking(self, capabilities: Iterable[str]) -> tuple[str, ...]:
        return ()


def choose(lab: LabPaths, kubeconfig: str | None, context: str | None) -> Provider:
    """The provider that the command line names.

    Raises:
        UsageError: a context is named without its kubeconfig.
    """
    if kubeconfig:
        return KubeconfigProvider(Path(kubeconfig).expanduser(), context)
    if context:
        raise UsageError(
            "--context needs --kubeconfig", hint="meshlab never uses a context of a kubeconfig that you did not name"
        )
    return EmbeddedProvider(lab)
