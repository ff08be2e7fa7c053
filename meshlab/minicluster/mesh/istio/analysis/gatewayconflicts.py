"""Gateways that stand in each other's way: one host of one port twice, one certificate twice (IST0145, IST0138)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.messages import go_list, selector_text
from meshlab.minicluster.mesh.istio.analysis.model import Message, Resource, Snapshot, message

GATEWAYS = "gateways.networking.istio.io"


def hosts(snapshot: Snapshot) -> Iterator[Message]:
    """No two gateways have a host, port and bind address in common on one pod, or by one selector."""
    gateways = snapshot.of(GATEWAYS)
    for gateway in gateways:
        rivals = [other for other in gateways if other is not gateway and _meet(gateway, other, snapshot)]
        for server in servers(gateway):
            number = (server.get("port") or {}).get("number")
            conflicting = [
                other.full_name for other in rivals if any(_same(server, number, theirs) for theirs in servers(other))
            ]
            if conflicting:
                wanted = ",".join(str(host) for host in server.get("hosts") or [])
                arguments = (",".join(sorted(conflicting)), selector_text(selector(gateway)), number or 0, wanted)
                yield message("IST0145", gateway, *arguments, path=("metadata", "name"))


def certificates(snapshot: Snapshot) -> Iterator[Message]:
    """No gateway shares its certificate with another one that selects the same pods or fewer.

    A browser that has a connection for one host uses it for the other one as well (HTTP/2), where the first gateway
    knows no route.
    """
    gateways = snapshot.of(GATEWAYS)
    for gateway in gateways:
        for other in gateways:
            if other is gateway or not selector(gateway).items() <= selector(other).items():
                continue
            own, theirs = _certificates(gateway), _certificates(other)
            if own & theirs:
                names = go_list([gateway.full_name, other.full_name])
                yield message("IST0138", gateway, names, path=("metadata", "name"))


def selector(gateway: Resource) -> Mapping[str, str]:
    """The labels of the pods that a Gateway is for."""
    return {str(key): str(value) for key, value in (gateway.spec.get("selector") or {}).items()}


def servers(gateway: Resource) -> list[Obj]:
    """The servers of a Gateway."""
    return [server for server in gateway.spec.get("servers") or [] if isinstance(server, dict)]


def _meet(left: Resource, right: Resource, snapshot: Snapshot) -> bool:
    """Whether two gateways configure one proxy: by the same selector, or one that adds labels and finds a pod."""
    ours, theirs = selector(left), selector(right)
    if ours == theirs:
        return True
    if not (ours.items() <= theirs.items() or theirs.items() <= ours.items()):
        return False
    both = {**ours, **theirs}.items()
    return any(both <= pod.labels.items() for pod in snapshot.of("pods"))


def _same(server: Obj, number: object, other: Obj) -> bool:
    return (
        isinstance(number, int)
        and (other.get("port") or {}).get("number") == number
        and (server.get("bind") or "") == (other.get("bind") or "")
        and not {str(host) for host in server.get("hosts") or []}.isdisjoint(str(h) for h in other.get("hosts") or [])
    )


def _certificates(gateway: Resource) -> set[tuple[str, str]]:
    found = set()
    for server in servers(gateway):
        tls = server.get("tls") or {}
        if tls.get("credentialName"):
            found.add(("credential", str(tls["credentialName"])))
        elif tls.get("serverCertificate") and tls.get("privateKey"):
            found.add((str(tls["serverCertificate"]), str(tls["privateKey"])))
    return found
