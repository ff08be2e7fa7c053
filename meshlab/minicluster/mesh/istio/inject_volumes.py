"""Volumes that a pod's annotations give to its proxy: files of a user's own, and a piece of Envoy's bootstrap."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj

USER_VOLUME = "sidecar.istio.io/userVolume"
USER_VOLUME_MOUNT = "sidecar.istio.io/userVolumeMount"
BOOTSTRAP_OVERRIDE = "sidecar.istio.io/bootstrapOverride"
BOOTSTRAP_VARIABLE = "ISTIO_BOOTSTRAP_OVERRIDE"
BOOTSTRAP_VOLUME = "custom-bootstrap-volume"
BOOTSTRAP_DIRECTORY = "/etc/istio/custom-bootstrap"
BOOTSTRAP_FILE = f"{BOOTSTRAP_DIRECTORY}/custom_bootstrap.json"


def user_volumes(container: Obj, annotations: Mapping[str, str]) -> list[Obj]:
    """The volumes; the proxy's container is given their mounts, and the variable that names the bootstrap.

    Args:
        container: the proxy's container, changed in place.
        annotations: the pod's. ``userVolume`` and ``userVolumeMount`` are JSON objects by the volume's name;
            ``bootstrapOverride`` names a ConfigMap.

    Raises:
        ValueError: an annotation is not such an object.
    """
    volumes = [{"name": name, **source} for name, source in _named(annotations, USER_VOLUME)]
    mounts = [{"name": name, **mount} for name, mount in _named(annotations, USER_VOLUME_MOUNT)]
    config_map = annotations.get(BOOTSTRAP_OVERRIDE)
    if config_map:
        volumes.append({"name": BOOTSTRAP_VOLUME, "configMap": {"name": config_map}})
        mounts.append({"name": BOOTSTRAP_VOLUME, "mountPath": BOOTSTRAP_DIRECTORY})
        container["env"] = [*container["env"], {"name": BOOTSTRAP_VARIABLE, "value": BOOTSTRAP_FILE}]
    container["volumeMounts"] = [*container["volumeMounts"], *mounts]
    return volumes


def _named(annotations: Mapping[str, str], name: str) -> list[tuple[str, Obj]]:
    text = annotations.get(name)
    if not text:
        return []
    found: Any = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):
        raise ValueError(f"annotation {name} is not an object of objects by volume name")
    return list(found.items())
