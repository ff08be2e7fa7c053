"""The Common Expression Language, with the functions that Kubernetes adds to it.

The language itself is a library (`common-expression-language`); here is what a CRD's rules may call beyond it
(https://kubernetes.io/docs/reference/using-api/cel/): strings, lists, regular expressions, URLs, IP addresses, CIDR
blocks and quantities. Values of the last four are objects of one key, which is all that CEL sees of them.
"""

from __future__ import annotations

import ipaddress
import itertools
import logging
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any
from urllib.parse import parse_qs, urlsplit


class CelError(Exception):
    """An expression could not be compiled or evaluated; the text is cel-go's where it has one."""


class Expression:
    """A compiled expression.

    Attributes:
        names: the variables it refers to.
    """

    __slots__ = ("_functions", "_program", "names")

    def __init__(self, source: str) -> None:
        try:
            self._program = _library().compile(source)
        except ValueError as error:
            raise CelError(str(error)) from None
        self.names = frozenset(self._program.variables())
        # To make all of them known costs more than most expressions.
        self._functions = {name: FUNCTIONS[name] for name in self._program.functions() if name in FUNCTIONS}

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value, with these variables bound.

        Raises:
            CelError: it has none.
        """
        context = _library().Context(variables=dict(variables), functions=self._functions)
        try:
            return self._program.execute(context)
        except (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError) as error:
            raise CelError(_words(error)) from None


@cache
def expression(source: str) -> Expression:
    """The expression, compiled once.

    Raises:
        CelError: it is malformed.
    """
    return Expression(source)


@cache
def _library() -> Any:
    """The library's extension module alone: its package also imports a command line, at a hundred times the cost."""
    package = find_spec("cel")
    spec = package and PathFinder.find_spec("cel.cel", package.submodule_search_locations)
    if spec is None or spec.loader is None:
        raise ImportError("common-expression-language is not installed")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    # It also logs what it raises when one of the functions below refuses its argument.
    logging.getLogger("cel").setLevel(logging.ERROR)
    return module


def _words(error: Exception) -> str:
    text = str(error)
    if isinstance(error, KeyError):
        return f"no such key: {text.strip(chr(39))}"
    if isinstance(error, ZeroDivisionError):
        return "division by zero"
    if text.startswith(("No such overload", "Unsupported operation")):
        return "no such overload"
    if found := re.match(r"Function '(int|uint|double|duration|timestamp)' error", text):
        kind = {"duration": "google.protobuf.Duration", "timestamp": "google.protobuf.Timestamp"}.get(
            found[1], found[1]
        )
        return f"type conversion error from 'string' to '{kind}'"
    if found := re.match(r"Function '\w+' error: Python function call failed: \w+: (.*)\. Check function", text):
        return found[1]
    return text


# Strings


def _substring(text: str, start: int, end: int | None = None) -> str:
    if not 0 <= start <= (len(text) if end is None else end) <= len(text):
        raise ValueError(f"index out of range: {start if end is None else end}")
    return text[start:end]


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    parts = text.split(separator) if separator else list(text)
    return parts if limit < 0 or len(parts) <= limit else [*parts[: limit - 1], separator.join(parts[limit - 1 :])]


def _index_of(where: Any, what: Any, offset: int = 0) -> int:
    if isinstance(where, str):
        return where.find(what, offset)
    return where.index(what) if what in where else -1


def _last_index_of(where: Any, what: Any) -> int:
    if isinstance(where, str):
        return where.rfind(what)
    return len(where) - 1 - where[::-1].index(what) if what in where else -1


def _format(template: str, values: list[Any]) -> str:
    remaining = iter(values)

    def shown(verb: re.Match[str]) -> str:
        if verb[0] == "%%":
            return "%"
        value: Any = next(remaining)
        match verb[2]:
            case "s":
                return str(value).lower() if isinstance(value, bool) else str(value)
            case "x" if isinstance(value, str):
                return value.encode().hex()
            case "b":
                return format(int(value), "b")
            case kind:
                return str(f"%{verb[1] or ''}{kind}" % value)

    return re.sub(r"%%|%(\.\d+)?([sdfexXob])", shown, template)


# Lists


def _is_sorted(items: list[Any]) -> bool:
    return all(first <= second for first, second in itertools.pairwise(items))


# Regular expressions


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


# URLs


def _is_url(text: str) -> bool:
    """Whether it is an absolute URL or path, as Go's ``ParseRequestURI`` sees it."""
    if re.search(r"[\x00-\x20\x7f]|%(?![0-9A-Fa-f]{2})", text):
        return False
    try:
        parts = urlsplit(text)
        return parts.port is not None or bool(parts.scheme and text.partition(":")[2]) or text.startswith("/")
    except ValueError:
        return False


def _url(text: str) -> dict[str, str]:
    if not _is_url(text):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return {"url": text}


# Addresses


def _address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(value["ip"] if isinstance(value, dict) else value)


def _network(value: dict[str, str]) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(value["cidr"], strict=False)


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _contains_cidr(outer: dict[str, str], inner: Any) -> bool:
    network = ipaddress.ip_network(inner["cidr"] if isinstance(inner, dict) else inner, strict=False)
    return _network(outer).version == network.version and network.subnet_of(_network(outer))  # type: ignore[arg-type]


# Quantities

_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def _quantity_value(text: str) -> Decimal:
    found = re.fullmatch(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?\d+))?", text)
    if found is None:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    number, suffix, exponent = Decimal(found[1]), found[2] or "", int(found[3] or 0)
    if suffix in _BINARY:
        return number * Decimal(1024) ** _BINARY[suffix]
    return number.scaleb(_SUFFIXES[suffix] + exponent)


def _quantity(text: str) -> dict[str, str]:
    _quantity_value(text)
    return {"quantity": text}


def _compared(one: Any, other: Any) -> int:
    first, second = (_quantity_value(value["quantity"]) for value in (one, other))
    return (first > second) - (first < second)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "substring": _substring,
    "split": _split,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "format": _format,
    "charAt": lambda text, index: text[index : index + 1],
    "replace": lambda text, old, new, limit=-1: text.replace(old, new, limit),
    "lowerAscii": lambda text: text.lower() if text.isascii() else text,
    "upperAscii": lambda text: text.upper() if text.isascii() else text,
    "trim": lambda text: text.strip(),
    "join": lambda items, separator="": separator.join(items),
    "isSorted": _is_sorted,
    "sum": sum,
    "min": min,
    "max": max,
    "find": _find,
    "findAll": _find_all,
    "isURL": _is_url,
    "url": _url,
    "getScheme": lambda url: urlsplit(url["url"]).scheme,
    "getHost": lambda url: urlsplit(url["url"]).netloc.rpartition("@")[2],
    "getHostname": lambda url: urlsplit(url["url"]).hostname or "",
    "getPort": lambda url: str(urlsplit(url["url"]).port or ""),
    "getEscapedPath": lambda url: urlsplit(url["url"]).path,
    "getQuery": lambda url: parse_qs(urlsplit(url["url"]).query, keep_blank_values=True),
    "isIP": lambda text: _parses(ipaddress.ip_address, text),
    "ip": lambda text: {"ip": str(ipaddress.ip_address(text))} if isinstance(text, str) else {"ip": text["cidr"]},
    "family": lambda value: _address(value).version,
    "isLoopback": lambda value: _address(value).is_loopback,
    "isUnspecified": lambda value: _address(value).is_unspecified,
    "isCIDR": lambda text: _parses(lambda value: ipaddress.ip_network(value, strict=False), text),
    "cidr": lambda text: {"cidr": str(ipaddress.ip_network(text, strict=False))},
    "containsIP": lambda cidr, value: _address(value) in _network(cidr),
    "containsCIDR": _contains_cidr,
    "prefixLength": lambda cidr: _network(cidr).prefixlen,
    "isQuantity": lambda text: _parses(_quantity_value, text),
    "quantity": _quantity,
    "compareTo": _compared,
    "isGreaterThan": lambda one, other: _compared(one, other) > 0,
    "isLessThan": lambda one, other: _compared(one, other) < 0,
}
"""What an expression may call, methods with their receiver first."""
