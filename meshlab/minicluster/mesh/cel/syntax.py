"""The grammar: texts into tokens, and whether those are an expression (cel-spec, langdef.md)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

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
LITERALS = frozenset({"true", "false", "null"})
RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let", "loop"),
        *("namespace", "package", "return", "var", "void", "while"),
    )
)
BINARY = (("||",), ("&&",), ("<", "<=", ">=", ">", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))
"""Binary operators, the loosest first."""


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
        if level == len(BINARY):
            self._unary()
            return
        self._binary(level + 1)
        while self._take(*BINARY[level]):
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
        refused = RESERVED if literals else RESERVED | LITERALS
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
