"""Telemetries: selectors, providers, and one that is no longer there (IST0101, IST0157, IST0159, IST0160, IST0002)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshlab.minicluster.mesh.istio.analysis import workloads
from meshlab.minicluster.mesh.istio.analysis.mesh import mesh_config
from meshlab.minicluster.mesh.istio.analysis.messages import quoted
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message

TELEMETRIES = "telemetries.telemetry.istio.io"


def selectors(snapshot: Snapshot) -> Iterator[Message]:
    """Every selector finds a pod, and no pod is selected twice."""
    yield from workloads.overlaps(snapshot, snapshot.of(TELEMETRIES), _selector, "IST0159")


def defaults(snapshot: Snapshot) -> Iterator[Message]:
    """A namespace has one Telemetry without a selector; those with a targetRef are for something else."""
    resources = [
        item for item in snapshot.of(TELEMETRIES) if not (item.spec.get("targetRef") or item.spec.get("targetRefs"))
    ]
    yield from workloads.without_selector(resources, _selector, "IST0160")


def providers(snapshot: Snapshot) -> Iterator[Message]:
    """Access logging names a provider where the mesh has no default one; what only switches off needs none."""
    if (mesh_config(snapshot).get("defaultProviders") or {}).get("accessLogging"):
        return
    for resource in snapshot.of(TELEMETRIES):
        for index, entry in enumerate(resource.spec.get("accessLogging") or []):
            if isinstance(entry, dict) and not entry.get("providers") and not entry.get("disabled"):
                path: Path = ("spec", "accessLogging", index)
                yield message("IST0157", resource, resource.name, quoted(resource.namespace), path=path)


def lightstep(snapshot: Snapshot) -> Iterator[Message]:
    """Nothing traces to a provider of the kind ``lightstep``, which Envoy has no longer."""
    gone = {item["name"] for item in mesh_config(snapshot).get("extensionProviders") or [] if "lightstep" in item}
    for resource in snapshot.of(TELEMETRIES):
        for entry in resource.spec.get("tracing") or []:
            for provider in (entry or {}).get("providers") or []:
                if provider.get("name") in gone:
                    name = provider["name"]
                    text = f"The Lightstep provider {name} is deprecated, please migrate to OpenTelemetry provider."
                    yield message("IST0002", resource, text)


def _selector(telemetry: Resource) -> Mapping[str, str]:
    return telemetry.selector
