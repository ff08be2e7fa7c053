"""The command line without a cluster: dispatch, usage errors, refusals."""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meshlab.minicluster.mesh.istio.istioctl import VERSION, main
from meshlab.minicluster.mesh.istio.istioctl.checkinject import verdict
from meshlab.minicluster.mesh.istio.istioctl.cluster import deployment_problem, pod_problems
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser, duration
from meshlab.minicluster.mesh.istio.istioctl.pods import split_name
from meshlab.minicluster.mesh.istio.istioctl.proxystatus import render
from meshlab.minicluster.mesh.istio.istioctl.session import MODULE, kubeconfig, other_istioctl
from meshlab.minicluster.mesh.istio.istioctl.table import columns
from meshlab.minicluster.mesh.istio.istioctl.version import render as render_version
from meshlab.minicluster.mesh.istio.manifests.webhooks import injector_webhooks


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["instal"], 64, "Did you mean install"),
        (["waypoint"], 1, "ambient mode needs a real Istio"),
        (["install", "--sett", "x"], 64, "unrecognized arguments: --sett x"),
        (["install", "--dry-run=maybe"], 64, "neither true nor false"),
        (["uninstall"], 64, "at least one of"),
        (["uninstall", "--purge", "--revision", "x"], 64, "at the same time"),
        (["manifest", "apply"], 64, 'unknown command "apply"'),
        (["install", "-f", "/nowhere", "-y"], 1, "could not read /nowhere"),
        (["install", "--manifests", "/charts"], 1, "built in"),
        (["kube-inject"], 64, "filename not specified"),
        (["x", "nothing"], 64, 'for "istioctl experimental"'),
        (["dashboard", "proxy"], 64, "specify a pod"),
        (["dashboard", "nothing"], 64, "unknown dashboard"),
        (["validate"], 1, "error: you must specify resources by --filename."),
        (["analyze", "-o", "xml"], 64, "xml not a valid option for format"),
        (["analyze", "/nowhere.yaml", "--use-kube=false"], 1, "no such file"),
    ],
)
def test_errors(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.startswith("Error: ")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    overview = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == overview
    assert main(["help", "install"]) == 0
    assert "--readiness-timeout" in capsys.readouterr().out
    assert main(["x"]) == 0
    assert "check-inject" in capsys.readouterr().out


def test_no_cluster_is_ever_implied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("not to be read")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["proxy-status"]) == 1
    assert "neither --kubeconfig nor KUBECONFIG is set" in capsys.readouterr().err
    assert main(["version"]) == 1
    assert f"client version: {VERSION}\n" == capsys.readouterr().out
    assert main(["version", "--remote=false"]) == 0
    assert main(["--kubeconfig", str(tmp_path / "none"), "proxy-status"]) == 1
    assert "No such file" in capsys.readouterr().err


def test_which_kubeconfig(tmp_path: Path) -> None:
    present = tmp_path / "b"
    present.write_text("")
    assert kubeconfig("", {"KUBECONFIG": f"{tmp_path / 'a'}:{present}"}) == present
    assert kubeconfig("/x", {"KUBECONFIG": str(present)}) == Path("/x")


def test_the_other_istioctl(tmp_path: Path) -> None:
    for name, text in (("own", f"exec python -m {MODULE}"), ("real", "\x7fELF")):
        directory = tmp_path / name
        directory.mkdir()
        script = directory / "istioctl"
        script.write_text(text)
        script.chmod(0o755)
    assert other_istioctl(f"{tmp_path / 'own'}:/nowhere:{tmp_path / 'real'}") == tmp_path / "real" / "istioctl"
    assert other_istioctl(str(tmp_path / "own")) is None


def test_boolean_flags_and_durations() -> None:
    parser = CommandParser("x", "")
    parser.add_boolean("-k", "--use-kube", default=True)
    parser.add_argument("file", nargs="?")
    assert parser.parse(["--use-kube=false"]).use_kube is False
    assert parser.parse(["-k=false", "a"]).use_kube is False
    assert parser.parse(["--use-kube", "a"]).file == "a"
    assert duration("1m30s") == 90
    assert duration("250ms") == 0.25
    with pytest.raises(argparse.ArgumentTypeError):
        duration("5 minutes")
    with pytest.raises(CommandError):
        parser.parse(["--nothing"])


def test_flags_may_stand_between_arguments() -> None:
    parser = CommandParser("experimental describe", "Describe.")
    parser.add_argument("kind")
    parser.add_argument("name", nargs="?", default="")
    for words in (["pod", "-n", "shop", "a"], ["-n", "shop", "pod", "a"], ["pod", "a", "-n", "shop"]):
        arguments = parser.parse(words)
        assert (arguments.kind, arguments.name, arguments.namespace) == ("pod", "a", "shop")
    assert parser.parse(["pod", "-n", "shop"]).name == ""


def test_columns() -> None:
    assert columns([["A", "LONGER", "C"], ["aaa", "b", ""]], padding=2) == "A    LONGER  C\naaa  b       \n"


def test_names() -> None:
    assert split_name("web-1.shop", "default") == ("", "web-1", "shop")
    assert split_name("deploy/web", "shop") == ("deploy", "web", "shop")


def test_proxy_status() -> None:
    now = datetime(2025, 1, 1, 0, 10, tzinfo=UTC)
    cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    proxy = {
        "proxy": "a.default",
        "cluster_id": "Kubernetes",
        "istiod": "istiod-1",
        "istio_version": "1",
        "cluster_sent": "n2",
        "cluster_acked": "n2",
        "listener_sent": "n2",
        "listener_acked": "n1",
        "route_sent": "n3",
        "generic_xds_configs": [
            {"type_url": cluster, "config_status": "SYNCED", "last_updated": "2025-01-01T00:05:00+00:00"}
        ],
    }
    short = render([proxy], verbose=False, now=now).splitlines()
    assert short[0].split() == ["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED", "TYPES"]
    assert short[1].endswith("3 (CDS,LDS,RDS)")
    verbose = render([proxy], verbose=True, now=now).splitlines()
    assert verbose[1].split("     ")[-1].strip() == "NOT SENT"
    for state in ("SYNCED (5m)", "STALE", "STALE (Never Acknowledged)"):
        assert state in verbose[1]


def test_versions() -> None:
    facts = {
        "clientVersion": {"version": "1"},
        "meshVersion": [{"Revision": "default", "Info": {"version": "1"}}],
        "dataPlaneVersion": [{"ID": "a", "IstioVersion": "1"}, {"ID": "b", "IstioVersion": "1"}],
    }
    assert (
        render_version(facts, short=True)
        == "client version: 1\ncontrol plane version: 1\ndata plane version: 1 (2 proxies)\n"
    )


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ({}, "not seen it yet"),
        ({"observedGeneration": 2}, "0 of 2 new replicas"),
        ({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 3}, "1 old replicas"),
        ({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}, "1 of 2 replicas are"),
        ({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}, ""),
    ],
)  # fmt: skip
def test_deployments(status: dict[str, int], problem: str) -> None:
    deployment = {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}
    found = deployment_problem(deployment)
    assert problem in found
    assert bool(problem) == bool(found)


def test_pods_that_are_not_ready() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    pod = {"status": {"containerStatuses": [{"name": "a", "state": waiting}, {"name": "b", "state": {"running": {}}}]}}
    assert pod_problems(pod) == ["container a: ImagePullBackOff: no such image", "container b runs but is not ready"]


@pytest.mark.parametrize(
    ("namespace", "pod", "injected", "words"),
    [
        ({"istio-injection": "enabled"}, {}, True, "Namespace label istio-injection=enabled matches"),
        (
            {"istio-injection": "enabled"},
            {"sidecar.istio.io/inject": "false"},
            False,
            "Pod has sidecar.istio.io/inject=false label, preventing",
        ),
        (
            {"istio-injection": "disabled"},
            {"sidecar.istio.io/inject": "true"},
            False,
            "Namespace has istio-injection=disabled label, prev",
        ),
        ({}, {"sidecar.istio.io/inject": "true"}, True, "Pod label sidecar.istio.io/inject=true matches"),
        (
            {},
            {},
            False,
            "No matching namespace labels (istio.io/rev=default, istio-injection=enabled) "
            "or pod labels (istio.io/rev=default, sidecar.istio.io/inject=true)",
        ),
        ({"istio.io/rev": "x"}, {}, False, "No matching namespace labels"),
        ({"istio.io/rev": "default"}, {}, True, "Namespace label istio.io/rev=default matches"),
    ],
)
def test_check_inject(namespace: dict[str, str], pod: dict[str, str], injected: bool, words: str) -> None:
    hooks = injector_webhooks("istio-system", "default", every_namespace=False, reinvocation="Never")
    outcome = verdict({"metadata": {}, "webhooks": hooks}, pod, namespace)
    assert outcome[0] is injected
    assert words in outcome[1]


def test_start_up_imports_little() -> None:
    script = (
        "import sys; from meshlab.minicluster.mesh.istio.istioctl import main; main(['help']);"
        "heavy = {'aiohttp', 'yaml', 'grpc', 'cryptography', 'kubernetes', 'textual'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
