"""What makes an EnvoyFilter invalid: a patch that does not fit what it applies to, a value that Envoy does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.re2 import regex_error
from meshlab.minicluster.mesh.istio.reading import mapping, objects, text
from meshlab.minicluster.mesh.istio.validation_common import Caution, Messages, quote, workload_selector

DETAILS = (
    "EnvoyFilter exposes internal implementation details that may change at any time. "
    "Prefer other APIs if possible, and exercise extreme caution, especially around upgrades."
)
CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
LISTENER_CLASS = ("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER")
ROUTE_CLASS = ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE")
UNKNOWN_TYPE = re.compile(r"type_url: (?:type\.googleapis\.com/)?([\w.]+?)\.?(?:\s|$)")
UNKNOWN_FIELD = re.compile(r'Message type "([\w.]+)" has no field named "(\w+)"')
MATCH_TYPES = ("listener", "routeConfiguration", "cluster", "waypoint")
RENAMED = {
    "envoy.buffer": "envoy.filters.http.buffer",
    "envoy.cors": "envoy.filters.http.cors",
    "envoy.csrf": "envoy.filters.http.csrf",
    "envoy.ext_authz": "envoy.filters.http.ext_authz",
    "envoy.fault": "envoy.filters.http.fault",
    "envoy.filters.http.dynamic_forward_proxy": "envoy.filters.http.dynamic_forward_proxy",
    "envoy.grpc_http1_bridge": "envoy.filters.http.grpc_http1_bridge",
    "envoy.grpc_json_transcoder": "envoy.filters.http.grpc_json_transcoder",
    "envoy.grpc_web": "envoy.filters.http.grpc_web",
    "envoy.gzip": "envoy.filters.http.gzip",
    "envoy.health_check": "envoy.filters.http.health_check",
    "envoy.http_dynamo_filter": "envoy.filters.http.dynamo",
    "envoy.ip_tagging": "envoy.filters.http.ip_tagging",
    "envoy.lua": "envoy.filters.http.lua",
    "envoy.rate_limit": "envoy.filters.http.ratelimit",
    "envoy.router": "envoy.filters.http.router",
    "envoy.squash": "envoy.filters.http.squash",
    "envoy.listener.http_inspector": "envoy.filters.listener.http_inspector",
    "envoy.listener.original_dst": "envoy.filters.listener.original_dst",
    "envoy.listener.original_src": "envoy.filters.listener.original_src",
    "envoy.listener.proxy_protocol": "envoy.filters.listener.proxy_protocol",
    "envoy.listener.tls_inspector": "envoy.filters.listener.tls_inspector",
    "envoy.client_ssl_auth": "envoy.filters.network.client_ssl_auth",
    "envoy.echo": "envoy.filters.network.echo",
    "envoy.http_connection_manager": CONNECTION_MANAGER,
    "envoy.mongo_proxy": "envoy.filters.network.mongo_proxy",
    "envoy.ratelimit": "envoy.filters.network.ratelimit",
    "envoy.redis_proxy": "envoy.filters.network.redis_proxy",
    "envoy.tcp_proxy": "envoy.filters.network.tcp_proxy",
}
"""Names of filters that Envoy gave up -> the ones it has now."""


def validate_envoy_filter(obj: Obj) -> Messages:
    """The messages for one EnvoyFilter."""
    spec = mapping(obj.get("spec"))
    selected = list(workload_selector(spec.get("workloadSelector"), "labels"))
    if wrong := [message for message in selected if not isinstance(message, Caution)]:
        yield from wrong
        return
    yield Caution(DETAILS)
    for message in selected:
        yield Caution(f"Envoy filter: {message}, will be applied to all services in namespace")
    for patch in objects(spec.get("configPatches")):
        wrong = list(_patch(patch))
        yield from (type(message)(f"Envoy filter: {message}") if _plain(message) else message for message in wrong)


def _plain(message: str) -> bool:
    return not message.startswith(("using deprecated", "referenced type unknown"))


def _patch(patch: Mapping[str, Any]) -> Messages:
    apply_to, change = text(patch.get("applyTo")), patch.get("patch")
    if apply_to in ("", "INVALID"):
        yield "missing applyTo"
    elif change is None:
        yield "missing patch"
    elif text(change.get("operation")) in ("", "INVALID"):
        yield "missing patch operation"
    elif change["operation"] != "REMOVE" and change.get("value") is None:
        yield "missing patch value for non-remove operation"
    else:
        wrong = list(_match(apply_to, mapping(patch.get("match"))))
        yield from wrong
        # A match that makes no sense ends the judgement of a listener's patch, as upstream.
        if not any(message for message in wrong if not isinstance(message, Caution)) or apply_to not in LISTENER_CLASS:
            yield from _value(apply_to, change.get("value"))


def _value(apply_to: str, value: Any) -> Messages:
    """Whether a patch's value is the message that it must be; fields that are not known are no error."""
    if value is None:
        return
    # Envoy's messages take their time to load, and most resources are not EnvoyFilters.
    from meshlab.minicluster.mesh.envoy.patchvalues import MESSAGES
    from meshlab.minicluster.mesh.proto import InvalidResource, to_message

    if apply_to not in MESSAGES:
        yield f"unknown object type for applyTo {apply_to}"
        return
    try:
        message = to_message(MESSAGES[apply_to], value, ignore_unknown=True)
    except InvalidResource as error:
        # This lab has the descriptors of most extensions, not of all that upstream's istiod knows.
        found = UNKNOWN_TYPE.search(str(error))
        lacking = found is not None and found[1].startswith("envoy.extensions.")
        yield Caution(_unreadable(str(error))) if lacking else _unreadable(str(error))
        return
    try:
        to_message(MESSAGES[apply_to], value)
    except InvalidResource as error:
        yield Caution(_unreadable(str(error)))
    if nameless := list(_without_typed_config(message)):
        yield Caution(f"using deprecated types by name without typed_config; {', '.join(nameless)}")


def _unreadable(reason: str) -> str:
    """What protobuf says of a value, in the words of Go's parser where it has some."""
    if found := UNKNOWN_TYPE.search(reason):
        hint = " (hint: try using the v3 XDS API)" if ".v2." in found[1] else ""
        return f"referenced type unknown{hint}: Envoy filter: could not resolve Any message type: {found[1]}"
    if found := UNKNOWN_FIELD.search(reason):
        return f'unknown field "{found[2]}" in {found[1]}'
    return reason.splitlines()[0]


def _without_typed_config(message: Any) -> Iterator[str]:
    """The names of extensions, in a message and the messages in it, that say no more than their names."""
    fields = message.DESCRIPTOR.fields_by_name
    for field, value in message.ListFields():
        if field.message_type is not None and not field.is_repeated:
            yield from _without_typed_config(value)
    if "typed_config" in fields and not any(
        name in fields and message.HasField(name) for name in ("typed_config", "config_discovery")
    ):
        yield getattr(message, "name", "")


def _match(apply_to: str, match: Mapping[str, Any]) -> Messages:
    if error := regex_error(text(mapping(match.get("proxy")).get("proxyVersion"))):
        yield f"invalid regex for proxy version, [{error}]"
        return
    given = {kind for kind in MATCH_TYPES if match.get(kind) is not None}
    if not given:
        return
    if apply_to in LISTENER_CLASS:
        if given == {"listener"}:
            yield from _listener_filter(apply_to, mapping(mapping(match["listener"]).get("filterChain")).get("filter"))
        elif given != {"waypoint"}:
            yield "applyTo for listener class objects cannot have non listener match"
    elif apply_to in ROUTE_CLASS and not given & {"routeConfiguration", "waypoint"}:
        yield "applyTo for http route class objects cannot have non route configuration match"
    elif apply_to == "CLUSTER" and "cluster" not in given:
        yield "applyTo for cluster class objects cannot have non cluster match"


def _listener_filter(apply_to: str, matched: Any) -> Messages:
    """The match of a filter in a listener; the first fault is told."""
    if matched is None:
        return
    if apply_to in ("LISTENER", "FILTER_CHAIN"):
        yield Caution(f"filter match has no effect when used with {apply_to}")
    name, inner = text(matched.get("name")), matched.get("subFilter")
    inner_name = text(mapping(inner).get("name"))
    if not name:
        yield "filter match has no name to match on"
    elif inner is not None and apply_to != "HTTP_FILTER":
        yield "subfilter match can be used with applyTo HTTP_FILTER only"
    elif inner is not None and name not in (CONNECTION_MANAGER, "envoy.http_connection_manager"):
        yield f"subfilter match requires filter match with {CONNECTION_MANAGER}"
    elif inner is not None and not inner_name:
        yield "subfilter match has no name to match on"
    else:
        for old in (name, inner_name):
            if old in RENAMED:
                yield Caution(f"using deprecated filter name {quote(old)}; use {quote(RENAMED[old])} instead")
