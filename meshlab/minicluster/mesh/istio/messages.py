"""Whether istiod can read a resource at all: the messages it knows, as far as the schemas of its definitions tell."""

from __future__ import annotations

from functools import cache

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.manifests import istio_crds

UNREADABLE = ("FieldValueTypeInvalid", "FieldValueNotSupported")
"""Findings of a schema that a decoder would have too; all else is for the API server to find."""


@cache
def _schemas() -> dict[tuple[str, str], Obj]:
    """(apiVersion, kind) -> openAPIV3Schema."""
    return {
        (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]): version["schema"][
            "openAPIV3Schema"
        ]
        for crd in istio_crds()
        for version in crd["spec"]["versions"]
    }


def schema_of(obj: Obj) -> Obj | None:
    """The schema of an object of one of Istio's kinds, in a version that is served; None for any other object."""
    return _schemas().get((str(obj.get("apiVersion")), str(obj.get("kind"))))


def unreadable(obj: Obj) -> str:
    """Why istiod could not read the object: a field that it does not know, a value of a wrong type; or nothing.

    Args:
        obj: an object of a known kind.
    """
    # What reads the schemas takes its time to import.
    from meshlab.minicluster.apiserver.schema import prune, validate

    api_version, kind = str(obj.get("apiVersion")), str(obj.get("kind"))
    schema = _schemas()[api_version, kind]
    _, unknown = prune(schema, obj)
    for path in unknown:
        if path.startswith("spec."):
            parent, _, field = path.rpartition(".")
            message = f"istio.{api_version.partition('.')[0]}.{api_version.rpartition('/')[2]}.{kind}"
            return f'unknown field "{field}" in {message}' + (f" ({parent})" if parent != "spec" else "")
    problems = (problem for problem in validate(schema, obj) if problem.reason in UNREADABLE)
    return next((f"{problem.field}: {problem.message}" for problem in problems), "")
