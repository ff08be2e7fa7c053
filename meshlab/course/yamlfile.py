"""YAML files of a course, read with line numbers, so that every complaint names file, line and the nearest key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from meshlab.errors import CourseError

KeyPath = tuple[str | int, ...]

IDENTIFIER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""How courses name things: lower-case words joined by dashes."""
DURATION = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)(s|m)")


@dataclass(slots=True)
class YamlFile:
    """One parsed document and the line on which each of its keys stands.

    Attributes:
        path: the file.
        data: the parsed document.
        lines: 1-based line by key path.
    """

    path: Path
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def fail(self, where: KeyPath, message: str, hint: str = "") -> CourseError:
        """A `CourseError` that points at a key, to be raised by the caller."""
        line = next((self.lines[where[:end]] for end in range(len(where), -1, -1) if where[:end] in self.lines), 1)
        dotted = ".".join(str(part) for part in where)
        return CourseError(f"{self.path}:{line}: {dotted + ': ' if dotted else ''}{message}", hint=hint)

    def mapping(self, where: KeyPath, allowed: Collection[str], required: Collection[str] = ()) -> dict[str, Any]:
        """The mapping at a path, with no unknown key and every required one.

        Raises:
            CourseError: it is something else, or a key is unknown or missing.
        """
        value = self.at(where)
        if not isinstance(value, dict):
            raise self.fail(where, f"must be a mapping, not {_kind(value)}")
        for key in value:
            if key not in allowed:
                near = difflib.get_close_matches(str(key), list(allowed), n=1, cutoff=0.5)
                hint = f'did you mean "{near[0]}"?' if near else f"known keys: {', '.join(sorted(allowed))}"
                raise self.fail((*where, key), "unknown key", hint)
        for key in required:
            if value.get(key) is None:
                raise self.fail(where, f'key "{key}" is missing')
        return value

    def get(self, where: KeyPath, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """The value at a path, of the given type, or the default if the key is absent.

        Raises:
            CourseError: it has another type.
        """
        value = self.at(where)
        if value is None:
            return default
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join(dict.fromkeys(_NAMES.get(one, one.__name__) for one in kinds))
            raise self.fail(where, f"must be {names}, not {_kind(value)}")
        return value

    def strings(self, where: KeyPath) -> tuple[str, ...]:
        """A list of strings at a path; empty if absent."""
        values = self.get(where, list, [])
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise self.fail((*where, index), f"must be a string, not {_kind(value)}")
        return tuple(values)

    def keys(self, where: KeyPath) -> tuple[str, ...]:
        """The keys of the mapping at a path, all of them strings; empty if it is absent."""
        names = self.get(where, dict, {})
        for name in names:
            if not isinstance(name, str):
                raise self.fail((*where, name), f"the key must be a string, not {_kind(name)}", "put it in quotes")
        return tuple(names)

    def text(self, where: KeyPath) -> str:
        """The value at a path as text; a number is taken as it would be written."""
        value = self.get(where, (str, int, float), "")
        return value if isinstance(value, str) else str(value)

    def texts(self, where: KeyPath) -> dict[str, str]:
        """A mapping of texts; empty if it is absent."""
        return {name: self.text((*where, name)) for name in self.keys(where)}

    def line(self, where: KeyPath) -> str:
        """One line of text at a path, not empty.

        Raises:
            CourseError: it is something else.
        """
        value = str(self.get(where, str, "")).strip()
        if not value or "\n" in value:
            raise self.fail(where, "must be one line of text")
        return value

    def count(self, where: KeyPath, default: int = 0, *, least: int = 0, most: int = 9999) -> int:
        """A whole number at a path.

        Raises:
            CourseError: it is something else, or out of bounds.
        """
        value = int(self.get(where, int, default))
        if not least <= value <= most:
            raise self.fail(where, f"must be a number from {least} to {most}")
        return value

    def identifiers(self, where: KeyPath) -> tuple[str, ...]:
        """A list of different ids at a path; empty if absent."""
        values = self.strings(where)
        for index, value in enumerate(values):
            self.identifier((*where, index))
            if value in values[:index]:
                raise self.fail((*where, index), f"{value} stands here a second time")
        return values

    def identifier(self, where: KeyPath) -> str:
        """An id at a path.

        Raises:
            CourseError: it is none.
        """
        value = str(self.get(where, str, ""))
        if not IDENTIFIER.fullmatch(value):
            raise self.fail(where, "must be lower-case words joined by dashes")
        return value

    def at(self, where: KeyPath) -> Any:
        """Whatever stands at a path, or None."""
        value = self.data
        for part in where:
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value


_NAMES: dict[type, str] = {
    str: "a string",
    int: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    float: "a number",
    date: "a date",
}


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# libyaml, which comes with PyYAML's wheels, reads a course eight times as fast: the first frame waits for that.


class _CourseLoader(_Loader):  # type: ignore[misc]
    """YAML with the scalars of version 1.2: ``on``, ``no`` and ``12:30`` are texts, only true and false are not."""


_CourseLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("bool", "int", "float")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    ("bool", "true|false", "tf"),
    ("int", "[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(0|[1-9][0-9]*)?\.[0-9]+", "-+.0123456789"),
):
    _CourseLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def parse(text: str, path: Path, *, first_line: int = 1) -> YamlFile:
    """Parse one YAML document.

    Raises:
        CourseError: it is not YAML, or has a key twice.
    """
    try:
        loader = _CourseLoader(text)
        node = loader.get_single_node()
        file = YamlFile(path, loader.construct_document(node) if node is not None else None)
        if node is not None:
            _note_lines(file, node, (), first_line, {})
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = (mark.line if mark else 0) + first_line
        raise CourseError(f"{path}:{line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # Control characters, a date such as 2026-13-01, brackets a thousand deep: none of them carries a line.
        raise CourseError(f"{path}:{first_line}: not YAML: {error}") from error
    return file


def read_text(path: Path) -> str:
    """The text of a course's file.

    Raises:
        CourseError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CourseError(f"{path}: not UTF-8 at byte {error.start}") from error


def _note_lines(file: YamlFile, node: yaml.Node, where: KeyPath, first_line: int, noted: dict[int, bool]) -> None:
    """Note the line of each key.

    What an alias stands for is walked once, as ten lines of aliases can stand for a billion nodes; ``noted`` tells of
    each node whether the walk is still inside it.
    """
    file.lines.setdefault(where, node.start_mark.line + first_line)
    if noted.get(id(node)):
        raise file.fail(where, "not YAML as a course can use it: an alias inside its own anchor")
    if id(node) in noted:
        return
    noted[id(node)] = True
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = (*where, key_node.value)
            file.lines[key] = key_node.start_mark.line + first_line
            if key_node.value in seen:
                raise file.fail(key, "key stands here a second time")
            seen.add(key_node.value)
            _note_lines(file, value_node, key, first_line, noted)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(file, item, (*where, index), first_line, noted)
    noted[id(node)] = False


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return _NAMES.get(type(value), type(value).__name__)
