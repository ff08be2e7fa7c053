"""The Node object and its Lease: how the node makes itself known."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.node.status import rfc3339

VERSION = "v1.37.1"
LEASE_NAMESPACE = "kube-node-lease"
LEASE_INTERVAL_S = 10.0
LEASE_DURATION_S = 40
MAX_PODS = 110
ZONE = "local-a"
REGION = "local"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


def capacity() -> dict[str, str]:
    """What this machine has, as a Node tells it."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    disk = os.statvfs("/")
    return {
        "cpu": str(os.cpu_count() or 1),
        "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
        "memory": f"{pages * size // 1024}Ki",
        "pods": str(MAX_PODS),
    }


def node_object(name: str, address: str, pod_cidr: str) -> Obj:
    """The Node without its status."""
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    labels = {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node-role.kubernetes.io/control-plane": "",
        "topology.kubernetes.io/region": REGION,
        "topology.kubernetes.io/zone": ZONE,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]},
    }


def node_status(name: str, address: str, now: str, old: Obj, runtime: str) -> Obj:
    """The Node's status; conditions that hold already keep their time."""
    before = {condition["type"]: condition for condition in old.get("conditions") or []}
    resources = capacity()
    return {
        **{key: value for key, value in old.items() if key in ("images", "volumesInUse")},
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "allocatable": resources,
        "capacity": resources,
        "conditions": [
            _condition(type_, status, reason, message, now, before.get(type_))
            for type_, status, reason, message in (
                ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
            )
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "bootID": _read("/proc/sys/kernel/random/boot_id"),
            "containerRuntimeVersion": runtime,
            "kernelVersion": platform.release(),
            "kubeProxyVersion": "",
            "kubeletVersion": VERSION,
            "machineID": _read("/etc/machine-id"),
            "operatingSystem": "linux",
            "osImage": _os_image(),
            "systemUUID": "",
        },
    }


class NodeRegistration:
    """Creates the Node, keeps its heartbeat and its Lease.

    Args:
        api: where.
        name: the node's name.
        address: its own address.
        pod_cidr: the range of pod addresses.
        runtime: what ``containerRuntimeVersion`` says.
    """

    def __init__(self, api: KubeApi, name: str, address: str, pod_cidr: str, runtime: str) -> None:
        self._api = api
        self._name = name
        self._address = address
        self._pod_cidr = pod_cidr
        self._runtime = runtime
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Create or refresh the Node, then renew the Lease in the background."""
        wanted = node_object(self._name, self._address, self._pod_cidr)
        with contextlib.suppress(StatusError):
            await self._api.create("nodes", wanted)
        await self._post_status(wanted)
        self._task = asyncio.create_task(self._renew(), name="node lease")

    async def stop(self) -> None:
        """Stop renewing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _post_status(self, wanted: Obj) -> None:
        while True:
            node = await self._api.get("nodes", self._name)
            labels = {**(node["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]}
            try:
                if labels != node["metadata"].get("labels"):
                    node = await self._api.update("nodes", {**node, "metadata": {**node["metadata"], "labels": labels}})
                status = node_status(self._name, self._address, rfc3339(), node.get("status") or {}, self._runtime)
                await self._api.update("nodes", {**node, "status": status}, subresource="status")
                return
            except StatusError as error:
                if error.code != 409:
                    raise

    async def _renew(self) -> None:
        while True:
            with contextlib.suppress(StatusError, OSError):
                await self._write_lease()
            await asyncio.sleep(LEASE_INTERVAL_S)

    async def _write_lease(self) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        patch = {"spec": {"renewTime": stamp}}
        resource = "leases.coordination.k8s.io"
        try:
            await self._api.patch(resource, self._name, patch, LEASE_NAMESPACE)
        except StatusError as error:
            if error.code != 404:
                raise
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": LEASE_NAMESPACE},
                "spec": {
                    "holderIdentity": self._name,
                    "leaseDurationSeconds": LEASE_DURATION_S,
                    "renewTime": stamp,
                },
            }
            await self._api.create(resource, lease, LEASE_NAMESPACE)


def _condition(type_: str, status: str, reason: str, message: str, now: str, before: Obj | None) -> Obj:
    same = before is not None and before["status"] == status
    return {
        "type": type_,
        "status": status,
        "lastHeartbeatTime": now,
        "lastTransitionTime": before["lastTransitionTime"] if same and before else now,
        "reason": reason,
        "message": message,
    }


def _os_image() -> str:
    lines = _read("/etc/os-release").splitlines()
    return next((line.partition("=")[2].strip('"') for line in lines if line.startswith("PRETTY_NAME=")), "Linux")


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
