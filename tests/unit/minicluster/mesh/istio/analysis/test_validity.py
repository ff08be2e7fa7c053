"""IST0106: the schema first, then the webhook's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.validity import problems
from meshlab.minicluster.mesh.istio.istioctl import main


def virtual_service(**spec: Any) -> Obj:
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "VirtualService",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"hosts": ["a"], **spec},
    }


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"htpp": []}, 'unknown field "spec.htpp"'),
        ({"http": [{"route": [{"destination": {"host": 3}}]}]}, "spec.http[0].route[0].destination.host"),
        ({}, "http, tcp or tls must be provided in virtual service"),
    ],
)
def test_problems(spec: Any, words: str) -> None:
    assert any(words in problem for problem in problems(virtual_service(**spec)))


def test_a_good_one() -> None:
    assert problems(virtual_service(http=[{"route": [{"destination": {"host": "a"}}]}])) == []
    assert problems({"apiVersion": "v1", "kind": "Pod"}) == []


def test_the_validate_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n")
    bad.write_text(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: [a]}\n"
    )
    assert main(["validate", "-f", str(good)]) == 0
    assert capsys.readouterr().out == f'"{good}" is valid\n'
    assert main(["validate", "-f", str(bad)]) == 1
    assert "http, tcp or tls must be provided in virtual service" in capsys.readouterr().err
