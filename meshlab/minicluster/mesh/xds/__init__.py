"""Delta ADS: Envoy configuration delivered to proxies that have proved who they are.

What flows in: a `Snapshot` per proxy (type URL -> name -> `Resource`), set whenever the mesh changed. What flows out:
delta responses in make-before-break order, each awaited until the proxy has ACKed it. So three things are known and
never guessed: what a proxy has, what it is still missing, and what it refused and why.

    resources.py   resources as bytes with content versions, shared by all proxies
    identity.py    what was made of objects that come again with the next push
    stream.py      one proxy's stream: subscriptions, nonces, ACKs and NACKs
    push.py        one proxy's push: the order of types, and how a refused resource is isolated
    server.py      the gRPC service: authentication, the table of connected proxies
    status.py      the state of all of it, for ``/debug/syncz``
"""

from meshlab.minicluster.mesh.xds.resources import Resource, ResourceCache, Snapshot
from meshlab.minicluster.mesh.xds.server import Identity, ProxyConnection, XdsServer

__all__ = ["Identity", "ProxyConnection", "Resource", "ResourceCache", "Snapshot", "XdsServer"]
