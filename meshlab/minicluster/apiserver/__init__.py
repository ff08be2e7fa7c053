"""The Kubernetes API server of the mini-cluster.

A request comes in over TLS (``app``), is authenticated (``authn``) and authorized (``authz``), and a verb of the
``registry`` runs: the body is decoded (``decoding``), the resource's strategy gives defaults and validates, the
admission chain mutates and admits, and the ``store`` commits, which is the moment every watch hears of it. Parts that
live in the same process take the same path without the HTTP: ``local.LocalApi``.

What exists is data: ``catalog`` holds the resources that are served, built in or defined by a CustomResourceDefinition,
and each names its strategy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlab.minicluster.apiserver.server import ApiServer

__all__ = ["ApiServer"]


def __getattr__(name: str) -> object:
    # Lazy, so that the pure parts of this package can be used without importing a web server.
    if name == "ApiServer":
        from meshlab.minicluster.apiserver.server import ApiServer

        return ApiServer
    raise AttributeError(name)
