"""The lab's istioctl: upstream's commands, flags, tables and exit codes, on the lab's cluster only.

`main` picks one command module, which builds its own parser and runs; nothing else is imported, so that ``istioctl``
starts quickly. Cluster commands go through `session.Session`, which refuses a cluster without meshlab's marker. What
can be pure is: rendering (`manifests`), analyzers (`analysis`), tables (`proxyconfig.tables`), merging (`reconcile`).
"""

from __future__ import annotations

from meshlab.minicluster.mesh.istio.istioctl.commands import main

VERSION = "1.31.0-meshlab"
"""What ``istioctl version`` calls the client."""

__all__ = ["VERSION", "main"]
