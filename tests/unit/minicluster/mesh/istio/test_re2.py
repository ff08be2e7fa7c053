"""Which regular expressions Go's compiler takes, and what it says of the others."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh.istio.re2 import regex_error


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        ".*",
        "^/v[0-9]+(/.*)?$",
        r"\d{1,3}",
        "(?i)abc",
        "(?P<a>x)(?<b>y)",
        "[[:alpha:]]",
        r"\pL",
        "a??",
        "a*?b",
        r"[\]a]",
        "[]a]",
        r"\Qa(b\E",
    ],
)
def test_taken(pattern: str) -> None:
    assert regex_error(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[a-z", "missing closing ]: `[a-z`"),
        ("a(b", "missing closing ): `a(b`"),
        ("a)b", "unexpected ): `a)b`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a++", "invalid nested repetition operator: `++`"),
        ("(?=a)b", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?!a)b", "invalid or unsupported Perl syntax: `(?!`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        ("a{2000}", "invalid repeat count: `{2000}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("a\\", "trailing backslash at end of expression: ``"),
    ],
)
def test_refused(pattern: str, reason: str) -> None:
    assert regex_error(pattern) == f"error parsing regexp: {reason}"
