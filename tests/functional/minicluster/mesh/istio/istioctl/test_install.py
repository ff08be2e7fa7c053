"""``install`` and ``uninstall`` against the real API server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.kubeapi import StatusError

DEPLOYMENTS = "deployments.apps"


async def names(lab: Any, resource: str, namespace: str | None = None) -> set[str]:
    return {obj["metadata"]["name"] for obj in (await lab.api.list(resource, namespace)).items}


async def test_demo_profile(lab: Any) -> None:
    start = time.monotonic()
    code, out, err = await lab.istioctl("install", "--set", "profile=demo", "-y")
    assert (code, err) == (0, ""), out + err
    assert out.splitlines()[:2] == ["✔ Istio core installed ⛵️", "✔ Istiod installed 🧠"]
    assert set(out.splitlines()[2:4]) == {"✔ Egress gateways installed 🛫", "✔ Ingress gateways installed 🛬"}
    assert out.splitlines()[4:] == ["✔ Installation complete"]
    assert time.monotonic() - start < 5
    assert await names(lab, DEPLOYMENTS, "istio-system") == {"istiod", "istio-ingressgateway", "istio-egressgateway"}
    crds = (await lab.api.list("customresourcedefinitions.apiextensions.k8s.io")).items
    assert len([crd for crd in crds if crd["spec"]["group"].endswith("istio.io")]) == 15
    ingress = await lab.api.get("services", "istio-ingressgateway", "istio-system")
    assert [(port["port"], port["targetPort"]) for port in ingress["spec"]["ports"]] == [
        (15021, 15021), (80, 8080), (443, 8443), (31400, 31400), (15443, 15443),
    ]  # fmt: skip
    mesh = (await lab.api.get("configmaps", "istio", "istio-system"))["data"]["mesh"]
    assert "accessLogFile: /dev/stdout" in mesh
    # every version of a CRD is served: the module's own example is v1alpha3
    virtual_service = {
        "metadata": {"name": "myapp"},
        "spec": {"hosts": ["myapp"], "http": [{"route": [{"destination": {"host": "myapp"}}]}]},
    }
    alpha = "virtualservices.v1alpha3.networking.istio.io"
    await lab.api.create(
        alpha, {"apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService", **virtual_service}, "default"
    )
    stored = await lab.api.get("virtualservices.networking.istio.io", "myapp", "default")
    assert stored["apiVersion"] == "networking.istio.io/v1"
    with pytest.raises(StatusError, match="Unsupported value"):
        await lab.api.create(
            "destinationrules.networking.istio.io",
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "DestinationRule",
                "metadata": {"name": "bad"},
                "spec": {"host": "a", "trafficPolicy": {"tls": {"mode": "STRICT"}}},
            },
            "default",
        )


async def test_a_second_install_reconciles(lab: Any, tmp_path: Path) -> None:
    code, _, _ = await lab.istioctl("install", "--set", "profile=demo", "-y")
    assert code == 0
    # by hand: a changed and an added setting; by the system: the CA bundle and a node port
    istiod = await lab.api.get(DEPLOYMENTS, "istiod", "istio-system")
    container = istiod["spec"]["template"]["spec"]["containers"][0]
    changed = {**container, "image": "elsewhere/pilot:0.1", "env": [*container["env"], {"name": "MINE", "value": "1"}]}
    template = istiod["spec"]["template"]
    template = {**template, "spec": {**template["spec"], "containers": [changed]}}
    await lab.api.update(DEPLOYMENTS, {**istiod, "spec": {**istiod["spec"], "template": template}})
    node_ports = [
        port.get("nodePort")
        for port in (await lab.api.get("services", "istio-ingressgateway", "istio-system"))["spec"]["ports"]
    ]
    overlay = tmp_path / "iop.yaml"
    overlay.write_text(
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  profile: demo\n"
        "  components:\n    egressGateways:\n    - name: istio-egressgateway\n      enabled: false\n"
        "    pilot:\n      k8s:\n        env:\n        - {name: PILOT_TRACE_SAMPLING, value: '7'}\n"
    )
    code, out, err = await lab.istioctl("install", "-f", str(overlay), "-y")
    assert (code, err) == (0, ""), out + err
    assert "Egress gateways installed" not in out
    assert "istio-egressgateway" not in await names(lab, DEPLOYMENTS, "istio-system")
    assert "istio-egressgateway" not in await names(lab, "services", "istio-system")
    assert "istio-egressgateway-service-account" not in await names(lab, "serviceaccounts", "istio-system")
    istiod = await lab.api.get(DEPLOYMENTS, "istiod", "istio-system")
    container = istiod["spec"]["template"]["spec"]["containers"][0]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["image"] == "registry.istio.io/release/pilot:1.31.0"
    assert env["PILOT_TRACE_SAMPLING"] == "7"
    assert env["MINE"] == "1"  # what somebody else added is theirs
    hook = await lab.api.get("mutatingwebhookconfigurations.admissionregistration.k8s.io", "istio-sidecar-injector")
    assert all(entry["clientConfig"]["caBundle"] == "Y2E=" for entry in hook["webhooks"])
    after = (await lab.api.get("services", "istio-ingressgateway", "istio-system"))["spec"]["ports"]
    assert [port.get("nodePort") for port in after] == node_ports


async def test_a_repeated_install_changes_nothing(lab: Any) -> None:
    await lab.istioctl("install", "--set", "profile=default", "-y")
    before = await lab.api.list(DEPLOYMENTS, "istio-system")
    crd = await lab.api.get("customresourcedefinitions.apiextensions.k8s.io", "virtualservices.networking.istio.io")
    code, _, _ = await lab.istioctl("install", "--set", "profile=default", "-y")
    assert code == 0
    after = await lab.api.list(DEPLOYMENTS, "istio-system")
    versions = [[obj["metadata"]["resourceVersion"] for obj in listing.items] for listing in (before, after)]
    assert versions[0] == versions[1]
    again = await lab.api.get("customresourcedefinitions.apiextensions.k8s.io", "virtualservices.networking.istio.io")
    assert again["metadata"]["resourceVersion"] == crd["metadata"]["resourceVersion"]


async def test_what_is_not_ready_is_named(lab: Any) -> None:
    lab.broken.add("istio-ingressgateway")
    code, out, err = await lab.istioctl("install", "--set", "profile=default", "-y", "--readiness-timeout", "300ms")
    assert code == 1
    assert "✔ Istiod installed" in out
    assert "✘ Ingress gateways encountered an error" in out
    assert "0 of 1 replicas are available" in out
    assert "Deployment/istio-system/istio-ingressgateway not ready" in err


async def test_uninstall_removes_everything(lab: Any) -> None:
    await lab.istioctl("install", "--set", "profile=demo", "-y")
    code, out, _ = await lab.istioctl("uninstall", "--purge", "-y")
    assert code == 0
    assert "  Removed Deployment:istio-system:istiod." in out
    assert out.endswith("✔ Uninstall complete\n")
    assert await names(lab, DEPLOYMENTS, "istio-system") == set()
    assert not [
        name for name in await names(lab, "customresourcedefinitions.apiextensions.k8s.io") if "istio.io" in name
    ]
    code, _, err = await lab.istioctl("uninstall", "--purge", "-y")
    assert code == 1
    assert "not installed" in err


async def test_only_a_lab_is_touched(lab: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    await lab.api.patch("namespaces", "kube-system", {"metadata": {"labels": {"meshlab.dev/lab": None}}})
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = await lab.istioctl("install", "-y")
    assert code == 1
    assert "is not a meshlab cluster" in err
    assert "istio-system" not in await names(lab, "namespaces")


async def test_a_server_that_is_gone(lab: Any, tmp_path: Path) -> None:
    config = tmp_path / "gone"
    config.write_text(lab.kubeconfig.read_text().replace(lab.server.url, "https://127.0.0.1:9"))
    code, _, err = await lab.istioctl("proxy-status", "--kubeconfig", str(config))
    assert code == 1
    assert "cannot be reached" in err
    assert "meshlab up" in err
