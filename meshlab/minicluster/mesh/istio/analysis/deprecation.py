"""IST0002: fields that still work, or are ignored, and have a better successor."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Snapshot, message


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check VirtualServices and Sidecars."""
    for resource in snapshot.of("virtualservices.networking.istio.io"):
        for index, rule in enumerate(resource.spec.get("http") or []):
            delay = ((rule or {}).get("fault") or {}).get("delay") or {}
            if int(delay.get("percent") or 0) > 0:
                path: Path = ("spec", "http", index, "fault", "delay", "percent")
                text = "HTTPRoute.fault.delay.percent is deprecated; use HTTPRoute.fault.delay.percentage"
                yield message("IST0002", resource, text, path=path)
    for resource in snapshot.of("sidecars.networking.istio.io"):
        if (resource.spec.get("outboundTrafficPolicy") or {}).get("egressProxy"):
            yield message("IST0002", resource, "OutboundTrafficPolicy.EgressProxy ignored")
