"""``istioctl experimental describe``: a pod or service, and what of Istio's configuration concerns it.

`workload` says what a pod and its services are, `rules` what DestinationRules and VirtualServices mean for them,
`ingress` at which gateways they are reached, `authentication` who may speak plain text. All of it is pure: lines of
text from a snapshot of resources, in upstream's order and words (``istioctl/pkg/describe``).
"""

from __future__ import annotations

from meshlab.minicluster.mesh.istio.istioctl.describe.command import run

__all__ = ["run"]
