"""Request bodies in protobuf (``application/vnd.kubernetes.protobuf``), decoded into the JSON that Go would write.

kubectl's generators (``create deployment``, ``create secret`` ...) and typed Go clients send them and take no refusal.
Answers are always JSON, so there is no encoder. Field numbers come from ``tools/gen_protobuf_types.py``; the envelope
is four magic bytes and a ``runtime.Unknown`` message.
"""

from __future__ import annotations

import base64
import gzip
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from meshlab.minicluster.kubeapi import Obj, StatusError

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\0"
_META = "k8s.io/apimachinery/pkg/apis/meta/v1."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Go's time.Time{}: the first second of year 1.
_ZERO_TIME_S = -62135596800


class _MalformedError(Exception):
    """The bytes are no protobuf message."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a message; ``cardinality`` is empty, ``*`` (pointer), ``[]`` or ``{}`` (map to ``type``)."""

    name: str
    cardinality: str
    type: str
    omit_empty: bool


def decode(body: bytes) -> Obj:
    """The object in a protobuf body.

    Raises:
        StatusError: 400, the body is malformed or of a type that is not known here.
    """
    if not body.startswith(_MAGIC):
        raise StatusError(400, "BadRequest", "provided data does not appear to be a protobuf message, expected prefix")
    try:
        unknown = dict(_fields(body[len(_MAGIC) :]))
        type_meta = dict(_fields(_bytes(unknown.get(1, b""))))
        api_version, kind = (_bytes(type_meta.get(number, b"")).decode() for number in (1, 2))
        name = _type_name(api_version, kind)
        if name is None:
            raise StatusError(400, "BadRequest", f'no kind "{kind}" is registered for version "{api_version}"')
        return {"kind": kind, "apiVersion": api_version, **_message(name, _bytes(unknown.get(2, b"")))}
    except (_MalformedError, UnicodeDecodeError, IndexError, struct.error, orjson.JSONDecodeError) as error:
        raise StatusError(400, "BadRequest", f"unable to decode protobuf body: {error}") from None


def zero_fill(api_version: str, kind: str, obj: Obj) -> Obj:
    """The object with every field that Go always writes, as ``status.numberReady: 0`` of a DaemonSet.

    Clients with strict models insist on those. Only structs that are there are looked into, besides the spec and status
    of the object itself; a kind that is not built in comes back as it is.
    """
    name = _type_name(api_version, kind)
    if name is None:
        return obj
    filled: Obj = _zero_filled(name, obj)
    return filled


# The type table


@cache
def _table() -> Mapping[str, Mapping[int, _Field]]:
    data = files("meshlab.minicluster.apiserver").joinpath("data/pbtypes.json.gz").read_bytes()
    rows: dict[str, dict[str, tuple[str, str, str, int]]] = orjson.loads(gzip.decompress(data))
    return {
        name: {
            int(number): _Field(json_name, cardinality, type_, bool(omitted))
            for number, (json_name, cardinality, type_, omitted) in fields.items()
        }
        for name, fields in rows.items()
    }


@cache
def _type_name(api_version: str, kind: str) -> str | None:
    """The Go type of a kind."""
    group, _, version = api_version.rpartition("/")
    folder = group.split(".")[0] or "core"
    candidates = (f"k8s.io/api/{folder}/{version}.{kind}", _META + kind)
    return next((name for name in candidates if name in _table()), None)


# Wire format


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise _MalformedError("varint overflow")


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Field numbers and raw values in wire order."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        value: int | float | bytes
        match tag & 7:
            case 0:
                value, position = _varint(data, position)
            case 1:
                (value,) = struct.unpack_from("<d", data, position)
                position += 8
            case 2:
                length, position = _varint(data, position)
                if position + length > len(data):
                    raise _MalformedError("unexpected EOF")
                value = data[position : position + length]
                position += length
            case 5:
                (value,) = struct.unpack_from("<f", data, position)
                position += 4
            case wire_type:
                raise _MalformedError(f"illegal wireType {wire_type}")
        yield tag >> 3, value


def _bytes(value: int | float | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise _MalformedError("wrong wireType")
    return value


def _signed(value: int | float | bytes) -> int:
    if not isinstance(value, int):
        raise _MalformedError("wrong wireType")
    return value - (1 << 64) if value >> 63 else value


# Messages


def _message(name: str, data: bytes) -> Obj:
    fields = _table().get(name)
    if fields is None:
        raise _MalformedError(f"{name} has no protobuf form here")
    result: Obj = {}
    for number, raw in _fields(data):
        field = fields.get(number)
        if field is None:
            continue
        match field.cardinality:
            case "[]":
                items = result.setdefault(field.name, [])
                if field.type in {"int", "bool"} and isinstance(raw, bytes):
                    items.extend(_packed(field.type, raw))
                else:
                    items.append(_value(field.type, raw))
            case "{}":
                entry = dict(_fields(_bytes(raw)))
                key = _bytes(entry.get(1, b"")).decode()
                result.setdefault(field.name, {})[key] = _value(field.type, entry.get(2, b""))
            case _:
                value = _value(field.type, raw)
                if not field.name:
                    # An embedded struct: its fields are the outer object's.
                    result.update(value)
                elif value is not None and not (field.omit_empty and not field.cardinality and _is_zero(value)):
                    result[field.name] = value
    return result


def _is_zero(value: Any) -> bool:
    # Go's omitempty never omits a struct. It would write an IntOrString of 0, but that always means "not given".
    return not isinstance(value, dict) and value in ("", 0, False)


def _packed(type_: str, data: bytes) -> Iterator[Any]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield _value(type_, value)


def _value(type_: str, raw: int | float | bytes) -> Any:
    match type_:
        case "string":
            return _bytes(raw).decode()
        case "int":
            return _signed(raw) if raw != b"" else 0
        case "bool":
            return bool(raw)
        case "bytes":
            return base64.b64encode(_bytes(raw)).decode()
        case "float":
            return raw
    special = _SPECIAL.get(type_)
    if special is not None:
        return special(_bytes(raw))
    if type_.startswith("[]"):
        return [_value(type_[2:], item) for number, item in _fields(_bytes(raw)) if number == 1]
    return _message(type_, _bytes(raw))


def _time(data: bytes, *, micro: bool = False) -> str | None:
    fields = dict(_fields(data))
    seconds = _signed(fields.get(1, 0))
    if not fields or seconds == _ZERO_TIME_S:
        return None
    moment = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{_signed(fields.get(2, 0)) // 1000:06d}" if micro else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _duration(data: bytes) -> str:
    """As Go's ``time.Duration`` prints: ``1h30m0s``, ``1.5s``, ``250ms``."""
    nanoseconds = _signed(dict(_fields(data)).get(1, 0))
    sign, rest = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    for unit, size in (("ns", 1_000), ("µs", 1_000_000), ("ms", 1_000_000_000)):
        if 0 < rest < size:
            return f"{sign}{rest * 1000 / size:g}{unit}"
    seconds, fraction = divmod(rest, 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{seconds}{f'.{fraction:09d}'.rstrip('0') if fraction else ''}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _quantity(data: bytes) -> str:
    return _bytes(dict(_fields(data)).get(1, b"")).decode() or "0"


def _int_or_string(data: bytes) -> int | str:
    fields = dict(_fields(data))
    if fields.get(1) == 1:
        return _bytes(fields.get(3, b"")).decode()
    return _signed(fields.get(2, 0))


def _raw_json(data: bytes) -> Any:
    raw = _bytes(dict(_fields(data)).get(1, b""))
    return orjson.loads(raw) if raw else None


_SPECIAL: Mapping[str, Callable[[bytes], Any]] = {
    f"{_META}Time": _time,
    f"{_META}MicroTime": lambda data: _time(data, micro=True),
    f"{_META}Duration": _duration,
    f"{_META}FieldsV1": _raw_json,
    "k8s.io/apimachinery/pkg/runtime.RawExtension": _raw_json,
    "k8s.io/apimachinery/pkg/api/resource.Quantity": _quantity,
    "k8s.io/apimachinery/pkg/util/intstr.IntOrString": _int_or_string,
}


# Zero values

_ZERO: Mapping[str, Any] = {"string": "", "int": 0, "bool": False, "float": 0}


def _zero_filled(type_: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    result = dict(value)
    _fill(result, type_)
    return result


def _fill(result: Obj, type_: str) -> None:
    for field in _table().get(type_, {}).values():
        if not field.name:
            _fill(result, field.type)
            continue
        present = result.get(field.name)
        if present is None:
            if not field.omit_empty and field.name not in result:
                _set_zero(result, field)
        elif field.type in _table():
            if isinstance(present, list):
                result[field.name] = [_zero_filled(field.type, item) for item in present]
            elif field.cardinality == "{}" and isinstance(present, dict):
                result[field.name] = {key: _zero_filled(field.type, item) for key, item in present.items()}
            else:
                result[field.name] = _zero_filled(field.type, present)


def _set_zero(result: Obj, field: _Field) -> None:
    # Go would write null for an empty list or map here; strict clients would rather have it empty.
    if field.cardinality == "[]" or field.type.startswith("[]"):
        result[field.name] = []
    elif field.cardinality == "{}":
        result[field.name] = {}
    elif not field.cardinality and field.type in _ZERO:
        result[field.name] = _ZERO[field.type]
