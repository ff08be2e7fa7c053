"""CEL with the functions of Kubernetes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from meshlab.minicluster.apiserver.schema.cel import CelError, expression


@pytest.mark.parametrize(
    ("source", "value", "expected"),
    [
        ("self.size() > 1 && self[0] == 'a'", ["a", "b"], True),
        ("has(self.a) ? self.a : 'none'", {}, "none"),
        ("self.all(k, self[k] > 0)", {"a": 1, "b": 0}, False),
        ("self.exists_one(x, x.n == 1)", [{"n": 1}, {"n": 1}], False),
        ("self.matches('^[a-z]+$')", "abc", True),
        ("duration(self) >= duration('1ms')", "500us", False),
        ("self.substring(0, 2)", "abc", "ab"),
        ("self.split('/', 2)", "a/b/c", ["a", "b/c"]),
        ("self.join('-')", ["a", "b"], "a-b"),
        ("self.indexOf('b') + self.lastIndexOf('b')", "abcb", 4),
        ("self.lowerAscii() + self.upperAscii() + self.trim()", "Ab", "abABAb"),
        ("'%s is %d of %.1f'.format([self, 3, 2.5])", "a", "a is 3 of 2.5"),
        ("self.isSorted() && self.sum() == 6 && self.max() == 3 && self.min() == 1", [1, 2, 3], True),
        ("self.find('[0-9]+') + self.findAll('[a-z]')[1]", "a1b2", "1b"),
        ("url(self).getScheme() + url(self).getHostname() + url(self).getPort()", "http://a:80/b?c=d", "httpa80"),
        ("isURL(self)", "a b", False),
        ("cidr(self).containsIP('10.1.2.3') && ip('::1').family() == 6", "10.0.0.0/8", True),
        ("cidr(self).containsCIDR(cidr('10.1.0.0/16')) && cidr(self).prefixLength() == 8", "10.0.0.0/8", True),
        ("quantity(self).isGreaterThan(quantity('1000k')) && isQuantity('1.5Gi') && !isQuantity('x')", "1Mi", True),
        ("quantity(self).compareTo(quantity('1024Ki'))", "1Mi", 0),
    ],
)
def test_values(source: str, value: Any, expected: Any) -> None:
    assert expression(source).evaluate({"self": value}) == expected


@pytest.mark.parametrize(
    ("source", "value", "words"),
    [
        ("self.a", {}, "no such key: a"),
        ("int(self)", "x", "type conversion error from 'string' to 'int'"),
        ("duration(self)", "x", "type conversion error from 'string' to 'google.protobuf.Duration'"),
        ("self + 1", "x", "no such overload"),
        ("self[5]", [1], "index out of bounds: 5"),
        ("1 / self", 0, "division by zero"),
        ("self.substring(3, 9)", "x", "index out of range: 9"),
        (
            "url(self)",
            "a b",
            'URL parse error during conversion from string: parse "a b": invalid URI for request',
        ),
    ],
)
def test_errors_in_the_words_of_cel_go(source: str, value: Any, words: str) -> None:
    with pytest.raises(CelError) as raised:
        expression(source).evaluate({"self": value})
    assert str(raised.value) == words


def test_a_function_that_refuses_is_not_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CelError):
        expression("url(self)").evaluate({"self": "a b"})
    assert caplog.records == []


def test_a_malformed_expression() -> None:
    with pytest.raises(CelError, match="Syntax error"):
        expression("self ==")


def test_the_library_costs_nothing_until_it_is_needed() -> None:
    code = (
        "import sys; import meshlab.minicluster.apiserver.registry; from meshlab.minicluster.apiserver.schema import cel;"
        "cel.expression('1 + 1'); print('typer' in sys.modules, 'prompt_toolkit' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False False\n"
