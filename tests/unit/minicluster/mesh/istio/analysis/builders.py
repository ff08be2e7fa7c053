"""Small resources for snapshots, and what analyzers find in them."""

from __future__ import annotations

from typing import Any

from meshlab.minicluster.mesh.istio.analysis.model import Analyze, Message, Resource, Snapshot

NETWORKING = "networking.istio.io/v1"
SECURITY = "security.istio.io/v1"
TELEMETRY = "telemetry.istio.io/v1"


def obj(
    api_version: str, kind: str, name: str, spec: Any = None, namespace: str = "default", **metadata: Any
) -> Resource:
    """An object; a Namespace and a webhook configuration belong to no namespace."""
    own = {} if kind in ("Namespace", "MutatingWebhookConfiguration") else {"namespace": namespace}
    document = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **own, **metadata}}
    return Resource({**document, "spec": spec} if spec is not None else document)


def pod(name: str, labels: dict[str, str] | None = None, spec: Any = None, **metadata: Any) -> Resource:
    """A pod with one container, or with this spec."""
    return obj("v1", "Pod", name, spec or {"containers": [{"name": "app"}]}, labels=labels or {}, **metadata)


def config_map(name: str, namespace: str = "istio-system", **data: str) -> Resource:
    """A ConfigMap with this data."""
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}
    return Resource({**document, "data": data})


def secret(name: str, namespace: str = "istio-system", **data: str) -> Resource:
    """A Secret with this data."""
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}
    return Resource({**document, "data": data})


def found(analyze: Analyze, *resources: Resource) -> list[str]:
    """Level, code, origin and text of every message."""
    messages: list[Message] = list(analyze(Snapshot(resources)))
    return [f"{item.level} [{item.code}] ({item.origin}) {item.text}" for item in messages]


def codes(analyze: Analyze, *resources: Resource) -> list[tuple[str, str]]:
    """(code, origin) of every message, sorted."""
    return sorted((item.code, item.origin) for item in analyze(Snapshot(resources)))
