"""What an embedded lab is doing, for ``meshlab status``: is it up, what runs in it, and where it is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshlab.labs import LabPaths

Status = dict[str, Any]


def read(lab: LabPaths) -> Status:
    """The status of one lab as plain data; see ``docs/schemas/status.json``.

    ``state`` is ``Running``, ``Starting``, ``Stopped`` (it has objects that ``up`` brings back), ``Unreachable`` (a
    daemon lives, its API does not answer) or ``Absent``.
    """
    pid = lab.holder()
    info = lab.info()
    status: Status = {
        "lab": lab.name,
        "state": "Absent",
        "pid": pid,
        "server": info.server if info else None,
        "kubeconfig": info.kubeconfig if info else None,
        "log": str(lab.log),
        "startedAt": info.started_at if info else None,
        "memoryMiB": None,
        "pods": [],
        "addresses": [],
    }
    if pid is None:
        status["state"] = "Stopped" if lab.info_file.exists() else "Absent"
        return status
    if info is None:
        status["state"] = "Starting"
        return status
    status["memoryMiB"] = round(private_memory(pid) / (1 << 20), 1)
    from meshlab.cluster.facade import Cluster
    from meshlab.errors import ClusterUnreachable

    try:
        cluster = Cluster(Path(info.kubeconfig))
        pods, services = cluster.list_objects("pods"), cluster.list_objects("services")
    except ClusterUnreachable:
        status["state"] = "Unreachable"
        return status
    status["state"] = "Running"
    status["pods"] = [_pod(pod) for pod in pods]
    node_address = f"{info.prefix}.0.1"
    status["addresses"] = [entry for service in services for entry in _addresses(service, node_address)]
    return status


def text(status: Status) -> str:
    """The same for people."""
    name, state = status["lab"], status["state"]
    if state == "Absent":
        return f"Lab {name} does not exist yet; meshlab up makes it."
    if state == "Stopped":
        return f"Lab {name} is stopped; meshlab up brings its objects back."
    lines = [f"Lab {name}: {state} (process {status['pid']})"]
    if status["server"]:
        lines.append(f"  API server  {status['server']}")
        lines.append(f"  kubeconfig  {status['kubeconfig']}")
    lines.append(f"  log         {status['log']}")
    if status["memoryMiB"] is not None:
        lines.append(f"  memory      {status['memoryMiB']} MiB private, all processes")
    if state == "Running":
        ready = sum(pod["ready"] for pod in status["pods"])
        lines.append(f"  pods        {ready} of {len(status['pods'])} ready")
        lines += [
            f"              {pod['namespace']}/{pod['name']}: {pod['reason'] or pod['phase']}"
            for pod in status["pods"]
            if not pod["ready"] and pod["phase"] != "Succeeded"
        ]
        lines += [
            f"  reachable   {address['service']} port {address['port']}: {address['url']}"
            for address in status["addresses"]
        ]
    return "\n".join(lines)


def private_memory(root_pid: int) -> int:
    """Private (unshared) memory of a process and all its descendants, in bytes, from ``smaps_rollup``."""
    total = 0
    for pid in descendants(root_pid):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in rollup.splitlines():
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1]) * 1024
    return total


def descendants(root_pid: int) -> list[int]:
    """The process and everything below it, by ``/proc``."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [root_pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def _pod(pod: dict[str, Any]) -> Status:
    status = pod.get("status") or {}
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions") or []
    )
    waiting = [
        state["waiting"].get("reason", "")
        for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])
        if "waiting" in (state := container.get("state") or {})
    ]
    return {
        "namespace": pod["metadata"]["namespace"],
        "name": pod["metadata"]["name"],
        "phase": status.get("phase", "Pending"),
        "ready": ready,
        "reason": next((reason for reason in waiting if reason), ""),
    }


def _addresses(service: dict[str, Any], node_address: str) -> list[Status]:
    """Where the ports of a NodePort or LoadBalancer service are bound for programs of this host."""
    metadata = service["metadata"]
    return [
        {
            "service": f"{metadata['namespace']}/{metadata['name']}",
            "port": port["port"],
            "url": f"{'https' if port['port'] == 443 else 'http'}://{node_address}:{port['nodePort']}",
        }
        for port in service["spec"].get("ports") or []
        if port.get("nodePort") and port.get("protocol", "TCP") == "TCP"
    ]
