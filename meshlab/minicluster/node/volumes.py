"""A pod's volumes: which files they hold, and where containers mount them."""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.node import atomicwriter, environment, fieldpath
from meshlab.minicluster.node.environment import Sources

IssueToken = Callable[[Obj, str, int], Awaitable[str]]
"""``(pod, audience, seconds) -> token``; an empty audience means the API server's own."""

DEFAULT_MODE = 0o644
DEFAULT_TOKEN_S = 3600
SUPPORTED = ("configMap", "secret", "emptyDir", "downwardAPI", "projected")
TOKEN_REFRESH = 0.8
"""The share of a token's life after which it is replaced, as upstream."""


class VolumeError(Exception):
    """A volume cannot be set up now.

    Args:
        message: in upstream's words.
        permanent: whether waiting will not help.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Mount:
    """One ``volumeMount`` of a container."""

    target: str
    source: Path
    """Of the host, with all links resolved."""
    read_only: bool
    link: Path | None = None
    """The same before links were resolved: it stays valid when the volume changes."""

    @property
    def lasting(self) -> Path:
        """Where a program without a private root finds it at any time."""
        return self.link or self.source


@dataclass(slots=True)
class Volumes:
    """The volumes of one pod, under one directory.

    Args:
        root: where they live.
        sources: look-ups in the pod's namespace.
        issue_token: makes ServiceAccount tokens.
    """

    root: Path
    sources: Sources
    issue_token: IssueToken
    _tokens: dict[tuple[str, int], tuple[str, float]] = field(default_factory=dict)
    """By audience and duration: the token, and the (monotonic) time to replace it."""

    async def set_up(self, pod: Obj) -> bool:
        """Write every volume as it should be now; returns whether one changed.

        Raises:
            VolumeError: naming the first volume that cannot be set up.
        """
        changed = False
        for volume in pod["spec"].get("volumes") or []:
            directory = self.root / volume["name"]
            if volume.get("emptyDir") is not None or _source_of(volume) == "":
                if not directory.is_dir():
                    directory.mkdir(parents=True)
                    directory.chmod(0o777)
                continue
            try:
                payload = await self._payload(pod, volume)
            except VolumeError as error:
                prefix = f'MountVolume.SetUp failed for volume "{volume["name"]}" : '
                raise VolumeError(prefix + str(error), permanent=error.permanent) from error
            changed |= atomicwriter.write(directory, payload)
        return changed

    def next_refresh_s(self) -> float | None:
        """Seconds until a token must be replaced; None without tokens."""
        if not self._tokens:
            return None
        return max(0.0, min(due for _, due in self._tokens.values()) - time.monotonic())

    def mounts(self, pod: Obj, container: Obj, variables: Mapping[str, str]) -> list[Mount]:
        """Where the container's mounts lead on the host.

        Raises:
            VolumeError: a subPath leads out of its volume, or to nothing.
        """
        kinds = {volume["name"]: _source_of(volume) for volume in pod["spec"].get("volumes") or []}
        result = []
        for mount in container.get("volumeMounts") or []:
            name = mount["name"]
            if name not in kinds:
                raise VolumeError(f'volume "{name}" is not defined', permanent=True)
            generated = kinds[name] not in ("emptyDir", "")
            source = (self.root / name).resolve()
            link = source
            sub_path = mount.get("subPath") or environment.expand(mount.get("subPathExpr") or "", variables)
            if sub_path:
                link = source / sub_path
                source = self._sub_path(source, sub_path, container["name"], name, make=not generated)
            target = "/" + str(PurePosixPath("/", mount["mountPath"])).lstrip("/")
            result.append(Mount(target, source, generated or bool(mount.get("readOnly")), link))
        # A mount inside another one comes after it.
        return sorted(result, key=lambda mount: mount.target.count("/") if mount.target != "/" else 0)

    @staticmethod
    def _sub_path(volume: Path, sub_path: str, container: str, name: str, *, make: bool) -> Path:
        failed = f'failed to prepare subPath for volumeMount "{name}" of container "{container}"'
        wanted = (volume / sub_path).resolve()
        if not wanted.is_relative_to(volume):
            raise VolumeError(failed, permanent=True)
        if not wanted.exists():
            if not make:
                raise VolumeError(failed)
            wanted.mkdir(parents=True)
        return wanted

    async def _payload(self, pod: Obj, volume: Obj) -> dict[str, tuple[bytes, int]]:
        kind = _source_of(volume)
        if kind not in SUPPORTED:
            raise VolumeError(refusal(volume, kind), permanent=True)
        source = volume[kind]
        mode = source.get("defaultMode") or DEFAULT_MODE
        if kind != "projected":
            return await self._from_source(pod, kind, source, source.get("name") or source.get("secretName"), mode)
        payload: dict[str, tuple[bytes, int]] = {}
        for part in source.get("sources") or []:
            for part_kind, reference in part.items():
                payload |= await self._from_source(pod, part_kind, reference, reference.get("name"), mode)
        return payload

    async def _from_source(
        self, pod: Obj, kind: str, source: Obj, name: str | None, mode: int
    ) -> dict[str, tuple[bytes, int]]:
        if kind == "serviceAccountToken":
            token = await self._token(pod, source)
            return {source["path"]: (token.encode(), mode)}
        if kind == "downwardAPI":
            return self._downward(pod, source, mode)
        if kind == "configMap":
            found = self.sources.config_map(name or "")
            values = _config_map_values(found) if found else {}
            missing = f'configmap "{name}" not found'
        elif kind == "secret":
            found = self.sources.secret(name or "")
            values = {key: base64.b64decode(value) for key, value in ((found or {}).get("data") or {}).items()}
            missing = f'secret "{name}" not found'
        else:
            raise VolumeError(f"projected volume source {kind} is not supported by this lab", permanent=True)
        optional = bool(source.get("optional"))
        if found is None and not optional:
            raise VolumeError(missing)
        items = source.get("items")
        if not items:
            return {key: (content, mode) for key, content in values.items()}
        payload = {}
        for item in items:
            if item["key"] in values:
                payload[item["path"]] = (values[item["key"]], item.get("mode") or mode)
            elif not optional:
                noun = "config" if kind == "configMap" else "secret"
                raise VolumeError(f"references non-existent {noun} key: {item['key']}")
        return payload

    def _downward(self, pod: Obj, source: Obj, mode: int) -> dict[str, tuple[bytes, int]]:
        payload = {}
        try:
            for item in source.get("items") or []:
                if reference := item.get("fieldRef"):
                    value = fieldpath.field_value(pod, reference["fieldPath"])
                else:
                    reference = item["resourceFieldRef"]
                    container = next(c for c in pod["spec"]["containers"] if c["name"] == reference["containerName"])
                    value = fieldpath.resource_value(container, reference, dict(self.sources.allocatable))
                payload[item["path"]] = (value.encode(), item.get("mode") or mode)
        except (ValueError, StopIteration) as error:
            raise VolumeError(str(error), permanent=True) from error
        return payload

    async def _token(self, pod: Obj, source: Obj) -> str:
        audience, seconds = source.get("audience") or "", int(source.get("expirationSeconds") or DEFAULT_TOKEN_S)
        token, due = self._tokens.get((audience, seconds), ("", 0.0))
        if time.monotonic() >= due:
            try:
                token = await self.issue_token(pod, audience, seconds)
            except Exception as error:
                raise VolumeError(f"failed to fetch token: {error}") from error
            self._tokens[audience, seconds] = token, time.monotonic() + seconds * TOKEN_REFRESH
        return token


def refusal(volume: Obj, kind: str) -> str:
    """Why the lab does not offer a volume of that kind."""
    if kind == "hostPath":
        return (
            f"hostPath {volume['hostPath'].get('path')!r} is refused:"
            " a pod of this lab must not reach into your machine;"
            " use emptyDir or configMap"
        )
    if kind == "persistentVolumeClaim":
        return "persistentVolumeClaim is not supported by this lab: it has no storage; use emptyDir"
    return f"volumes of type {kind} are not supported by this lab (it has {', '.join(SUPPORTED)})"


def _source_of(volume: Obj) -> str:
    """The name of the volume's source; empty means an emptyDir, as upstream defaults it."""
    return next((key for key, value in volume.items() if key != "name" and value is not None), "")


def _config_map_values(config_map: Obj) -> dict[str, bytes]:
    values: dict[str, Any] = {key: text.encode() for key, text in (config_map.get("data") or {}).items()}
    values |= {key: base64.b64decode(text) for key, text in (config_map.get("binaryData") or {}).items()}
    return values
