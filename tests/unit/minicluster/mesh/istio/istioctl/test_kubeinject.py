"""``kube-inject`` offline: workloads of every kind, Lists, refusals, and YAML that survives kubectl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from meshlab.minicluster.mesh.istio.inject import InjectionConfig
from meshlab.minicluster.mesh.istio.istioctl import main
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.kubeinject import transform
from meshlab.minicluster.mesh.istio.manifests.options import resolve
from meshlab.minicluster.mesh.istio.manifests.render import injector_config, injector_values, mesh_config

DEPLOYMENT = """\
# a comment
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: nginx
        env: [{name: A, value: "1e3"}, {name: B, value: "on"}, {name: C, value: 2024-01-01}]
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n"


@pytest.fixture
def config() -> InjectionConfig:
    spec = resolve(["profile=demo"])
    injector = {"data": {"config": injector_config(spec), "values": json.dumps(injector_values(spec))}}
    return InjectionConfig.from_config_maps(injector, {"data": {"mesh": yaml.safe_dump(mesh_config(spec))}})


def test_documents_keep_their_order(config: InjectionConfig) -> None:
    output = transform(f"{SERVICE}---\n{DEPLOYMENT}---\n", "f", config, "default")
    assert output.endswith("---\n")
    service, deployment, last = yaml.safe_load_all(output)
    assert last is None
    assert service == yaml.safe_load(SERVICE)
    pod = deployment["spec"]["template"]
    names = [container["name"] for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]]
    assert sorted(names) == ["app", "istio-proxy"]
    assert json.loads(pod["metadata"]["annotations"]["sidecar.istio.io/status"])["revision"] == "default"
    assert pod["metadata"]["labels"]["app"] == "web"
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "web"}}
    # strings that Go would read as a number stay strings
    assert "value: '1e3'" in output
    assert "value: 'on'" in output


def test_lists_and_cron_jobs(config: InjectionConfig) -> None:
    pod = {"metadata": {}, "spec": {"containers": [{"name": "app", "image": "x"}]}}
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c"},
        "spec": {"jobTemplate": {"spec": {"template": pod}}},
    }
    single = {"apiVersion": "v1", "kind": "Pod", **pod, "metadata": {"name": "p"}}
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [cron, single]})
    (result, _) = yaml.safe_load_all(transform(text, "f", config, "default"))
    inner = result["items"][0]["spec"]["jobTemplate"]["spec"]["template"]
    for template in (inner, result["items"][1]):
        spec = template["spec"]
        assert "istio-proxy" in [item["name"] for item in [*spec.get("initContainers", []), *spec["containers"]]]
    assert result["items"][1]["kind"] == "Pod"


def test_refusals_are_said_and_change_nothing(config: InjectionConfig, capsys: pytest.CaptureFixture[str]) -> None:
    injected = transform(DEPLOYMENT, "f", config, "default")
    capsys.readouterr()
    assert yaml.safe_load(transform(injected.removesuffix("---\n"), "f", config, "default").removesuffix("---\n")) == (
        yaml.safe_load(injected.removesuffix("---\n"))
    )
    assert (
        '===> Skipping injection because Deployment "web" has injected "istio-proxy" sidecar already'
        in capsys.readouterr().err
    )
    host = DEPLOYMENT.replace("      containers:", "      hostNetwork: true\n      containers:")
    transform(host, "f", config, "default")
    assert '===> Skipping injection because Deployment "web" has host networking enabled' in capsys.readouterr().err
    off = DEPLOYMENT.replace("labels: {app: web}", 'labels: {app: web, sidecar.istio.io/inject: "false"}')
    transform(off, "f", config, "default")
    assert '===> Skipping injection because Deployment "web" has sidecar injection disabled' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "f: line 1"),
        ("just text", "not a Kubernetes object"),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {}\n",
            'Deployment "web" has no pod template',
        ),
    ],
)
def test_bad_manifests(text: str, words: str, config: InjectionConfig) -> None:
    with pytest.raises(CommandError) as error:
        transform(text, "f", config, "default")
    assert words in error.value.message


def test_offline_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    spec = resolve(["profile=demo"])
    for name, text in (
        ("config", injector_config(spec)),
        ("values", json.dumps(injector_values(spec))),
        ("mesh", yaml.safe_dump(mesh_config(spec))),
        ("web.yaml", DEPLOYMENT),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    flags = ["--injectConfigFile", "config", "--meshConfigFile", "mesh", "--valuesFile", "values"]
    assert main(["kube-inject", "-f", "web.yaml", "-o", "out.yaml", *flags]) == 0
    assert "istio-proxy" in (tmp_path / "out.yaml").read_text()
    assert main(["kube-inject", "-f", "web.yaml"]) == 1
    assert "KUBECONFIG" in capsys.readouterr().err
    assert main(["kube-inject", "-f", "missing.yaml", *flags]) == 1
    assert "could not read missing.yaml" in capsys.readouterr().err
