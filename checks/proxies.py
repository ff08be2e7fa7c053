"""Reads what a pod's own proxy has: the route that a request would take, and the endpoints of its clusters.

It asks as ``istioctl proxy-config`` does, through ``pilot-agent`` in the ``istio-proxy`` container, so it works on
any cluster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from meshlab.errors import LabError
from meshlab.grading import CheckContext

from .pods import PROXY_CONTAINER


def route_for(context: CheckContext, namespace: str, pod: str, url: str) -> dict[str, Any] | None:
    """The route of a plain GET for a URL in a pod's proxy.

    Returns:
        ``{"config", "virtual_host", "name", "weights": {cluster: weight}}``, with no weights if the route is a redirect
        or a direct response; None if no virtual host of the proxy takes the request.
    """
    dump = _admin(context, namespace, pod, "config_dump?resource=dynamic_route_configs")
    configs = [entry["route_config"] for entry in dump.get("configs") or [] if "route_config" in entry]
    return select_route(configs, url)


def select_route(configs: list[dict[str, Any]], url: str) -> dict[str, Any] | None:
    """The pure part of `route_for`: pick route configuration, virtual host and route as the proxy would."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    preferred = [str(port), "http_proxy"]
    ordered = sorted(
        (config for config in configs if _serves(config.get("name", ""), host, port)),
        key=lambda config: preferred.index(config["name"]) if config["name"] in preferred else len(preferred),
    )
    for config in ordered:
        for virtual_host in config.get("virtual_hosts") or []:
            if not {host, f"{host}:{port}"} & set(virtual_host.get("domains") or []):
                continue
            for route in virtual_host.get("routes") or []:
                if _takes_plain_get(route.get("match") or {}, parts.path or "/"):
                    return {
                        "config": config["name"],
                        "virtual_host": virtual_host.get("name", ""),
                        "name": route.get("name", ""),
                        "weights": _weights(route.get("route") or {}),
                    }
    return None


def endpoints(context: CheckContext, namespace: str, pod: str, names: set[str]) -> dict[str, list[str]]:
    """Addresses of the endpoints of those clusters that the proxy knows; a cluster that it lacks is absent."""
    dump = _admin(context, namespace, pod, "clusters?format=json")
    found: dict[str, list[str]] = {}
    for cluster in dump.get("cluster_statuses") or []:
        if cluster["name"] in names:
            addresses = [
                host["address"]["socket_address"]["address"]
                for host in cluster.get("host_statuses") or []
                if "socket_address" in host.get("address", {})
            ]
            found[cluster["name"]] = sorted(addresses)
    return found


def _admin(context: CheckContext, namespace: str, pod: str, path: str) -> dict[str, Any]:
    command = ["pilot-agent", "request", "GET", path]
    result = context.cluster.exec(namespace, pod, PROXY_CONTAINER, command)
    try:
        parsed: dict[str, Any] = json.loads(result.stdout)
    except ValueError as error:
        said = result.stderr.strip() or result.stdout.strip()[:200] or f"exit code {result.exit_code}"
        raise LabError(f"the proxy of {namespace}/{pod} does not answer: {said}") from error
    return parsed


def _serves(config_name: str, host: str, port: int) -> bool:
    if config_name in (str(port), "http_proxy"):
        return True
    name, _, config_port = config_name.rpartition(":")
    return config_port == str(port) and (name == host or name.startswith(f"{host}."))


def _takes_plain_get(match: Mapping[str, Any], path: str) -> bool:
    """Whether a GET without any special header or query takes this route."""
    if match.get("headers") or match.get("query_parameters") or "connect_matcher" in match:
        return False
    if "path" in match:
        return bool(path == match["path"])
    if "prefix" in match:
        return path.startswith(match["prefix"])
    if "path_separated_prefix" in match:
        prefix = match["path_separated_prefix"]
        return path == prefix or path.startswith(f"{prefix}/")
    if "safe_regex" in match:
        return re.fullmatch(match["safe_regex"]["regex"], path) is not None
    return False


def _weights(action: Mapping[str, Any]) -> dict[str, int]:
    if "cluster" in action:
        return {action["cluster"]: 1}
    weights: dict[str, int] = {}
    for entry in (action.get("weighted_clusters") or {}).get("clusters") or []:
        weights[entry["name"]] = weights.get(entry["name"], 0) + int(entry.get("weight", 0))
    return weights
