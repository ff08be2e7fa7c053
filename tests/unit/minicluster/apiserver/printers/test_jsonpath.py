from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.apiserver.printers.jsonpath import find

OBJ = {
    "metadata": {"annotations": {"a.b/c": "dotted"}, "labels": {"x": "1", "y": "2"}},
    "spec": {"hosts": ["a", "b"], "http": [{"name": "r1"}, {"name": "r2", "weight": 80}, {"name": "r3", "weight": 20}]},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "Accepted", "status": "False", "message": "no"},
        ]
    },
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.hosts", [["a", "b"]]),
        ("{.spec.hosts[0]}", ["a"]),
        (".spec.hosts[-1]", ["b"]),
        (".spec.hosts[7]", []),
        (".spec.hosts[*]", ["a", "b"]),
        (".spec.http[*].name", ["r1", "r2", "r3"]),
        ("$.metadata.labels.*", ["1", "2"]),
        (r".metadata.annotations.a\.b/c", ["dotted"]),
        (".metadata.annotations['a.b/c']", ["dotted"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type == 'Accepted')].message", ["no"]),
        ('.status.conditions[?(@.type!="Ready")].type', ["Accepted"]),
        (".status.conditions[?(@.message)].type", ["Accepted"]),
        (".spec.http[?(@.weight>50)].name", ["r2"]),
        (".spec.http[?(@.weight<=20)].name", ["r3"]),
        ('.spec.http[?(@.weight>"x")].name', []),
        (".spec.missing.deeper", []),
        (".spec.hosts.name", []),
        (".spec[", []),
        (".spec.http[?(weight)]", []),
    ],
)
def test_find(path: str, found: list[Any]) -> None:
    assert find(path, OBJ) == found
