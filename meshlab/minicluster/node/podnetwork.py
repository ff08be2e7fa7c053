"""A pod's addresses: the one the API shows, and where its programs really are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from meshlab.minicluster.images.catalogue import Image
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.network.addresses import LabNetwork, PortMap, hidden_address
from meshlab.minicluster.network.capture import outbound_annotations
from meshlab.minicluster.node.listening import all_listening

PROXY_PORT = 15001
"""The outbound listener of a sidecar (an HTTP proxy)."""
PROXY_PORTS = frozenset((PROXY_PORT, 15006, 15020, 15021, 15090))
"""What a sidecar serves on the pod's own address, declared or not."""
NO_PROXY = "localhost,127.0.0.1"


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """Where one pod is.

    A pod with a mesh proxy has two addresses: the proxy owns the pod IP, and everything else hides behind it.
    """

    pod_ip: str
    app_ip: str
    """Where programs other than the proxy listen."""
    proxies: frozenset[str]
    """The containers that are mesh proxies."""
    proxied: frozenset[str]
    """The containers whose outgoing requests go through the proxy."""
    proxy_ports: frozenset[int]
    ports: PortMap
    capture: Mapping[str, str] = field(default_factory=dict)
    """Annotations that say which outgoing connections the proxy takes."""
    captures_dns: bool = False
    """Whether the proxy answers questions for names."""

    @classmethod
    def allocate(
        cls, pod: Obj, network: LabNetwork, ports: PortMap, lookup: Callable[[str], Image | None]
    ) -> PodNetwork:
        """Take an address for a pod, and settle the real ports behind those it declares.

        Raises:
            Exhausted: no address or no port is left.
        """
        inits = pod["spec"].get("initContainers") or []
        apps = pod["spec"]["containers"]
        proxies = {c["name"] for c in _long_running(inits, apps) if _is_proxy(lookup, c)}
        order = [container["name"] for container in (*inits, *apps)]
        native = [order.index(container["name"]) for container in inits if container["name"] in proxies]
        # What runs before a native sidecar cannot use it; a proxy among the main containers serves only those.
        first = min(native) if native else len(inits)
        proxied = {name for name in order[first:] if name not in proxies} if proxies else set()
        for port in declared_ports((*inits, *apps)):
            ports.settle(port)
        own = {
            int(port["containerPort"]) for c in (*inits, *apps) if c["name"] in proxies for port in c.get("ports") or []
        }
        if proxies:
            for port in sorted(PROXY_PORTS):
                ports.settle(port)
        pod_ip = network.pods.allocate()
        return cls(
            pod_ip=pod_ip,
            app_ip=hidden_address(pod_ip) if proxies else pod_ip,
            proxies=frozenset(proxies),
            proxied=frozenset(proxied),
            proxy_ports=frozenset(own | PROXY_PORTS) if proxies else frozenset(),
            ports=ports,
            capture=outbound_annotations((pod.get("metadata") or {}).get("annotations") or {}),
            captures_dns=any(_captures_dns(c) for c in (*inits, *apps) if c["name"] in proxies),
        )

    def bind_ip(self, container: str) -> str:
        """Where a container's programs listen."""
        return self.pod_ip if container in self.proxies else self.app_ip

    def address(self, container: str, port: int) -> tuple[str, int]:
        """The real (ip, port) behind a container's nominal port, past the sidecar unless it is the sidecar's."""
        ip = self.pod_ip if port in self.proxy_ports else self.bind_ip(container)
        return ip, self.ports.real(port)

    def front(self, container: str, port: int) -> tuple[str, int]:
        """Where the pod's own address leads: to its proxy for the ports that this one listens on."""
        found = (self.pod_ip, self.ports.real(port))
        return found if self.proxies and all_listening([found]) else self.address(container, port)

    def proxy_url(self, container: str) -> str:
        """The proxy a container's programs are to use; empty for none."""
        return f"http://{self.pod_ip}:{self.ports.real(PROXY_PORT)}" if container in self.proxied else ""

    def proxy_variables(self, container: str) -> dict[str, str]:
        """The environment that makes programs use the sidecar."""
        url = self.proxy_url(container)
        if not url:
            return {}
        # Lower-case names go first with curl, so without them HTTPS_PROXY=... in front of a command counts; for plain
        # HTTP it knows no other.
        names = ("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        return {**dict.fromkeys(names, url), "no_proxy": NO_PROXY, "NO_PROXY": NO_PROXY}


def declared_ports(containers: Iterable[Obj]) -> list[int]:
    """The TCP ports that containers declare or that their probes and hooks name by number."""
    found = set()
    for container in containers:
        found |= {int(port["containerPort"]) for port in container.get("ports") or [] if "containerPort" in port}
        lifecycle = container.get("lifecycle") or {}
        actions = [container.get(f"{kind}Probe") for kind in ("startup", "liveness", "readiness")]
        actions += [lifecycle.get("postStart"), lifecycle.get("preStop")]
        for action in actions:
            for handler in (action or {}).values():
                port = handler.get("port") if isinstance(handler, dict) else None
                if isinstance(port, int) or str(port or "").isdigit():
                    found.add(int(str(port)))
    return sorted(found)


def _long_running(inits: Iterable[Obj], apps: Iterable[Obj]) -> list[Obj]:
    return [container for container in inits if container.get("restartPolicy") == "Always"] + list(apps)


def _captures_dns(container: Obj) -> bool:
    variables = {each["name"]: each.get("value") for each in container.get("env") or []}
    return variables.get("ISTIO_META_DNS_CAPTURE") == "true"


def _is_proxy(lookup: Callable[[str], Image | None], container: Obj) -> bool:
    try:
        image = lookup(container.get("image") or "")
    except ValueError:
        return False  # no image name; its container will say so
    return image is not None and image.sidecar
