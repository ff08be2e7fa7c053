"""The one way from a command to a cluster: which kubeconfig, whether it is a lab, and what else to run if it is not."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from meshlab.minicluster.client import ConnectionConfigError, RemoteApi
from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError

LAB_LABEL = "meshlab.dev/lab"
MODULE = "meshlab.minicluster.mesh.istio.istioctl"
ISTIO_RELEASES = "https://istio.io/latest/docs/setup/additional-setup/download-istio-release/"


@dataclass(frozen=True, slots=True)
class Session:
    """A connected lab, and the namespaces that the command line names."""

    api: RemoteApi
    lab: str
    namespace: str
    """``-n``; empty when not given."""
    istio_namespace: str

    @property
    def default_namespace(self) -> str:
        """``-n``, else ``default``."""
        return self.namespace or "default"

    async def istiods(self) -> list[Obj]:
        """The running istiod pods."""
        listing = await self.api.list("pods", self.istio_namespace, label_selector="app=istiod")
        return [pod for pod in listing.items if (pod.get("status") or {}).get("phase") == "Running"]


@asynccontextmanager
async def connect(arguments: argparse.Namespace) -> AsyncIterator[Session]:
    """Connect to the cluster of ``--kubeconfig`` or ``KUBECONFIG``; never to an implicit one.

    A cluster without meshlab's marker is another's: the istioctl on PATH takes over there (this does not return).

    Raises:
        CommandError: no kubeconfig was named, it is broken, the cluster does not answer, or it is not a lab and no
            other istioctl is on PATH.
    """
    path = kubeconfig(arguments.kubeconfig, os.environ)
    try:
        client = RemoteApi.from_kubeconfig(path, arguments.context or None)
    except ConnectionConfigError as error:
        raise CommandError(str(error)) from error
    async with client as api:
        lab = await _lab_name(api)
        if lab is None:
            hand_over(sys.argv[1:], api.server)
        yield Session(api, lab or "", arguments.namespace, arguments.istioNamespace)


def kubeconfig(flag: str, environment: os._Environ[str] | dict[str, str]) -> Path:
    """The kubeconfig file that the command line or the environment names."""
    if flag:
        return Path(flag).expanduser()
    named = [Path(entry) for entry in environment.get("KUBECONFIG", "").split(os.pathsep) if entry]
    if not named:
        raise CommandError(
            "no cluster was named: neither --kubeconfig nor KUBECONFIG is set",
            hint='run  eval "$(meshlab env)"  in this shell, or use  meshlab istioctl ...',
        )
    return next((path for path in named if path.is_file()), named[0])


async def is_foreign(kubeconfig_flag: str, context: str) -> bool:
    """Whether the named cluster answers and is not a lab."""
    try:
        client = RemoteApi.from_kubeconfig(kubeconfig(kubeconfig_flag, os.environ), context or None)
        async with client as api:
            return await _lab_name(api) is None
    except (CommandError, ConnectionConfigError):
        return False


async def _lab_name(api: RemoteApi) -> str | None:
    """The lab's name, or None for a cluster that is not a lab."""
    try:
        namespace = await api.get("namespaces", "kube-system")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise unreachable(api.server, error) from error
    except StatusError as error:
        if error.code in (403, 404):
            return None
        raise CommandError(f"the cluster at {api.server} refused: {error.message}") from error
    label: str | None = (namespace["metadata"].get("labels") or {}).get(LAB_LABEL)
    return label


def unreachable(server: str, error: BaseException) -> CommandError:
    """The message for a server that does not answer."""
    reason = str(error.__cause__ or error) if isinstance(error, aiohttp.ClientConnectorError) else str(error)
    if isinstance(error, TimeoutError):
        reason = "no answer in time"
    return CommandError(
        f"the cluster at {server} cannot be reached: {reason or type(error).__name__}",
        hint="meshlab status  tells whether the lab is up;  meshlab up  starts it.",
    )


def hand_over(arguments: Sequence[str], server: str) -> None:
    """Replace this process by the istioctl on PATH that is not the lab's.

    Raises:
        CommandError: there is none.
    """
    other = other_istioctl(os.environ.get("PATH", ""))
    if other is None:
        raise CommandError(
            f"{server} is not a meshlab cluster, and the lab's istioctl acts on labs only",
            hint=f"put Istio's own istioctl on PATH to work on that cluster: {ISTIO_RELEASES}",
        )
    sys.stdout.flush()
    os.execv(other, [str(other), *arguments])


def other_istioctl(search_path: str) -> Path | None:
    """The first istioctl on a search path that is not a script of meshlab's."""
    for directory in search_path.split(os.pathsep):
        candidate = Path(directory or ".") / "istioctl"
        # In this order: a directory of PATH that this user may not read must not be an error.
        if not (os.access(candidate, os.X_OK) and candidate.is_file()):
            continue
        with candidate.open("rb") as file:
            if MODULE.encode() not in file.read(4096):
                return candidate
    return None
