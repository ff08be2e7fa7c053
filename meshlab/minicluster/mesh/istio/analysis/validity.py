"""IST0106: is a resource valid by its CRD's schema, and by the rules of Istio's validation webhook?"""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.model import KINDS, Message, Resource, Snapshot, message
from meshlab.minicluster.mesh.istio.messages import schema_of


def problems(obj: Obj) -> list[str]:
    """Everything that is wrong with one of Istio's objects; empty for other kinds."""
    from meshlab.minicluster.apiserver.schema import prune, validate
    from meshlab.minicluster.mesh.istio.validation import validate as validate_rules

    schema = schema_of(obj)
    if schema is None:
        return []
    _, unknown = prune(schema, obj)
    found = [f'unknown field "{path}"' for path in unknown]
    found += [f"{problem.field}: {problem.message}" for problem in validate(schema, obj)]
    if found:
        return found
    return list(validate_rules(obj))


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check all of Istio's resources."""
    for (group, _), kind in KINDS.items():
        if group.endswith(".istio.io"):
            for resource in snapshot.of(kind):
                yield from _check(resource)


def _check(resource: Resource) -> Iterator[Message]:
    for problem in problems(resource.obj):
        yield message("IST0106", resource, problem)
