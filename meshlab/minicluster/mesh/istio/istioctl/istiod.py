"""Questions to istiod, asked inside its pod: ``pilot-discovery request GET <path>``, as upstream's debug tools do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.session import Session

NO_ISTIOD_HINT = "istioctl install --set profile=demo -y  installs Istio;  kubectl -n istio-system get pods  shows it."


@dataclass(frozen=True, slots=True)
class Answer:
    """What one istiod said."""

    pod: str
    body: Any


async def ask(session: Session, path: str) -> list[Answer]:
    """Send a GET to every running istiod.

    Raises:
        CommandError: there is none, or one answers with something else than JSON.
    """
    pods = await session.istiods()
    if not pods:
        raise CommandError(
            f"no running istiod pods in namespace {session.istio_namespace}",
            hint=NO_ISTIOD_HINT,
        )
    return [Answer(pod["metadata"]["name"], await _ask_one(session, pod, path)) for pod in pods]


async def _ask_one(session: Session, pod: Obj, path: str) -> Any:
    name = pod["metadata"]["name"]
    command = ["pilot-discovery", "request", "GET", path]
    result = await session.api.exec(session.istio_namespace, name, "discovery", command)
    if result.exit_code != 0:
        text = (result.stderr or result.stdout).decode(errors="replace").strip()
        raise CommandError(f"istiod {name} did not answer {path}: {text}", hint=NO_ISTIOD_HINT)
    try:
        return orjson.loads(result.stdout)
    except orjson.JSONDecodeError:
        return result.stdout.decode(errors="replace").strip()


async def sync_status(session: Session) -> list[Obj]:
    """All proxies of all istiods, from ``/debug/syncz``; ``istiod`` names the pod that serves each."""
    proxies: list[Obj] = []
    for answer in await ask(session, "/debug/syncz"):
        if not isinstance(answer.body, list):
            raise CommandError(f"istiod {answer.pod} answered /debug/syncz with {str(answer.body)[:200]}")
        proxies += [{**entry, "istiod": entry.get("istiod") or answer.pod} for entry in answer.body]
    return sorted(proxies, key=lambda entry: (entry.get("cluster_id", ""), entry.get("proxy", "")))


def qualified_name(entry: Obj) -> str:
    """``pod.namespace`` of a proxy, whether syncz gave the short form or a whole node id."""
    proxy = str(entry.get("proxy", ""))
    return proxy.split("~")[2] if proxy.count("~") == 3 else proxy
