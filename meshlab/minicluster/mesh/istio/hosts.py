"""Names in Istio resources: which host a short name means, and which gateway."""

from __future__ import annotations

from meshlab.minicluster.mesh.hostnames import is_address


def resolve_host(name: str, namespace: str, domain: str = "cluster.local") -> str:
    """The full name for a host in a resource.

    A name without a dot is a service of the *resource's* namespace, never of the client's. Wildcards, addresses and
    dotted names stay as they are; a trailing dot is dropped.
    """
    name = name.strip().lower().rstrip(".")
    if not name or "*" in name or "." in name or is_address(name):
        return name
    return f"{name}.{namespace}.svc.{domain}"


def resolve_gateway(name: str, namespace: str) -> str:
    """The full name for a gateway reference: ``mesh``, or ``namespace/name``."""
    name = name.strip()
    if name == "mesh":
        return name
    if "/" in name:
        owner, _, rest = name.partition("/")
        return f"{namespace}/{rest}" if owner == "." else name
    short, _, rest = name.partition(".")
    if rest.endswith(".svc.cluster.local"):
        return f"{rest.split('.', 1)[0]}/{short}"
    return f"{namespace}/{name}"
