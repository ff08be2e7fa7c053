"""Values of configuration patches: which message they are, their one canonical form, and how two of them merge.

A patch is written by hand, in camel case or with underscores, with durations and enumerations in any form that protobuf
takes. Everything here works on the canonical JSON form, so that a merge is a matter of dictionaries; the descriptors
tell lists from maps and alternatives from each other. Merging is that of protobuf: lists are appended, entries of maps
and members of oneofs are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh import proto

MESSAGES: Mapping[str, str] = {
    "LISTENER": "envoy.config.listener.v3.Listener",
    "LISTENER_FILTER": "envoy.config.listener.v3.ListenerFilter",
    "FILTER_CHAIN": "envoy.config.listener.v3.FilterChain",
    "NETWORK_FILTER": "envoy.config.listener.v3.Filter",
    "HTTP_FILTER": "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
    "ROUTE_CONFIGURATION": "envoy.config.route.v3.RouteConfiguration",
    "VIRTUAL_HOST": "envoy.config.route.v3.VirtualHost",
    "HTTP_ROUTE": "envoy.config.route.v3.Route",
    "CLUSTER": "envoy.config.cluster.v3.Cluster",
    "EXTENSION_CONFIG": "envoy.config.core.v3.TypedExtensionConfig",
    "BOOTSTRAP": "envoy.config.bootstrap.v3.Bootstrap",
}
"""What a patch applies to -> the message that its value is."""

OPAQUE = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Any", "Duration", "Timestamp", "FieldMask", "Value", "ListValue", "Struct",
        "BoolValue", "StringValue", "BytesValue", "DoubleValue", "FloatValue",
        "Int32Value", "Int64Value", "UInt32Value", "UInt64Value",
    )
)  # fmt: skip
"""Messages whose JSON form is not that of their fields: one replaces the other."""


def canonical(apply_to: str, value: Mapping[str, Any]) -> Obj:
    """The canonical form of a patch's value; fields that this Envoy does not know are left out, as upstream does.

    Raises:
        InvalidResource: it is no such message.
    """
    return proto.to_dict(proto.to_message(MESSAGES[apply_to], dict(value), ignore_unknown=True))


def merged(message: str, base: Mapping[str, Any], patch: Mapping[str, Any]) -> Obj:
    """A message with another one merged into it; neither is changed.

    Args:
        message: the full name of the type.
        base: the one.
        patch: the other; its members win.
    """
    return _merged(proto.message_class(message).DESCRIPTOR, base, patch)


def _merged(descriptor: Any, base: Mapping[str, Any], patch: Mapping[str, Any]) -> Obj:
    found = dict(base)
    for name, value in patch.items():
        field = descriptor.fields_by_name.get(name)
        if field is None:
            continue
        if field.containing_oneof is not None:
            for other in field.containing_oneof.fields:
                if other.name != name:
                    found.pop(other.name, None)
        found[name] = _combined(field, found[name], value) if name in found else value
    return found


def _combined(field: Any, base: Any, value: Any) -> Any:
    if isinstance(value, list):
        return [*base, *value]
    message = field.message_type
    if message is None or message.full_name in OPAQUE:
        return value
    if message.GetOptions().map_entry:
        return {**base, **value}
    return _merged(message, base, value)


def merged_extension(base: Mapping[str, Any], patch: Mapping[str, Any]) -> Obj:
    """A named extension (a filter, a transport socket) with another merged into it.

    The name of the other counts if it has one, its configuration only if it is of the same type.
    """
    found = {**base, "name": patch.get("name") or base.get("name", "")}
    mine, theirs = base.get("typed_config"), patch.get("typed_config")
    if mine and theirs and mine.get("@type") == theirs.get("@type"):
        kind = mine["@type"]
        rest = {key: value for key, value in theirs.items() if key != "@type"}
        found["typed_config"] = {"@type": kind, **merged(kind.rpartition("/")[2], _without_type(mine), rest)}
    return found


def _without_type(value: Mapping[str, Any]) -> Obj:
    return {key: item for key, item in value.items() if key != "@type"}
