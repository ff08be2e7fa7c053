"""What options make of the built-in manifests."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.manifests import istio_crds
from meshlab.minicluster.mesh.istio.manifests.options import OptionsError, resolve
from meshlab.minicluster.mesh.istio.manifests.render import not_applied, render


def rendered(
    *settings: str, revision: str = "", overlays: tuple[Obj, ...] = ()
) -> dict[str, dict[tuple[str, str], Obj]]:
    components = render(resolve(settings, overlays, revision=revision), version="1.0")
    return {
        component.name: {(obj["kind"], obj["metadata"]["name"]): obj for obj in component.objects}
        for component in components
    }


@pytest.mark.parametrize(
    ("profile", "enabled"),
    [
        ("empty", set()),
        ("minimal", {"Base", "Pilot"}),
        ("default", {"Base", "Pilot", "IngressGateways"}),
        ("demo", {"Base", "Pilot", "IngressGateways", "EgressGateways"}),
    ],
)
def test_profiles(profile: str, enabled: set[str]) -> None:
    assert {name for name, objects in rendered(f"profile={profile}").items() if objects} == enabled


def test_every_object_carries_the_owner_labels() -> None:
    for component, objects in rendered("profile=demo").items():
        for obj in objects.values():
            labels = obj["metadata"]["labels"]
            assert labels["operator.istio.io/component"] == component
            assert labels["install.operator.istio.io/owning-resource"] == "installed-state"
            assert labels["istio.io/rev"] == "default"


def test_mesh_config() -> None:
    config = rendered(
        "profile=demo",
        "meshConfig.accessLogEncoding=JSON",
        "spec.meshConfig.defaultConfig.holdApplicationUntilProxyStarts=true",
    )
    mesh = yaml.safe_load(config["Pilot"]["ConfigMap", "istio"]["data"]["mesh"])
    assert mesh["accessLogFile"] == "/dev/stdout"
    assert mesh["accessLogEncoding"] == "JSON"
    assert mesh["defaultConfig"] == {
        "discoveryAddress": "istiod.istio-system.svc:15012",
        "holdApplicationUntilProxyStarts": True,
    }
    assert [provider["name"] for provider in mesh["extensionProviders"]] == [
        "otel",
        "skywalking",
        "otel-tracing",
        "jaeger",
    ]
    assert "accessLogFile" not in yaml.safe_load(rendered()["Pilot"]["ConfigMap", "istio"]["data"]["mesh"])


def test_injection_values_and_selectors() -> None:
    data = rendered(
        "values.global.proxy.logLevel=debug", "values.sidecarInjectorWebhook.enableNamespacesByDefault=true"
    )["Pilot"]
    config_map = data["ConfigMap", "istio-sidecar-injector"]["data"]
    values = json.loads(config_map["values"])
    assert values["global"]["proxy"]["logLevel"] == "debug"
    assert values["global"]["hub"] == "registry.istio.io/release"
    assert yaml.safe_load(config_map["config"])["policy"] == "enabled"
    hooks = data["MutatingWebhookConfiguration", "istio-sidecar-injector"]["webhooks"]
    assert [hook["name"].removesuffix(".sidecar-injector.istio.io") for hook in hooks] == [
        "rev.namespace", "rev.object", "namespace", "object", "auto",
    ]  # fmt: skip
    assert hooks[3]["namespaceSelector"]["matchExpressions"] == [
        {"key": "istio-injection", "operator": "DoesNotExist"},
        {"key": "istio.io/rev", "operator": "DoesNotExist"},
    ]
    assert hooks[3]["objectSelector"]["matchExpressions"] == [
        {"key": "sidecar.istio.io/inject", "operator": "In", "values": ["true"]},
        {"key": "istio.io/rev", "operator": "DoesNotExist"},
    ]


def test_a_revision_stands_beside_the_default() -> None:
    pilot = rendered("profile=minimal", revision="canary")["Pilot"]
    deployment = pilot["Deployment", "istiod-canary"]
    assert deployment["spec"]["selector"]["matchLabels"] == {"app": "istiod", "istio.io/rev": "canary"}
    hooks = pilot["MutatingWebhookConfiguration", "istio-sidecar-injector-canary"]["webhooks"]
    assert len(hooks) == 2
    assert hooks[0]["clientConfig"]["service"]["name"] == "istiod-canary"
    # what names no revision is validated by the default one, which this is not
    assert ("ValidatingWebhookConfiguration", "istiod-default-validator") not in pilot
    chosen = rendered("values.defaultRevision=canary", "profile=minimal", revision="canary")["Pilot"]
    validator = chosen["ValidatingWebhookConfiguration", "istiod-default-validator"]
    assert validator["webhooks"][0]["clientConfig"]["service"]["name"] == "istiod-canary"
    # the gateway's pods must be injected by their own revision
    gateway = rendered("profile=default", revision="canary")["IngressGateways"]["Deployment", "istio-ingressgateway"]
    assert gateway["spec"]["template"]["metadata"]["labels"]["istio.io/rev"] == "canary"


def test_component_settings() -> None:
    overlay: Any = {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "spec": {
            "components": {
                "ingressGateways": [
                    {
                        "name": "istio-ingressgateway",
                        "enabled": True,
                        "k8s": {"replicaCount": 3, "service": {"type": "NodePort", "ports": [{"port": 80}]}},
                    },
                    {"name": "second", "enabled": True, "namespace": "apps", "label": {"istio": "second"}},
                ],
                "pilot": {"k8s": {"env": [{"name": "POD_NAME", "value": "x"}, {"name": "NEW", "value": "1"}]}},
            }
        },
    }
    everything = rendered(overlays=(overlay,))
    gateways = everything["IngressGateways"]
    assert gateways["Deployment", "istio-ingressgateway"]["spec"]["replicas"] == 3
    assert gateways["Service", "istio-ingressgateway"]["spec"]["type"] == "NodePort"
    assert gateways["Service", "istio-ingressgateway"]["spec"]["ports"] == [{"port": 80}]
    assert gateways["Deployment", "second"]["metadata"]["namespace"] == "apps"
    assert gateways["Service", "second"]["spec"]["selector"] == {"app": "second", "istio": "second"}
    env = everything["Pilot"]["Deployment", "istiod"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "POD_NAME", "value": "x"} in env
    assert env[-1] == {"name": "NEW", "value": "1"}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("profile=nope", 'unknown profile "nope"'),
        ("profil=demo", 'unknown field "profil"'),
        ("noequals", "expected key=value"),
        ("components.pilott.enabled=true", 'unknown component "pilott"'),
        ("components.cni.enabled=true", "not available in the lab"),
        ("components.egressGateways[4].enabled=true", "past the end"),
        ("components.egressGateways.enabled=true", "must be a list"),
        ("values.global.proxy=1", "is an object"),
        ("a..b=1", "is not a path"),
        ("values.revision=UPPER", "not a DNS label"),
    ],
)
def test_wrong_options(setting: str, words: str) -> None:
    with pytest.raises(OptionsError) as error:
        resolve([setting])
    assert words in str(error.value)


def test_gateways_by_index_and_by_helm_name() -> None:
    assert not rendered("profile=demo", "components.egressGateways[0].enabled=false")["EgressGateways"]
    assert not rendered("profile=demo", "components.egressGateways[name:istio-egressgateway].enabled=false")[
        "EgressGateways"
    ]
    assert not rendered("values.gateways.istio-ingressgateway.enabled=false")["IngressGateways"]
    assert rendered("values.gateways.istio-egressgateway.enabled=true")["EgressGateways"]


def test_crds() -> None:
    crds = {crd["spec"]["names"]["kind"]: crd["spec"] for crd in istio_crds()}
    assert len(crds) == 15
    served = {kind: [(v["name"], v["storage"]) for v in spec["versions"]] for kind, spec in crds.items()}
    assert served["VirtualService"] == [("v1", True), ("v1alpha3", False), ("v1beta1", False)]
    assert served["EnvoyFilter"] == [("v1alpha3", True)]
    assert served["ProxyConfig"] == [("v1beta1", True)]
    assert served["Telemetry"] == [("v1", False), ("v1alpha1", True)]
    assert crds["PeerAuthentication"]["names"]["shortNames"] == ["pa"]
    spec = crds["PeerAuthentication"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert spec["x-kubernetes-validations"][0]["message"] == "portLevelMtls requires selector"
    assert spec["properties"]["mtls"]["properties"]["mode"]["enum"] == ["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]
    for spec in crds.values():
        for version in spec["versions"]:
            assert version["subresources"] == {"status": {}}
            schema = version["schema"]["openAPIV3Schema"]
            assert schema["properties"]["status"]["x-kubernetes-preserve-unknown-fields"] is True


def test_what_is_accepted_and_not_applied_is_named() -> None:
    overlay = {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "spec": {
            "components": {
                "pilot": {"k8s": {"overlays": [], "env": []}},
                "ingressGateways": [{"name": "istio-ingressgateway", "enabled": True, "k8s": {"hpaSpec": {}}}],
            }
        },
    }
    assert not_applied(resolve((), (overlay,))) == [
        "components.pilot.k8s.overlays",
        "components.ingressGateways.[name:istio-ingressgateway].k8s.hpaSpec",
    ]
    assert not_applied(resolve(("profile=demo",))) == []
