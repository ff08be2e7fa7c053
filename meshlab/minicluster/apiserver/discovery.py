"""Discovery: which groups, versions and resources there are, in the aggregated and in the older form."""

from __future__ import annotations

import hashlib

import orjson

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.kubeapi import Obj

AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Discovery:
    """Discovery documents of a catalog."""

    def __init__(self, catalog: Catalog, server_address: str) -> None:
        self._catalog = catalog
        self._server_address = server_address
        self._aggregated: dict[bool, tuple[int, bytes, str]] = {}

    def aggregated(self, *, core: bool) -> tuple[bytes, str]:
        """The aggregated document (``apidiscovery.k8s.io/v2``) of ``/api`` or ``/apis``, and its ETag."""
        known = self._aggregated.get(core)
        if known is None or known[0] != self._catalog.generation:
            groups = [group for group in self._catalog.groups() if (group == "") is core]
            document = {
                "kind": "APIGroupDiscoveryList",
                "apiVersion": "apidiscovery.k8s.io/v2",
                "metadata": {},
                "items": [self._aggregated_group(group) for group in groups],
            }
            body = orjson.dumps(document)
            etag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
            known = self._aggregated[core] = (self._catalog.generation, body, etag)
        return known[1], known[2]

    def _aggregated_group(self, group: str) -> Obj:
        versions = [
            {
                "version": version,
                "resources": [_aggregated_resource(resource) for resource in self._catalog.in_version(group, version)],
                "freshness": "Current",
            }
            for version in self._catalog.versions(group)
        ]
        return {"metadata": {"name": group, "creationTimestamp": None}, "versions": versions}

    def core_versions(self) -> Obj:
        """``/api`` in the older form."""
        return {
            "kind": "APIVersions",
            "versions": self._catalog.versions(""),
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._server_address}],
        }

    def groups(self) -> Obj:
        """``/apis`` in the older form."""
        groups = [self._group(group) for group in self._catalog.groups() if group]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def group(self, name: str) -> Obj:
        """``/apis/GROUP``; raises 404."""
        if not name or name not in self._catalog.groups():
            raise statuses.no_such_path()
        return {"kind": "APIGroup", "apiVersion": "v1", **self._group(name)}

    def _group(self, name: str) -> Obj:
        versions = [
            {"groupVersion": f"{name}/{version}", "version": version} for version in self._catalog.versions(name)
        ]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def resources(self, group: str, version: str) -> Obj:
        """``/api/v1`` or ``/apis/GROUP/VERSION``; raises 404."""
        rows = self._catalog.in_version(group, version)
        if not rows:
            raise statuses.no_such_path()
        listed: list[Obj] = []
        for resource in rows:
            listed.append(_resource(resource))
            for name, subresource in sorted(resource.subresources.items()):
                entry: Obj = {
                    "name": f"{resource.plural}/{name}",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                }
                if subresource.group != resource.group or subresource.version != resource.version:
                    entry |= {"group": subresource.group, "version": subresource.version}
                listed.append(entry | {"kind": subresource.kind, "verbs": list(subresource.verbs)})
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": rows[0].api_version,
            "resources": listed,
        }


def _resource(resource: Resource) -> Obj:
    entry: Obj = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def _aggregated_resource(resource: Resource) -> Obj:
    entry: Obj = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": {"group": item.group, "version": item.version, "kind": item.kind},
                "verbs": list(item.verbs),
            }
            for name, item in sorted(resource.subresources.items())
        ]
    return entry
