"""nginx's configuration language: words, quotes, ``;`` and blocks, with line numbers for messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<comment>\#[^\n]*)|(?P<mark>[;{}])
    |"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>(?:\\.|[^'\\])*)'
    |(?P<word>(?:\$\{[^}]*\}|\\.|[^\s;{}"'\\])(?:\$\{[^}]*\}|\\.|[^\s;{}\\])*)""",
    re.VERBOSE | re.DOTALL,
)

_ESCAPE = re.compile(r"\\([\"'\\trn])")
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n"}


class ConfigError(Exception):
    """The configuration is wrong; the message is what nginx prints after ``[emerg]``."""


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive; ``block`` is None unless it has braces."""

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    block: tuple[Directive, ...] | None = field(default=None)

    @property
    def place(self) -> str:
        """``file:line``, as nginx's messages end."""
        return f"{self.file}:{self.line}"


def parse(text: str, file: str) -> tuple[Directive, ...]:
    """All directives of a file.

    Raises:
        ConfigError: the text does not follow the grammar.
    """
    directives, end = _block(_tokens(text, file), file, nested=False)
    del end
    return directives


def _tokens(text: str, file: str) -> Iterator[tuple[str, bool, int]]:
    """Words and marks: ``(text, is a mark, line)``; at the end ``("", True, last line)``."""
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ConfigError(f'unexpected end of file, expecting ";" or "}}" in {file}:{line}')
        quoted = match["double"] if match["double"] is not None else match["single"]
        if quoted is not None:
            yield _unescape(quoted), False, line
        elif match["word"]:
            yield _unescape(match["word"]), False, line
        elif match["mark"]:
            yield match["mark"], True, line
        line += match[0].count("\n")
        position = match.end()
    yield "", True, line


def _unescape(text: str) -> str:
    r"""Backslashes as nginx reads them: before quotes and itself, and ``\t \r \n``; others stay."""
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text)


def _block(tokens: Iterator[tuple[str, bool, int]], file: str, *, nested: bool) -> tuple[tuple[Directive, ...], int]:
    found: list[Directive] = []
    words: list[str] = []
    first_line = 0
    for text, is_mark, line in tokens:
        if not is_mark:
            if not words:
                first_line = line
            words.append(text)
        elif text == ";":
            if not words:
                raise ConfigError(f'unexpected ";" in {file}:{line}')
            found.append(Directive(words[0], tuple(words[1:]), file, first_line))
            words = []
        elif text == "{":
            if not words:
                raise ConfigError(f'unexpected "{{" in {file}:{line}')
            inner, _ = _block(tokens, file, nested=True)
            found.append(Directive(words[0], tuple(words[1:]), file, first_line, inner))
            words = []
        elif text == "}":
            if words:
                raise ConfigError(f'unexpected "}}" in {file}:{line}')
            if not nested:
                raise ConfigError(f'unexpected "}}" in {file}:{line}')
            return tuple(found), line
        elif words or nested:
            wanted = '";" or "}"' if words else '"}"'
            raise ConfigError(f"unexpected end of file, expecting {wanted} in {file}:{line}")
    return tuple(found), 0
