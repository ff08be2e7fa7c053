"""EnvoyFilter: changes of the configuration that proxies get, in Envoy's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.patchvalues import MESSAGES, canonical
from meshlab.minicluster.mesh.istio.reading import Problems, created, integer, mapping, objects, string_map, text
from meshlab.minicluster.mesh.istio.targets import labels_of, targets
from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.patches import (
    ANY_CONTEXT,
    ClusterMatch,
    ConfigPatch,
    ListenerMatch,
    PatchSet,
    RouteMatch,
)
from meshlab.minicluster.mesh.proto import InvalidResource

INSERTIONS = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST"})
ORDERED = frozenset({"HTTP_FILTER", "NETWORK_FILTER", "LISTENER_FILTER", "HTTP_ROUTE"})
"""What has an order; elsewhere an insertion is an addition."""


def translate_envoy_filter(obj: Obj, ref: ConfigRef, root: str, problems: Problems) -> list[PatchSet]:
    """The changes of one EnvoyFilter, once for each of its targets."""
    spec = mapping(obj.get("spec"))
    patches = tuple(
        patch
        for number, item in enumerate(objects(spec.get("configPatches")))
        if (patch := _patch(item, ref, number, problems)) is not None
    )
    return [
        PatchSet(target.namespace, target.selector, patches, integer(spec.get("priority")) or 0, ref, created(obj))
        for target in targets(spec, ref, root, problems, labels_of(spec.get("workloadSelector")))
    ]


def _patch(item: Mapping[str, Any], ref: ConfigRef, number: int, problems: Problems) -> ConfigPatch | None:
    apply_to = text(item.get("applyTo"))
    where = f"{ref}: patch {number}"
    if apply_to not in MESSAGES:
        problems.add("envoyfilter.applyto", ref, f"{where}: applyTo {apply_to or 'INVALID'} is not supported", "error")
        return None
    if apply_to == "BOOTSTRAP":
        problems.add(
            "envoyfilter.bootstrap", ref, f"{where} is not applied: this lab does not patch the bootstrap of proxies"
        )
        return None
    patch, match = mapping(item.get("patch")), mapping(item.get("match"))
    try:
        value = canonical(apply_to, mapping(patch.get("value")))
    except InvalidResource as error:
        problems.add("envoyfilter.value", ref, f"{where} is not applied: {error}", "error")
        return None
    operation = text(patch.get("operation"))
    if operation in INSERTIONS and apply_to not in ORDERED:
        operation = "ADD"
    proxy = mapping(match.get("proxy"))
    found = ConfigPatch(
        apply_to=apply_to,
        operation=operation,
        value=value,
        context=text(match.get("context")) or ANY_CONTEXT,
        listener=_listener(mapping(match["listener"])) if match.get("listener") is not None else None,
        route=_route(mapping(match["routeConfiguration"])) if match.get("routeConfiguration") is not None else None,
        cluster=_cluster(mapping(match["cluster"])) if match.get("cluster") is not None else None,
        proxy_version=text(proxy.get("proxyVersion")),
        proxy_metadata=string_map(proxy.get("metadata")),
    )
    if _wider_than_asked(found):
        problems.add(
            "envoyfilter.port",
            ref,
            f"{where}: one listener carries all outbound requests here, so the change is not limited to its port",
            "info",
        )
    return found


def _wider_than_asked(patch: ConfigPatch) -> bool:
    outbound = patch.context in (ANY_CONTEXT, "SIDECAR_OUTBOUND")
    port = patch.listener.port if patch.listener is not None else 0
    limited = patch.apply_to in ("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER")
    return outbound and limited and port not in (0, 15001, 15006)


def _listener(match: Mapping[str, Any]) -> ListenerMatch:
    chain = mapping(match.get("filterChain"))
    network = mapping(chain.get("filter"))
    protocols = text(chain.get("applicationProtocols"))
    return ListenerMatch(
        name=text(match.get("name")),
        port=integer(match.get("portNumber")) or 0,
        chain_name=text(chain.get("name")),
        sni=text(chain.get("sni")),
        transport_protocol=text(chain.get("transportProtocol")),
        application_protocols=tuple(part for part in protocols.split(",") if part),
        destination_port=integer(chain.get("destinationPort")) or 0,
        listener_filter=text(match.get("listenerFilter")),
        filter_name=text(network.get("name")),
        subfilter_name=text(mapping(network.get("subFilter")).get("name")),
    )


def _route(match: Mapping[str, Any]) -> RouteMatch:
    host = mapping(match.get("vhost"))
    route = host.get("route")
    return RouteMatch(
        name=text(match.get("name")),
        port=integer(match.get("portNumber")) or 0,
        port_name=text(match.get("portName")),
        gateway=text(match.get("gateway")),
        virtual_host=text(host.get("name")),
        has_route=route is not None,
        route_name=text(mapping(route).get("name")),
        action=text(mapping(route).get("action")) or "ANY",
    )


def _cluster(match: Mapping[str, Any]) -> ClusterMatch:
    return ClusterMatch(
        name=text(match.get("name")),
        service=text(match.get("service")),
        subset=text(match.get("subset")),
        port=integer(match.get("portNumber")) or 0,
    )
