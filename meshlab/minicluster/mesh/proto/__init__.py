"""Envoy's and OpenTelemetry's messages, made at run time from a descriptor set that ships with meshlab.

The descriptors live in a pool of their own, so that nothing here meets the generated modules that other packages put on
top-level names (``envoy``, ``opentelemetry``, ``xds``). What flows in are plain dicts in Envoy's own vocabulary; what
flows out are protobuf messages. A key that the schema does not know raises `InvalidResource`: a free validation of
every configuration. The pool is built at the first use, in a few milliseconds.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources
from typing import Any, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from meshlab.minicluster.kubeapi import Obj

TYPE_PREFIX = "type.googleapis.com/"


class InvalidResource(Exception):
    """A dict does not fit the message it is meant for; the text names the field."""


class MessageClass(Protocol):
    """A message class: calling it gives an empty message."""

    DESCRIPTOR: Any

    def __call__(self, **fields: Any) -> Any: ...

    def FromString(self, data: bytes) -> Any: ...  # noqa: N802 (protobuf's own name)

    def SerializeToString(self, message: Message) -> bytes: ...  # noqa: N802


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """The private descriptor pool."""
    blob = resources.files(__package__).joinpath("data/xds.binpb.gz").read_bytes()
    descriptors = descriptor_pb2.FileDescriptorSet.FromString(gzip.decompress(blob))
    result = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        result.AddSerializedFile(file.SerializeToString())
    return result


@cache
def message_class(full_name: str) -> MessageClass:
    """The class of a message by its full name, such as ``envoy.config.cluster.v3.Cluster``.

    Raises:
        InvalidResource: the descriptor set has no such message.
    """
    try:
        descriptor = pool().FindMessageTypeByName(full_name)
    except KeyError:
        raise InvalidResource(f"no message type {full_name!r} in the descriptor set") from None
    return cast(MessageClass, message_factory.GetMessageClass(descriptor))


def to_message(type_url: str, value: Obj, *, ignore_unknown: bool = False) -> Message:
    """Parse a dict (field names as in Envoy's documentation, ``@type`` in every Any) into the message it describes.

    Args:
        type_url: the message's type, with or without ``type.googleapis.com/``.
        value: the resource as a plain dict; a top-level ``@type`` is allowed.
        ignore_unknown: leave out fields that the schema does not know.

    Raises:
        InvalidResource: an unknown type, an unknown field, or a value of the wrong type.
    """
    message = cast(Message, message_class(type_url.removeprefix(TYPE_PREFIX))())
    fields = {key: item for key, item in value.items() if key != "@type"}
    try:
        return json_format.ParseDict(fields, message, ignore_unknown_fields=ignore_unknown, descriptor_pool=pool())
    except (json_format.ParseError, TypeError, ValueError, KeyError) as error:
        raise InvalidResource(str(error)) from error


def to_dict(message: Message) -> Obj:
    """The message as a plain dict with Envoy's field names."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool())
