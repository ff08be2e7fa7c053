"""The Common Expression Language as far as configuration needs it: what is an expression, and other names in it.

Resources carry expressions over a request. Envoy evaluates them, but refuses a whole listener for one that it cannot
read, so each is read here first. The grammar is that of the language's specification (cel-spec, langdef.md); types are
not checked, as Envoy does not check them before there is a request either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

_STRING = (
    r"(?:[rR][bB]?|[bB][rR])(?:\"\"\".*?\"\"\"|'''.*?'''|\"[^\"\n]*\"|'[^'\n]*')"
    r"|[bB]?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
)
"""Raw strings know no escapes."""
_TOKEN = re.compile(
    rf"(?P<space>\s+|//[^\n]*)|(?P<string>{_STRING})"
    r"|(?P<number>0x[0-9a-fA-F]+u?|\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?|\d+[uU]?)"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<mark>\|\||&&|<=|>=|==|!=|[-+*/%!<>?:.,()\[\]{}])",
    re.DOTALL,
)
_LITERALS = frozenset({"true", "false", "null"})
_RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let", "loop"),
        *("namespace", "package", "return", "var", "void", "while"),
    )
)
_BINARY = (("||",), ("&&",), ("<", "<=", ">=", ">", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))
"""Binary operators, the loosest first."""
_LOOSE = frozenset(["?", ":", "-", *(sign for level in _BINARY[:3] for sign in level)])
"""Operators beside which a ``+`` of texts cannot stand."""


class SyntaxFault(ValueError):
    """A text is no expression; the message says where."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word or sign of an expression."""

    kind: str
    """``string``, ``number``, ``name`` or ``mark``; ``space`` never gets this far."""
    text: str
    start: int


@cache
def fault(expression: str) -> str:
    """Why a text is no expression; empty if it is one."""
    try:
        found = _Reader(expression)
        found.expression()
        found.end()
    except SyntaxFault as error:
        return str(error)
    except RecursionError:
        return "the expression is nested too deeply"
    return ""


@cache
def calls(expression: str) -> frozenset[str]:
    """The names of the functions and macros that an expression calls."""
    found = tokens(expression)
    return frozenset(
        token.text
        for token, after in pairwise(found)
        if token.kind == "name" and after.text == "(" and token.text not in _RESERVED
    )


@cache
def paths(expression: str) -> frozenset[tuple[str, ...]]:
    """The dotted paths of attributes that an expression asks for."""
    found = tokens(expression)
    return frozenset(path for index in range(len(found)) if (path := tuple(_path(found, index))))


def renamed(expression: str, paths: Mapping[str, str]) -> str:
    """The expression with other texts for some attributes.

    Args:
        expression: an expression without faults.
        paths: dotted paths from the root (``destination.port``) -> what stands there instead.
    """
    found = tokens(expression)
    parts: list[str] = []
    position = index = 0
    while index < len(found):
        path = _path(found, index)
        known = next((n for n in range(len(path), 0, -1) if ".".join(path[:n]) in paths), 0)
        if not known:
            index += max(2 * len(path) - 1, 1)
            continue
        last = found[index + 2 * known - 2]
        parts += [expression[position : found[index].start], paths[".".join(path[:known])]]
        position, index = last.start + len(last.text), index + 2 * known - 1
    return "".join([*parts, expression[position:]])


def path(expression: str) -> tuple[str, ...]:
    """The names of an expression that is nothing but a dotted path; empty for any other."""
    found = tokens(expression)
    names = tuple(_path(found, 0)) if found else ()
    return names if len(found) == 2 * len(names) - 1 else ()


def text_parts(expression: str) -> tuple[str, ...]:
    """The expressions whose values, written behind each other, are an expression's value as a text.

    Whoever writes values converts and joins them by doing so; Envoy's own expressions can do neither.
    """
    choice = _split(expression, "?", ":")
    if len(choice) == 3:
        branches = [text_parts(branch) for branch in choice[1:]]
        if all(len(branch) == 1 for branch in branches):
            return (f"{choice[0]} ? {branches[0][0]} : {branches[1][0]}",)
        return (expression,)
    sum_ = _split(expression, "+")
    if len(sum_) > 1 and any(_is_text(part) for part in sum_):
        return tuple(shown for part in sum_ for shown in text_parts(part))
    for function in ("string", ""):
        inner = _argument(expression, function)
        if inner:
            return text_parts(inner)
    return (expression,)


def _is_text(expression: str) -> bool:
    found = tokens(expression)
    return [token.kind for token in found] == ["string"] or bool(_argument(expression, "string"))


def _argument(expression: str, function: str) -> str:
    """What an expression calls a function with, if it is nothing but that call of one argument; else empty."""
    found = tokens(expression)
    begin = [function, "("] if function else ["("]
    if [token.text for token in found[: len(begin)]] != begin or found[-1].text != ")":
        return ""
    inner = expression[found[len(begin) - 1].start + 1 : found[-1].start].strip()
    return inner if not fault(inner) else ""


def _split(expression: str, *marks: str) -> list[str]:
    """The parts around operators outside of all brackets, in their order; one part if a looser operator is there."""
    parts: list[str] = []
    position = depth = 0
    wanted = list(marks)
    for token in tokens(expression):
        if token.kind == "mark":
            depth += (token.text in "([{") - (token.text in ")]}")
        if depth or token.kind == "string":
            continue
        if token.text in marks and (len(marks) == 1 or (wanted and token.text == wanted[0])):
            wanted = wanted[1:]
            parts.append(expression[position : token.start].strip())
            position = token.start + 1
        elif token.text in _LOOSE and len(marks) == 1:
            return [expression]
    return [*parts, expression[position:].strip()]


@cache
def tokens(expression: str) -> tuple[Token, ...]:
    """The words and signs of a text.

    Raises:
        SyntaxFault: it has something else in it.
    """
    found: list[Token] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise SyntaxFault(f"unexpected {expression[position]!r} at {position + 1}")
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match[0], position))
        position = match.end()
    return tuple(found)


def _path(found: tuple[Token, ...], index: int) -> list[str]:
    """The dotted path that begins at a token; none for a name that is a member or a function."""
    if found[index].kind != "name" or found[index].text in _LITERALS or (index and found[index - 1].text == "."):
        return []
    names = [found[index].text]
    index += 1
    while index + 1 < len(found) and found[index].text == "." and found[index + 1].kind == "name":
        names.append(found[index + 1].text)
        index += 2
    if index < len(found) and found[index].text == "(":
        names.pop()
    return names


class _Reader:
    """Reads an expression from its first token to its last."""

    def __init__(self, expression: str) -> None:
        self._tokens = tokens(expression)
        self._next = 0

    def end(self) -> None:
        """Nothing may follow."""
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            raise SyntaxFault(f"unexpected {token.text!r} at {token.start + 1}")

    def expression(self) -> None:
        """A conditional, or what binds closer."""
        self._binary(0)
        if self._take("?"):
            self._binary(0)
            self._want(":")
            self.expression()

    def _binary(self, level: int) -> None:
        if level == len(_BINARY):
            self._unary()
            return
        self._binary(level + 1)
        while self._take(*_BINARY[level]):
            self._binary(level + 1)

    def _unary(self) -> None:
        for sign in ("!", "-"):
            if self._take(sign):
                while self._take(sign):
                    pass
                break
        self._primary()
        while True:
            if self._take("."):
                self._name()
                if self._take("("):
                    self._list(")", self.expression)
            elif self._take("["):
                self.expression()
                self._want("]")
            elif self._take("{"):
                self._list("}", self._field)
            else:
                return

    def _primary(self) -> None:
        if self._take("("):
            self.expression()
            self._want(")")
        elif self._take("["):
            self._list("]", self.expression)
        elif self._take("{"):
            self._list("}", self._entry)
        elif self._peek() is not None and self._peek_kind() in ("string", "number"):
            self._next += 1
        else:
            self._take(".")
            self._name(literals=True)
            if self._take("("):
                self._list(")", self.expression)

    def _entry(self) -> None:
        self.expression()
        self._want(":")
        self.expression()

    def _field(self) -> None:
        self._name()
        self._want(":")
        self.expression()

    def _list(self, end: str, item: Callable[[], None]) -> None:
        while not self._take(end):
            item()
            if not self._take(","):
                self._want(end)
                return

    def _name(self, *, literals: bool = False) -> None:
        token = self._peek()
        if token is None:
            raise SyntaxFault("the expression ends too early")
        refused = _RESERVED if literals else _RESERVED | _LITERALS
        if token.kind != "name" or token.text in refused:
            raise SyntaxFault(f"unexpected {token.text!r} at {token.start + 1}")
        self._next += 1

    def _peek(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _peek_kind(self) -> str:
        token = self._peek()
        return token.kind if token is not None else ""

    def _take(self, *texts: str) -> bool:
        token = self._peek()
        if token is None or token.kind == "string" or token.text not in texts:
            return False
        self._next += 1
        return True

    def _want(self, text: str) -> None:
        if not self._take(text):
            token = self._peek()
            found = f"unexpected {token.text!r} at {token.start + 1}" if token else "the expression ends too early"
            raise SyntaxFault(f"{found}, {text!r} is missing")
