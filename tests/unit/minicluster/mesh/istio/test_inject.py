"""Injection: upstream's decision table row by row, and what is added to a pod."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshlab.minicluster.apiserver.patch.json_patch import json_patch as apply_json_patch
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.inject import (
    InjectionConfig,
    Refusal,
    UnknownTemplate,
    accept,
    decide,
    inject,
    json_patch,
    skip_warning,
)

INJECT = "sidecar.istio.io/inject"
ENABLED = {"istio-injection": "enabled"}
CANARY = InjectionConfig(revision="canary")
EVERYWHERE = InjectionConfig(values={"sidecarInjectorWebhook": {"enableNamespacesByDefault": True}})


def namespace(labels: dict[str, str] | None = None, name: str = "shop") -> Obj:
    return {"metadata": {"name": name, "labels": labels or {}}}


def pod(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "metadata": {"name": "web", "labels": labels or {}, "annotations": annotations or {}},
        "spec": {"containers": [{"name": "web", "image": "nginx"}], **spec},
    }


def injected(given: Obj, config: InjectionConfig | None = None, labels: dict[str, str] | None = None) -> Obj:
    result = inject(given, namespace(ENABLED if labels is None else labels), config or InjectionConfig())
    assert not isinstance(result, Refusal), result.reason
    return result


@pytest.mark.parametrize(
    ("ns", "label", "annotation", "expected"),
    [
        (ENABLED, None, None, True),
        (ENABLED, None, "false", False),
        (ENABLED, "false", None, False),
        (ENABLED, "false", "true", False),
        (ENABLED, "true", "false", True),
        (ENABLED, "yes", None, True),
        ({"istio-injection": "disabled"}, None, None, False),
        ({"istio-injection": "disabled"}, "true", None, False),
        ({}, "true", None, True),
        ({}, None, "true", False),
        ({}, None, None, False),
        ({"istio-injection": "enabled", "istio.io/rev": "canary"}, None, None, True),
        ({"istio.io/rev": "default"}, None, None, True),
        ({"istio.io/rev": "canary"}, None, None, False),
        ({"istio.io/rev": "canary"}, "true", None, False),
    ],
)
def test_the_default_revision_decides_as_upstream(
    ns: dict[str, str], label: str | None, annotation: str | None, expected: bool
) -> None:
    given = pod({INJECT: label} if label else {}, {INJECT: annotation} if annotation else {})
    assert decide(given, namespace(ns), InjectionConfig()).inject is expected


@pytest.mark.parametrize(
    ("ns", "labels", "webhook"),
    [
        ({"istio.io/rev": "canary"}, {}, "rev.namespace"),
        ({"istio.io/rev": "canary"}, {INJECT: "false"}, ""),
        ({"istio.io/rev": "canary", "istio-injection": "enabled"}, {}, ""),
        ({}, {"istio.io/rev": "canary"}, "rev.object"),
        ({}, {"istio.io/rev": "canary", INJECT: "false"}, ""),
        ({}, {INJECT: "true"}, ""),
        (ENABLED, {}, ""),
        ({"istio.io/rev": "other"}, {"istio.io/rev": "canary"}, ""),
    ],
)
def test_another_revision_takes_only_what_names_it(ns: dict[str, str], labels: dict[str, str], webhook: str) -> None:
    decision = decide(pod(labels), namespace(ns), CANARY)
    assert decision.webhook == webhook
    assert decision.inject is bool(webhook)


@pytest.mark.parametrize(
    ("ns", "name", "labels", "expected"),
    [
        ({}, "shop", {}, True),
        ({}, "kube-system", {}, False),
        ({}, "shop", {INJECT: "false"}, False),
        ({}, "shop", {"istio.io/rev": "canary"}, False),
        ({"istio-injection": "disabled"}, "shop", {}, False),
    ],
)
def test_every_namespace_when_the_installation_says_so(
    ns: dict[str, str], name: str, labels: dict[str, str], expected: bool
) -> None:
    assert decide(pod(labels), namespace(ns, name), EVERYWHERE).inject is expected


@pytest.mark.parametrize("name", ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"])
def test_system_namespaces_are_never_injected(name: str) -> None:
    assert not decide(pod({INJECT: "true"}), namespace(ENABLED, name), InjectionConfig()).inject


def test_host_network_is_never_injected() -> None:
    given = pod({INJECT: "true"}, hostNetwork=True)
    assert not decide(given, namespace(ENABLED), InjectionConfig()).inject
    refusal = inject(given, namespace(ENABLED), InjectionConfig())
    assert isinstance(refusal, Refusal)
    expected = '===> Skipping injection because Deployment "shop/web" has host networking enabled'
    assert skip_warning(given, refusal, kind="Deployment", name="web", namespace="shop") == expected


@pytest.mark.parametrize(
    ("config", "labels", "expected"),
    [
        (InjectionConfig(policy="disabled"), {}, False),
        (InjectionConfig(policy="disabled"), {INJECT: "true"}, True),
        (InjectionConfig(never_inject=[{"matchLabels": {"job": "yes"}}]), {"job": "yes"}, False),
        (InjectionConfig(never_inject=[{"matchLabels": {"job": "yes"}}]), {"job": "yes", INJECT: "true"}, True),
        (InjectionConfig(never_inject=[{}]), {}, True),
        (
            InjectionConfig(
                policy="disabled", always_inject=[{"matchExpressions": [{"key": "mesh", "operator": "Exists"}]}]
            ),
            {"mesh": ""},
            True,
        ),
        (
            InjectionConfig(never_inject=[{"matchLabels": {"a": "b"}}], always_inject=[{"matchLabels": {"a": "b"}}]),
            {"a": "b"},
            False,
        ),
    ],
)
def test_policy_and_selectors(config: InjectionConfig, labels: dict[str, str], expected: bool) -> None:
    assert accept(pod(labels), "shop", config).inject is expected


def test_the_proxy_is_a_native_sidecar() -> None:
    given = pod(initContainers=[{"name": "prepare", "image": "busybox"}])
    result = injected(given)
    proxy, prepare = result["spec"]["initContainers"]
    assert (proxy["name"], proxy["restartPolicy"], prepare["name"]) == ("istio-proxy", "Always", "prepare")
    assert proxy["image"] == "registry.istio.io/release/proxyv2:1.31.0"
    assert proxy["args"][:4] == ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local"]
    assert [container["name"] for container in result["spec"]["containers"]] == ["web"]
    for probe in ("readinessProbe", "startupProbe"):
        assert proxy[probe]["httpGet"] == {"path": "/healthz/ready", "port": 15021}
    names = {volume["name"] for volume in result["spec"]["volumes"]}
    assert {mount["name"] for mount in proxy["volumeMounts"]} == names
    status = json.loads(result["metadata"]["annotations"]["sidecar.istio.io/status"])
    assert status["initContainers"] == ["istio-proxy"]
    assert status["containers"] is None
    assert set(status["volumes"]) == names
    assert status["revision"] == "default"
    assert given == pod(initContainers=[{"name": "prepare", "image": "busybox"}]), "the pod given was changed"


def test_the_old_form_on_request() -> None:
    result = injected(pod(annotations={"sidecar.istio.io/nativeSidecar": "false"}))
    assert [container["name"] for container in result["spec"]["containers"]] == ["web", "istio-proxy"]
    assert "restartPolicy" not in result["spec"]["containers"][1]
    hold = {"sidecar.istio.io/nativeSidecar": "false", "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"}
    result = injected(pod(annotations=hold))
    first = result["spec"]["containers"][0]
    assert first["name"] == "istio-proxy"
    assert first["lifecycle"] == {"postStart": {"exec": {"command": ["pilot-agent", "wait"]}}}


def test_labels_and_annotations() -> None:
    result = injected(pod({"app": "web", "version": "v2"}, {"prometheus.io/port": "9090"}))["metadata"]
    assert result["labels"] == {
        "app": "web",
        "version": "v2",
        "security.istio.io/tlsMode": "istio",
        "service.istio.io/canonical-name": "web",
        "service.istio.io/canonical-revision": "v2",
    }
    annotations = result["annotations"]
    assert annotations["istio.io/rev"] == "default"
    assert annotations["kubectl.kubernetes.io/default-container"] == "web"
    assert annotations["prometheus.io/port"] == "15020"
    assert annotations["prometheus.io/path"] == "/stats/prometheus"


def environment(container: Obj) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}


def test_a_deployments_pod_knows_its_workload() -> None:
    given = pod({"pod-template-hash": "5d4f"})
    given["metadata"] |= {"name": "", "generateName": "web-5d4f-"}
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "controller": True}
    given["metadata"]["ownerReferences"] = [reference]
    result = injected(given)
    values = environment(result["spec"]["initContainers"][0])
    assert values["ISTIO_META_WORKLOAD_NAME"] == "web"
    assert values["ISTIO_META_OWNER"] == "kubernetes://apis/apps/v1/namespaces/shop/deployments/web"
    assert result["metadata"]["labels"]["service.istio.io/canonical-name"] == "web"


def test_a_bare_pod_is_its_own_workload() -> None:
    values = environment(injected(pod())["spec"]["initContainers"][0])
    assert values["ISTIO_META_OWNER"] == "kubernetes://api/v1/namespaces/shop/pods/web"
    assert values["ISTIO_META_APP_CONTAINERS"] == "web"


def test_a_pods_annotations_override_the_installation() -> None:
    config = InjectionConfig(values={"global": {"proxy": {"resources": {"requests": {"cpu": "10m"}}}}})
    assert injected(pod(), config)["spec"]["initContainers"][0]["resources"] == {"requests": {"cpu": "10m"}}
    wanted = {
        "sidecar.istio.io/proxyCPU": "50m",
        "sidecar.istio.io/proxyMemoryLimit": "1Gi",
        "sidecar.istio.io/proxyImage": "example.com/proxy:1",
        "sidecar.istio.io/logLevel": "debug",
    }
    proxy = injected(pod(annotations=wanted), config)["spec"]["initContainers"][0]
    assert proxy["resources"] == {"requests": {"cpu": "50m"}, "limits": {"memory": "1Gi"}}
    assert proxy["image"] == "example.com/proxy:1"
    assert "--proxyLogLevel=debug" in proxy["args"]


def test_a_gateway_fills_its_own_container() -> None:
    given = pod({INJECT: "true"}, {"inject.istio.io/templates": "gateway"})
    ports = [{"containerPort": 8080, "protocol": "TCP"}]
    given["spec"]["containers"] = [{"name": "istio-proxy", "image": "auto", "ports": ports, "resources": {"x": "y"}}]
    result = injected(given, labels={})
    (proxy,) = result["spec"]["containers"]
    assert "initContainers" not in result["spec"]
    assert proxy["image"].endswith("/proxyv2:1.31.0")
    assert proxy["args"][1] == "router"
    assert {port["containerPort"] for port in proxy["ports"]} == {8080, 15090}
    assert proxy["resources"]["x"] == "y"
    status = json.loads(result["metadata"]["annotations"]["sidecar.istio.io/status"])
    assert status["containers"] == ["istio-proxy"]


def test_an_unknown_template_is_an_error() -> None:
    with pytest.raises(UnknownTemplate, match="waypoint"):
        inject(pod(annotations={"inject.istio.io/templates": "waypoint"}), namespace(ENABLED), InjectionConfig())


def test_injecting_twice_changes_nothing() -> None:
    once = injected(pod())
    refusal = inject(once, namespace(ENABLED), InjectionConfig())
    assert isinstance(refusal, Refusal)
    assert refusal.injected_already
    expected = '===> Skipping injection because "web" has injected "istio-proxy" sidecar already'
    assert skip_warning(once, refusal, name="web") == expected


@pytest.mark.parametrize("given", [pod(), pod(initContainers=[{"name": "i"}], volumes=[{"name": "v"}])])
def test_the_patch_makes_the_injected_pod(given: Obj) -> None:
    after = injected(given)
    assert apply_json_patch(given, json_patch(given, after)) == after


def test_configuration_from_config_maps() -> None:
    values = json.dumps({"revision": "", "global": {"hub": "example.com", "tag": "9"}})
    injector = {"data": {"config": "policy: disabled\ndefaultTemplates: [sidecar]\n", "values": values}}
    config = InjectionConfig.from_config_maps(injector, {"data": {"mesh": "trustDomain: lab"}})
    assert (config.policy, config.revision, config.mesh_config) == ("disabled", "default", {"trustDomain": "lab"})
    proxy = injected(pod({INJECT: "true"}), config)["spec"]["initContainers"][0]
    assert proxy["image"] == "example.com/proxyv2:9"
    assert environment(proxy)["TRUST_DOMAIN"] == "lab"
    with pytest.raises(ValueError, match="not valid YAML"):
        InjectionConfig.from_config_maps({"data": {"config": "a: [", "values": ""}})


@pytest.mark.parametrize(
    ("mesh", "annotations", "merged"),
    [
        ({}, {"prometheus.io/scrape": "true", "prometheus.io/port": "9090"}, {"scrape": "true", "port": "9090"}),
        ({}, {"prometheus.io/port": "9090"}, {"port": "9090"}),
        ({}, {"prometheus.io/scrape": "false", "prometheus.io/port": "9090"}, None),
        ({}, {"prometheus.io/port": "9090", "prometheus.istio.io/merge-metrics": "false"}, None),
        ({"enablePrometheusMerge": False}, {"prometheus.io/port": "9090"}, None),
        (
            {"enablePrometheusMerge": False},
            {"prometheus.io/port": "9090", "prometheus.istio.io/merge-metrics": "true"},
            {"port": "9090"},
        ),
    ],
)
def test_the_programs_metrics_are_merged_unless_pod_or_mesh_say_no(
    mesh: Obj, annotations: dict[str, str], merged: dict[str, str] | None
) -> None:
    result = injected(pod(annotations=annotations), InjectionConfig(mesh_config=mesh))
    told = environment(result["spec"]["initContainers"][0]).get("ISTIO_PROMETHEUS_ANNOTATIONS")
    assert (json.loads(told) if told else None) == merged
    assert (result["metadata"]["annotations"].get("prometheus.io/port") == "15020") == (merged is not None)


def probed(*, annotations: dict[str, str] | None = None) -> Obj:
    """A pod with one probe of each kind, and a command."""
    http = {"httpGet": {"path": "/foo", "port": "web", "scheme": "HTTPS"}, "timeoutSeconds": 2, "periodSeconds": 5}
    web = {
        "name": "web",
        "image": "nginx",
        "ports": [{"name": "web", "containerPort": 8443}],
        "livenessProbe": http,
        "readinessProbe": {"tcpSocket": {"port": 8001}},
        "startupProbe": {"grpc": {"port": 9000}},
    }
    other = {"name": "b", "image": "busybox", "livenessProbe": {"exec": {"command": ["true"]}}}
    return pod(annotations=annotations, containers=[web, other])


def test_probes_go_to_the_agent_which_knows_what_was_asked() -> None:
    spec = injected(probed())["spec"]
    web, other = spec["containers"]
    assert web["livenessProbe"] == {
        "timeoutSeconds": 2,
        "periodSeconds": 5,
        "httpGet": {"path": "/app-health/web/livez", "port": 15020, "scheme": "HTTP"},
    }
    assert web["readinessProbe"]["httpGet"]["path"] == "/app-health/web/readyz"
    assert web["startupProbe"]["httpGet"]["path"] == "/app-health/web/startupz"
    assert other["livenessProbe"] == {"exec": {"command": ["true"]}}
    (value,) = [v["value"] for v in spec["initContainers"][0]["env"] if v["name"] == "ISTIO_KUBE_APP_PROBERS"]
    assert json.loads(value) == {
        "/app-health/web/livez": {"httpGet": {"path": "/foo", "port": 8443, "scheme": "HTTPS"}, "timeoutSeconds": 2},
        "/app-health/web/readyz": {"tcpSocket": {"port": 8001}},
        "/app-health/web/startupz": {"grpc": {"port": 9000}},
    }


@pytest.mark.parametrize(
    ("annotation", "installed", "rewritten"),
    [(None, True, True), ("false", True, False), ("true", False, True), (None, False, False), ("maybe", True, True)],
)
def test_who_wants_no_rewriting_says_so(annotation: str | None, installed: bool, rewritten: bool) -> None:
    annotations = {"sidecar.istio.io/rewriteAppHTTPProbers": annotation} if annotation else None
    config = InjectionConfig(values={"sidecarInjectorWebhook": {"rewriteAppHTTPProbe": installed}})
    web = injected(probed(annotations=annotations), config)["spec"]["containers"][0]
    assert (web["livenessProbe"]["httpGet"]["port"] == 15020) == rewritten


CUSTOM = """
metadata: {labels: {team: a}}
spec:
  dnsPolicy: Default
  containers:
  - name: istio-proxy
    env: [{name: GREETING, value: hello-world}]
  - name: web
    env: [{name: BESIDE, value: "1"}]
"""


def with_template(text: str) -> InjectionConfig:
    return InjectionConfig(templates={"custom": text})


def test_a_template_of_ones_own_is_laid_over_the_pod() -> None:
    before = pod(annotations={"inject.istio.io/templates": "sidecar,custom"})
    after = injected(before, with_template(CUSTOM))
    (proxy,) = after["spec"]["initContainers"]
    assert {"name": "GREETING", "value": "hello-world"} in proxy["env"]
    assert any(variable["name"] == "POD_NAME" for variable in proxy["env"])
    assert [(c["name"], c.get("env")) for c in after["spec"]["containers"]] == [
        ("web", [{"name": "BESIDE", "value": "1"}])
    ]
    assert after["metadata"]["labels"]["team"] == "a"
    assert apply_json_patch(before, json_patch(before, after))["spec"] == after["spec"]


@pytest.mark.parametrize("text", ["spec: {{ .Values }}", "spec: [", "just words"])
def test_a_template_that_cannot_be_applied_says_why(text: str) -> None:
    with pytest.raises(UnknownTemplate, match="custom"):
        injected(pod(annotations={"inject.istio.io/templates": "custom"}), with_template(text))


def test_annotations_give_the_proxy_volumes_and_a_piece_of_bootstrap() -> None:
    annotations = {
        "sidecar.istio.io/userVolume": '{"certs":{"secret":{"secretName":"c","optional":true}}}',
        "sidecar.istio.io/userVolumeMount": '{"certs":{"mountPath":"/etc/certs","readOnly":true}}',
        "sidecar.istio.io/bootstrapOverride": "custom",
    }
    spec = injected(pod(annotations=annotations))["spec"]
    (proxy,) = spec["initContainers"]
    assert {"name": "certs", "secret": {"secretName": "c", "optional": True}} in spec["volumes"]
    assert {"name": "certs", "mountPath": "/etc/certs", "readOnly": True} in proxy["volumeMounts"]
    assert {"name": "custom-bootstrap-volume", "configMap": {"name": "custom"}} in spec["volumes"]
    variable = {"name": "ISTIO_BOOTSTRAP_OVERRIDE", "value": "/etc/istio/custom-bootstrap/custom_bootstrap.json"}
    assert variable in proxy["env"]


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}'])
def test_a_volume_that_is_none_keeps_the_pod_out(text: str) -> None:
    with pytest.raises(ValueError, match=r"userVolume|Expecting"):
        injected(pod(annotations={"sidecar.istio.io/userVolume": text}))
