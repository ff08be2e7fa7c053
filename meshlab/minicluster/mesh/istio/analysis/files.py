"""Kubernetes objects from YAML and JSON files, with the line of every value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.model import CLUSTER_SCOPED, Path, Resource


class FileError(Exception):
    """A document cannot be read; the message names file and line."""


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: JSON types only, so timestamps stay strings."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(text: str, file: str, default_namespace: str) -> Iterator[Resource]:
    """The resources of a file; the items of Lists one by one.

    Args:
        text: the file's content.
        file: its name as the user gave it.
        default_namespace: for namespaced objects that state none.

    Raises:
        FileError: the YAML is malformed or a document is not a Kubernetes object.
    """
    for value, lines in documents(text, file):
        if value is None:
            continue
        yield from _resources(value, lines, (), file, default_namespace)


def documents(text: str, file: str) -> Iterator[tuple[Any, dict[Path, int]]]:
    """Every document of a file with its lines.

    Raises:
        FileError: the YAML is malformed.
    """
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                break
            lines: dict[Path, int] = {}
            value = loader.construct_document(node)
            _record(node, (), lines)
            lines[()] = node.start_mark.line + 1
            yield value, lines
    except yaml.YAMLError as error:
        raise FileError(f"{file}: {_where(error)}") from error
    finally:
        loader.dispose()


def _where(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context}"
    return str(error).splitlines()[0]


def _record(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    if path:
        lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                _record(value, (*path, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _record(item, (*path, index), lines)


def _resources(value: Any, lines: dict[Path, int], at: Path, file: str, namespace: str) -> Iterator[Resource]:
    line = lines.get(at, 1)
    if not isinstance(value, dict):
        raise FileError(f"{file}: line {line}: a Kubernetes object is a mapping, this is {type(value).__name__}")
    kind, api_version = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(api_version, str):
        raise FileError(f"{file}: line {line}: the document has no apiVersion and kind")
    if kind.endswith("List") and isinstance(value.get("items"), list):
        for index, item in enumerate(value["items"]):
            yield from _resources(item, lines, (*at, "items", index), file, namespace)
        return
    metadata = value.get("metadata")
    name = (metadata.get("name") or metadata.get("generateName")) if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str):
        raise FileError(f"{file}: line {line}: the {kind} has no metadata.name")
    obj: Obj = {**value, "metadata": {**metadata, "name": name}}
    if kind not in CLUSTER_SCOPED:
        obj["metadata"].setdefault("namespace", namespace)
    own = {path[len(at) :]: number for path, number in lines.items() if path[: len(at)] == at}
    yield Resource(obj, file, own)
