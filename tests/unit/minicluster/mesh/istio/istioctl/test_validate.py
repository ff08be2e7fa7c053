"""``istioctl validate``: what it prints of files, and how it ends."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from meshlab.minicluster.mesh.istio.istioctl.commands import main

VALID = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a}
"""
WARNED = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: n}
spec:
  hosts: [a]
  http:
  - route: [{destination: {host: a}}]
  - route: [{destination: {host: b}}]
"""


def run(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str], name: str = "a.yaml") -> tuple[int, str, str]:
    path = tmp_path / name
    path.write_text(content)
    code = main(["validate", "-f", str(path)])
    printed = capsys.readouterr()
    return code, printed.out.replace(str(tmp_path), "DIR"), printed.err.replace(str(tmp_path), "DIR")


def test_a_valid_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, VALID, capsys) == (0, '"DIR/a.yaml" is valid\n', "")


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(VALID))
    assert main(["validate", "-f", "-"]) == 0
    assert capsys.readouterr().out == "validation succeed\n"


def test_warnings_are_told_and_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(tmp_path, WARNED, capsys)
    assert code == 0
    assert out == (
        '"DIR/a.yaml" has warnings: \n\t* VirtualService/n/a: virtualService rule #1 not used '
        "(only the last rule can have no matches)\n\n"
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (
            VALID.replace("host: a", "host: ''"),
            "DestinationRule//a: empty domain name not allowed",
        ),
        (
            VALID.replace("host: a", "hosts: a"),
            'DestinationRule//a: cannot parse proto message: unknown field "hosts" in '
            "istio.networking.v1.DestinationRule",
        ),
        (VALID + "spce: {}\n", 'DestinationRule//a: unknown field "spce"'),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: n}, spec: {ports: [{name: web, port: 80}]}}",
            'Service/n/a: service "a/n/:" port "web" does not follow the Istio naming convention. See '
            "https://istio.io/v1.31/docs/ops/deployment/application-requirements/",
        ),
        (
            "a: [",
            "failed to decode file DIR/a.yaml: DIR/a.yaml: line 1: expected the node content, but found '<stream end>'",
        ),
    ],
)
def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, error: str) -> None:
    code, out, err = run(tmp_path, content, capsys)
    assert (code, out) == (1, "")
    assert err == f"Error: 1 error occurred:\n\t* {error}\n\n\n"


def test_other_kinds_are_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{name: http-web, port: 80}]}}"
    assert run(tmp_path, service, capsys)[0] == 0
    assert run(tmp_path, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: 1}", capsys)[0] == 0


def test_a_deployment_without_labels_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployment = (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: n},"
        " spec: {template: {metadata: {labels: {app: a}}}}}"
    )
    code, out, _ = run(tmp_path, deployment, capsys)
    assert code == 0
    assert out.startswith('deployment "a/n:" may not provide Istio metrics and telemetry labels: map["app":"a"]. See ')


def test_a_directory_is_searched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.yml").write_text(VALID)
    (tmp_path / "b" / "notes.txt").write_text("a: [")
    assert main(["validate", "-f", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f'"{tmp_path}/b/c.yml" is valid\n'


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "-f", "/nowhere.yaml"]) == 1
    assert 'cannot stat file "/nowhere.yaml": stat /nowhere.yaml: no such file or directory' in capsys.readouterr().err
