"""Envoy's format language in the values of headers."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh.istio.headervalues import header_value_error


@pytest.mark.parametrize(
    "value",
    ["", "a", "%HOSTNAME%", "100%%", "a %REQ(:path)% b", '%UPSTREAM_METADATA(["a", "b"])%', "%DYNAMIC_METADATA(a:b)%"],
)
def test_values(value: str) -> None:
    assert header_value_error(value) == ""


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a%", "Un-escaped %"),
        ("abc%123", "Un-terminated variable expression 'abc%123'"),
        ('%A(["a" "b"])%', "Expecting ',', ']', or whitespace"),
        ('%A(["a"]x)%', "Expecting ')' or whitespace after '{}', but found '{}'"),
        ("%A(a)b%", "Expecting '%' or whitespace after"),
        ("%A([b])%", "Expecting '\"'"),
        ("%A(\\", "Un-terminated variable expression '%A(\\'"),
    ],
)
def test_malformed_values(value: str, reason: str) -> None:
    assert header_value_error(value) == f"header value configuration: invalid header configuration. {reason}"


def test_control_characters() -> None:
    assert header_value_error("a\nb") == "header value configuration a\nb is invalid"
