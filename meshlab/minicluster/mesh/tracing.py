"""How a workload traces: telemetry rules laid over each other, as upstream's ``Telemetries.Tracing`` does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshlab.minicluster.mesh.observation import Observation, Side
from meshlab.minicluster.mesh.providers import CustomTag, Tracer, Tracing


@dataclass(slots=True)
class TracingSpec:
    """What rules say of the traces of one side of a workload."""

    tracer: Tracer | None = None
    """None: no spans are reported, whatever else is said."""
    disabled: bool = False
    sampling_percent: float | None = None
    """None: what the proxy's own configuration says."""
    tags: tuple[CustomTag, ...] = ()
    mesh_tags: bool = True
    by_request_id: bool = True
    silent: bool = False


def tracing_spec(observations: Sequence[Observation], tracing: Tracing, side: Side) -> TracingSpec | None:
    """What rules and the default say of one side; None if they say nothing, and the proxy's own configuration counts.

    Args:
        observations: what `observation.applying` found.
        tracing: the mesh's configuration.
        side: of the requests.
    """
    rules = [rule for observation in observations for rule in observation.tracing]
    if not rules and tracing.default is None:
        return None
    tracers = {tracer.name.lower(): tracer for tracer in reversed(tracing.tracers)}
    spec = TracingSpec(tracer=tracers.get((tracing.default or "").lower()))
    for rule in (rule for rule in rules if rule.side in (None, side)):
        if rule.providers:
            # A proxy has one tracer; of several names the first counts.
            spec.tracer = tracers.get(rule.providers[0].lower())
        if rule.disabled is not None:
            spec.disabled = rule.disabled
        if rule.tags is not None:
            spec.tags = rule.tags
        if rule.sampling_percent is not None:
            spec.sampling_percent = rule.sampling_percent
        if rule.by_request_id is not None:
            spec.by_request_id = rule.by_request_id
        if rule.mesh_tags is not None:
            spec.mesh_tags = rule.mesh_tags
        if rule.silent is not None:
            spec.silent = rule.silent
    return spec
