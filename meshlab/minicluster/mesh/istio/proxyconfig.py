"""ProxyConfig: how proxies start, by mesh, namespace and workload; it counts for pods injected from then on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.inject_decision import InjectionConfig
from meshlab.minicluster.mesh.istio.reading import created, integer, mapping, match_labels, string_map, text
from meshlab.minicluster.mesh.model import Edge, matches

CERTIFICATE_MODES = frozenset(["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"])


def with_proxy_configs(
    config: InjectionConfig, proxy_configs: Iterable[Obj], namespace: str, labels: Mapping[str, str], root: str
) -> InjectionConfig:
    """The injector's configuration for one pod.

    The mesh's ProxyConfig is laid over the mesh configuration's ``defaultConfig``, then the namespace's, then the one
    that selects the pod; of several on a level the oldest counts.
    """
    levels: dict[int, Obj] = {}
    for found in sorted(proxy_configs, key=lambda obj: (created(obj), text(mapping(obj.get("metadata")).get("name")))):
        owner = text(mapping(found.get("metadata")).get("namespace"))
        selector = match_labels(mapping(found.get("spec")))
        if selector:
            if owner == namespace and matches(selector, labels):
                levels.setdefault(2, found)
        elif owner in (root, namespace):
            levels.setdefault(0 if owner == root else 1, found)
    if not levels:
        return config
    default = dict(mapping(config.mesh_config.get("defaultConfig")))
    for level in sorted(levels):
        default = _overlaid(default, mapping(levels[level].get("spec")))
    return replace(config, mesh_config={**config.mesh_config, "defaultConfig": default})


def _overlaid(default: Obj, spec: Mapping[str, object]) -> Obj:
    found = dict(default)
    concurrency = integer(spec.get("concurrency"))
    if concurrency is not None:
        found["concurrency"] = concurrency
    if isinstance(spec.get("image"), dict):
        found["image"] = {**mapping(default.get("image")), **mapping(spec["image"])}
    variables = string_map(spec.get("environmentVariables"))
    if variables:
        found["proxyMetadata"] = {**mapping(default.get("proxyMetadata")), **variables}
    return found


def edge(config: Mapping[str, object]) -> Edge:
    """What a proxy's configuration says of the network before it (``gatewayTopology``)."""
    topology = mapping(config.get("gatewayTopology"))
    mode = text(topology.get("forwardClientCertDetails"))
    return Edge(
        trusted_proxies=max(integer(topology.get("numTrustedProxies")) or 0, 0),
        proxy_protocol=isinstance(topology.get("proxyProtocol"), dict),
        client_certificates=mode if mode in CERTIFICATE_MODES else "SANITIZE_SET",
    )
