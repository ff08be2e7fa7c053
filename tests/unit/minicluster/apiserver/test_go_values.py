from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.apiserver.go_values import go_float, go_format


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "<nil>"),
        (True, "true"),
        (80, "80"),
        ("a b", "a b"),
        ({"b": [1, {"c": None}], "a": "x"}, "map[a:x b:[1 map[c:<nil>]]]"),
    ],
)
def test_go_format(value: Any, text: str) -> None:
    assert go_format(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (-2.5, "-2.5"),
        (100, "100"),
        (65535, "65535"),
        (999999, "999999"),
        (1000000, "1e+06"),
        (4294967295, "4.294967295e+09"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
    ],
)
def test_go_float(value: float, text: str) -> None:
    assert go_float(value) == text
