"""What the translation looks up in the cluster: Services, namespaces, Secrets, grants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.gatewayapi.references import Grants
from meshlab.minicluster.mesh.istio.reading import mapping, objects, sequence, string_map, text, texts
from meshlab.minicluster.mesh.model import Service

Key = tuple[str, str]
"""(namespace, name)."""

NAMESPACE_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Cluster:
    """The cluster as far as routes and Gateways refer to it."""

    services: Mapping[Key, Obj]
    """Kubernetes Services as read."""
    hosts: Mapping[str, Service]
    """The model's services by host, with their endpoints."""
    service_entries: Mapping[Key, Obj]
    namespaces: Mapping[str, Mapping[str, str]]
    """Labels by namespace."""
    secrets: Mapping[Key, Obj]
    grants: Grants
    domain: str

    @classmethod
    def of(
        cls,
        resources: Mapping[str, Sequence[Obj]],
        services: Iterable[Service],
        secrets: Mapping[Key, Obj],
        grants: Grants,
        domain: str,
    ) -> Cluster:
        """Index the objects of a snapshot, by ``plural.group``."""
        hosts: dict[str, Service] = {}
        for service in services:
            hosts.setdefault(service.host, service)
        return cls(
            services=_by_key(resources.get("services", ())),
            hosts=hosts,
            service_entries=_by_key(resources.get("serviceentries.networking.istio.io", ())),
            namespaces={
                name: string_map(mapping(obj.get("metadata")).get("labels"))
                for (_, name), obj in _by_key(resources.get("namespaces", ())).items()
            },
            secrets=secrets,
            grants=grants,
            domain=domain,
        )

    def service_host(self, namespace: str, name: str) -> str:
        """The host of a Kubernetes Service."""
        return f"{name}.{namespace}.svc.{self.domain}"

    @cached_property
    def _sorted_namespaces(self) -> list[str]:
        return sorted(self.namespaces)

    def selected_namespaces(self, selector: Mapping[str, Any]) -> list[str]:
        """The namespaces that a label selector picks, sorted."""
        return [
            name
            for name in self._sorted_namespaces
            if _selects(selector, {NAMESPACE_LABEL: name, **self.namespaces[name]})
        ]


def _by_key(resources: Iterable[Obj]) -> dict[Key, Obj]:
    found = {}
    for obj in resources:
        metadata = mapping(obj.get("metadata"))
        found[text(metadata.get("namespace")), text(metadata.get("name"))] = obj
    return found


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A ``metav1.LabelSelector``; an empty one selects everything."""
    wanted = string_map(selector.get("matchLabels"))
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for expression in objects(selector.get("matchExpressions")):
        key, values = text(expression.get("key")), texts(sequence(expression.get("values")))
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds.get(text(expression.get("operator")), False):
            return False
    return True
