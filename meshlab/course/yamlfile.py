"""YAML files of a course, read with line numbers, so that every complaint names file, line and the nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from meshlab.errors import CourseError

KeyPath = tuple[str | int, ...]


@dataclass(slots=True)
class YamlFile:
    """One parsed document and the line on which each of its keys stands.

    Attributes:
        path: the file.
        data: the parsed document.
        lines: 1-based line by key path.
        first_line: where the document begins in the file (front matter and fences begin later than line 1).
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
            names = " or ".join(_NAMES.get(one, one.__name__) for one in kinds)
            raise self.fail(where, f"must be {names}, not {_kind(value)}")
        return value

    def strings(self, where: KeyPath) -> tuple[str, ...]:
        """A list of strings at a path; empty if absent."""
        values = self.get(where, list, [])
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise self.fail((*where, index), f"must be a string, not {_kind(value)}")
        return tuple(values)

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


_NAMES: dict[type, str] = {str: "a string", int: "a number", bool: "true or false", list: "a list", dict: "a mapping"}


def parse(text: str, path: Path, *, first_line: int = 1) -> YamlFile:
    """Parse one YAML document.

    Raises:
        CourseError: it is not YAML, or has a key twice.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        file = YamlFile(path, yaml.safe_load(text))
        if node is not None:
            _note_lines(file, node, (), first_line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = (mark.line if mark else 0) + first_line
        raise CourseError(f"{path}:{line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Control characters, a date such as 2026-13-01, an alias inside its own anchor: none of them carries a line.
        raise CourseError(f"{path}:{first_line}: not YAML: {error}") from error
    return file


def read_text(path: Path) -> str:
    """The text of a course's file.

    Raises:
        CourseError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CourseError(f"{path}: not UTF-8 at byte {error.start}") from error


def _note_lines(file: YamlFile, node: yaml.Node, where: KeyPath, first_line: int) -> None:
    file.lines.setdefault(where, node.start_mark.line + first_line)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = (*where, key_node.value)
            file.lines[key] = key_node.start_mark.line + first_line
            if key_node.value in seen:
                raise file.fail(key, "key stands here a second time")
            seen.add(key_node.value)
            _note_lines(file, value_node, key, first_line)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(file, item, (*where, index), first_line)


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return _NAMES.get(type(value), type(value).__name__)
