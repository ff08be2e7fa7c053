"""The commands that look: version, proxy-status, proxy-config, kube-inject, analyze, describe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

PROXY = "registry.istio.io/release/proxyv2:1.31.0"
DUMP = {
    "configs": [
        {
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
            "dynamic_active_clusters": [
                {"cluster": {"name": "outbound|80||a.default.svc.cluster.local", "type": "EDS"}}
            ],
        }
    ]
}
CANARY = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: myapp
spec:
  hosts:
  - myapp.default.svc.cluster.local
  http:
  - route:
    - destination:
        host: myapp
        subset: v1
      weight: 80
    - destination:
        host: myapp
        subset: v2
      weight: 20
"""


def syncz(*proxies: str) -> bytes:
    entry = {
        f"{kind}_{what}": "n1" for kind in ("cluster", "listener", "route", "endpoint") for what in ("sent", "acked")
    }
    return json.dumps(
        [{"proxy": proxy, "cluster_id": "Kubernetes", "istio_version": "1.31.0-meshlab", **entry} for proxy in proxies]
    ).encode()


async def sidecar_pod(lab: Any, name: str) -> None:
    pod = {
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {
            "nodeName": "meshlab",
            "containers": [{"name": "app", "image": "x"}],
            "initContainers": [{"name": "istio-proxy", "image": PROXY, "restartPolicy": "Always"}],
        },
    }
    created = await lab.api.create("pods", pod, "default")
    await lab.api.update("pods", {**created, "status": {"phase": "Running"}}, subresource="status")


async def test_without_istio(lab: Any) -> None:
    code, out, err = await lab.istioctl("version")
    assert (code, out) == (0, "client version: 1.31.0-meshlab\n")
    assert 'Istio is not present in the cluster with namespace "istio-system"' in err
    code, _, err = await lab.istioctl("proxy-status")
    assert code == 1
    assert "no running istiod pods" in err
    assert await lab.istioctl("x", "check-inject", "-l", "a=b") == (0, "ERROR: no Istio injection hooks present.\n", "")
    code, _, err = await lab.istioctl("dashboard", "kiali")
    assert code == 1
    assert "no Kiali pods found" in err


@pytest.mark.full
async def test_versions_and_status(lab: Any) -> None:
    await lab.istioctl("install", "--set", "profile=minimal", "-y")
    lab.answers["/debug/syncz"] = syncz("web-1.default", "other.shop")
    code, out, err = await lab.istioctl("version")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "client version: 1.31.0-meshlab",
        "control plane version: 1.31.0-meshlab",
        "data plane version: 1.31.0-meshlab (2 proxies)",
    ]
    code, out, _ = await lab.istioctl("version", "-o", "json")
    assert json.loads(out)["dataPlaneVersion"][0] == {"ID": "other.shop", "IstioVersion": "1.31.0-meshlab"}
    code, out, _ = await lab.istioctl("proxy-status")
    assert code == 0
    assert out.splitlines()[0].split() == ["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED", "TYPES"]
    assert "istiod-1" in out and "4 (CDS,LDS,EDS,RDS)" in out
    code, out, _ = await lab.istioctl("ps", "-o", "json", "-n", "shop")
    assert [entry["proxy"] for entry in json.loads(out)] == ["other.shop"]
    code, out, _ = await lab.istioctl("ps", "web-1.default")
    assert len(out.splitlines()) == 2
    code, _, err = await lab.istioctl("ps", "nobody.default")
    assert code == 1
    assert "proxy nobody.default is not connected" in err


async def test_proxy_config(lab: Any) -> None:
    await sidecar_pod(lab, "web-1")
    lab.answers["config_dump"] = json.dumps(DUMP).encode()
    lab.answers["clusters?format=json"] = b'{"cluster_statuses": []}'
    code, out, err = await lab.istioctl("proxy-config", "cluster", "web-1.default")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == ["a.default.svc.cluster.local", "80", "-", "outbound", "EDS"]
    code, out, _ = await lab.istioctl("pc", "endpoints", "web-1", "-n", "default")
    assert (code, out.split()) == (0, ["ENDPOINT", "STATUS", "OUTLIER", "CHECK", "CLUSTER"])
    code, _, err = await lab.istioctl("pc", "cluster", "gone")
    assert code == 1
    assert 'pods "gone" not found in namespace "default"' in err
    plain = {
        "metadata": {"name": "plain"},
        "spec": {"nodeName": "meshlab", "containers": [{"name": "app", "image": "x"}]},
    }
    await lab.api.create("pods", plain, "default")
    code, _, err = await lab.istioctl("pc", "cluster", "plain")
    assert code == 1
    assert "has no istio-proxy container" in err
    del lab.answers["config_dump"]
    code, _, err = await lab.istioctl("pc", "route", "web-1")
    assert code == 1
    assert "failed to execute command on web-1.default" in err


async def test_kube_inject(lab: Any, tmp_path: Path) -> None:
    manifest = tmp_path / "web.yaml"
    manifest.write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n"
        "  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: app, image: nginx}]}\n"
    )
    code, _, err = await lab.istioctl("kube-inject", "-f", str(manifest))
    assert code == 1
    assert 'could not read valid configmap "istio-sidecar-injector"' in err
    await lab.istioctl("install", "--set", "profile=demo", "-y")
    code, out, err = await lab.istioctl("kube-inject", "-f", str(manifest))
    assert (code, err) == (0, "")
    (deployment, _) = yaml.safe_load_all(out)
    created = await lab.api.create("deployments.apps", deployment, "default")
    assert "sidecar.istio.io/status" in created["spec"]["template"]["metadata"]["annotations"]


@pytest.mark.full
async def test_analyze(lab: Any, tmp_path: Path) -> None:
    await lab.istioctl("install", "--set", "profile=demo", "-y")
    await sidecar_pod(lab, "web-1")
    await lab.api.patch("namespaces", "default", {"metadata": {"labels": {"istio-injection": "enabled"}}})
    code, out, err = await lab.istioctl("analyze")
    assert (code, out) == (0, "\n")
    assert err == "✔ No validation issues found when analyzing namespace: default.\n"
    service = {
        "metadata": {"name": "myapp"},
        "spec": {"selector": {"app": "myapp"}, "ports": [{"name": "http", "port": 80}]},
    }
    await lab.api.create("services", service, "default")
    manifest = tmp_path / "vs.yaml"
    manifest.write_text(CANARY)
    code, out, err = await lab.istioctl("analyze", str(manifest))
    assert code == 79
    assert out.splitlines()[0] == (
        f"Error [IST0101] (VirtualService default/myapp {manifest}:11) "
        'Referenced host+subset in destinationrule not found: "myapp+v1"'
    )
    assert "Error: Analyzers found issues when analyzing namespace: default." in err
    virtual_service = yaml.safe_load(CANARY)
    await lab.api.create("virtualservices.v1alpha3.networking.istio.io", virtual_service, "default")
    code, out, _ = await lab.istioctl("analyze", "-o", "json")
    assert code == 0
    assert [entry["code"] for entry in json.loads(out)] == ["IST0101", "IST0101"]
    code, out, err = await lab.istioctl("analyze", "-S", "IST0101=VirtualService myapp.default")
    assert code == 0
    code, out, _ = await lab.istioctl("analyze", "-A", "--output-threshold", "Error", "--failure-threshold", "Warning")
    assert code == 79
    code, _, err = await lab.istioctl("analyze", "-n", "nowhere")
    assert 'namespace "nowhere" not found' in err


async def test_describe(lab: Any) -> None:
    await lab.istioctl("install", "--set", "profile=minimal", "-y")
    service = {
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
    }
    await lab.api.create("services", service, "default")
    await sidecar_pod(lab, "web-1")
    for kind, spec in (
        ("DestinationRule", {"host": "web", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}),
        ("VirtualService", {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web", "subset": "v1"}}]}]}),
    ):
        obj = {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec}
        await lab.api.create(f"{kind.lower()}s.networking.istio.io", obj, "default")
    mtls = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "strict"}}
    await lab.api.create(
        "peerauthentications.security.istio.io", {**mtls, "spec": {"mtls": {"mode": "STRICT"}}}, "istio-system"
    )
    code, out, err = await lab.istioctl("x", "describe", "pod", "web-1")
    assert (code, err) == (0, "")
    assert "WARNING POD DOES NOT MATCH ANY SUBSETS.  (Non matching subsets v1)" in out
    assert "Workload mTLS mode: STRICT" in out
    assert "Route to non-matching subset v1" in out
    code, out, _ = await lab.istioctl("x", "check-inject", "web-1")
    assert code == 0
    assert "✘" in out
