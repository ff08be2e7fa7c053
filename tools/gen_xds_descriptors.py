"""Write the descriptor set from which `meshlab.minicluster.mesh.proto` makes Envoy's messages.

Run in a throw-away environment, never in meshlab's own (xds-protos owns top-level packages that others own too)::

    python -m venv /tmp/descriptors
    /tmp/descriptors/bin/pip install xds-protos==1.85.0
    /tmp/descriptors/bin/pip install --force-reinstall --no-deps opentelemetry-proto
    /tmp/descriptors/bin/python tools/gen_xds_descriptors.py

The result depends on those two versions only: files in dependency order, a gzip header without a time.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import importlib.metadata
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

TARGET = Path(__file__).parent.parent / "meshlab/minicluster/mesh/proto/data"
ROOTS = Path(__file__).with_name("xds_descriptor_roots.txt")


def read_roots(path: Path) -> list[str]:
    """The proto files to start from, one a line without ``.proto``; ``#`` starts a comment."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def collect(roots: list[str]) -> list[FileDescriptor]:
    """The roots and everything they import, each file after its dependencies.

    Raises:
        ImportError: a root has no generated module in this environment.
    """
    ordered: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        if file.name in ordered:
            return
        for dependency in file.dependencies:
            add(dependency)
        ordered[file.name] = file

    for root in roots:
        add(importlib.import_module(root.replace("/", ".") + "_pb2").DESCRIPTOR)
    return list(ordered.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    files = collect(read_roots(ROOTS))
    descriptors = descriptor_pb2.FileDescriptorSet()
    for file in files:
        descriptors.file.add().ParseFromString(file.serialized_pb)
    raw = descriptors.SerializeToString(deterministic=True)
    packed = gzip.compress(raw, 9, mtime=0)
    options.target.mkdir(parents=True, exist_ok=True)
    (options.target / "xds.binpb.gz").write_bytes(packed)
    versions = {name: importlib.metadata.version(name) for name in ("xds-protos", "opentelemetry-proto")}
    (options.target / "SOURCES").write_text(
        "xds.binpb.gz: a gzipped google.protobuf.FileDescriptorSet, written by tools/gen_xds_descriptors.py from\n"
        + "".join(f"  {name} {version} (Apache-2.0)\n" for name, version in versions.items())
    )
    print(f"{len(files)} files, {len(raw)} bytes, {len(packed)} bytes packed, from {versions}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
