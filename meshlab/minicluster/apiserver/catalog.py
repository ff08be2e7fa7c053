"""What is served right now: the built-in resources, and one row per served version of every established definition.

Discovery, OpenAPI and routing read this; when a CustomResourceDefinition comes, changes or goes, its rows do, and
``generation`` tells caches that they are stale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.schema.rules import RuleTree
from meshlab.minicluster.kubeapi import Obj

_KUBE_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STABILITY = {None: 0, "beta": 1, "alpha": 2}


def version_priority(version: str) -> tuple[Any, ...]:
    """Sort key of API versions, best first: v2, v1, v1beta1, v1alpha3, then anything else by name."""
    match = _KUBE_VERSION.fullmatch(version)
    if match is None:
        return (1, version)
    major, stability, minor = match.groups()
    return (0, _STABILITY[stability], -int(major), -int(minor or 0))


@dataclass(frozen=True, slots=True, eq=False)
class CustomVersion:
    """What a definition says of one of its served versions, beyond the resource row."""

    resource: Resource
    schema: Obj
    """The structural schema, ``openAPIV3Schema``, with apiVersion, kind and metadata added."""
    rules: RuleTree | None
    """The CEL rules in it, if there are any."""
    columns: Sequence[Obj]
    """``additionalPrinterColumns``; empty means NAME and AGE."""
    has_status: bool
    scale: Obj | None
    """The paths of the scale subresource, if there is one."""
    stored_api_version: str
    """The apiVersion under which objects are kept."""
    selectable_fields: tuple[str, ...] = ()
    deprecation: str = ""
    """What whoever uses a deprecated version is warned of."""


RowKey = tuple[str, str, str]


class Catalog:
    """Every resource that is served.

    Args:
        builtin: the built-in rows; within a group, versions come in order of preference.
    """

    def __init__(self, builtin: Iterable[Resource]) -> None:
        self.generation = 0
        self._rows: dict[RowKey, Resource] = {(r.group, r.version, r.plural): r for r in builtin}
        self._builtin_groups = list(dict.fromkeys(group for group, _, _ in self._rows))
        self._builtin_versions: dict[str, list[str]] = {}
        for group, version, _ in self._rows:
            versions = self._builtin_versions.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        self._custom: dict[RowKey, CustomVersion] = {}

    def get(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at a path of the API, or None."""
        return self._rows.get((group, version, plural))

    def custom(self, resource: Resource) -> CustomVersion | None:
        """What the definition says of a custom resource's version; None for a built-in one."""
        return self._custom.get((resource.group, resource.version, resource.plural))

    def resolve(self, text: str) -> Resource:
        """The resource that ``plural``, ``plural.group`` or ``plural.version.group`` names, in its preferred version.

        Raises:
            StatusError: 404 if nothing is served under that name.
        """
        plural, _, rest = text.partition(".")
        for version in self.versions(rest):
            found = self.get(rest, version, plural)
            if found is not None:
                return found
        version, _, group = rest.partition(".")
        found = self.get(group, version, plural)
        if found is None:
            raise statuses.no_such_path()
        return found

    def resources(self) -> list[Resource]:
        """All rows."""
        return list(self._rows.values())

    def groups(self) -> list[str]:
        """Group names in discovery order: built in first, then the definitions' by name."""
        custom = {group for group, _, _ in self._custom} - set(self._builtin_groups)
        return [*self._builtin_groups, *sorted(custom)]

    def versions(self, group: str) -> list[str]:
        """Versions of a group in order of preference."""
        builtin = self._builtin_versions.get(group, [])
        custom = {version for g, version, _ in self._custom if g == group} - set(builtin)
        return [*builtin, *sorted(custom, key=version_priority)]

    def in_version(self, group: str, version: str) -> list[Resource]:
        """The resources of one group and version, by plural."""
        found = [r for (g, v, _), r in self._rows.items() if g == group and v == version]
        return sorted(found, key=lambda resource: resource.plural)

    def define(self, group: str, plural: str, versions: Iterable[CustomVersion]) -> None:
        """Serve these versions of a custom resource, and no others."""
        self._drop(group, plural)
        for version in versions:
            key = (group, version.resource.version, plural)
            self._rows[key] = version.resource
            self._custom[key] = version
        self.generation += 1

    def undefine(self, group: str, plural: str) -> None:
        """Serve a custom resource no longer."""
        self._drop(group, plural)
        self.generation += 1

    def freeze_writes(self, group: str, plural: str) -> None:
        """Let nothing new be created of a resource whose definition is being removed."""
        for key, version in list(self._custom.items()):
            if key[0] == group and key[2] == plural:
                verbs = tuple(verb for verb in version.resource.verbs if verb != "create")
                row = replace(version.resource, verbs=verbs)
                self._rows[key] = row
                self._custom[key] = replace(version, resource=row)

    def _drop(self, group: str, plural: str) -> None:
        for key in [key for key in self._custom if key[0] == group and key[2] == plural]:
            del self._rows[key]
            del self._custom[key]
