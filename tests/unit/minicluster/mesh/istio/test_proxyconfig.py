"""ProxyConfigs, laid over each other for one pod."""

from __future__ import annotations

from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.inject import inject
from meshlab.minicluster.mesh.istio.inject_decision import InjectionConfig
from meshlab.minicluster.mesh.istio.proxyconfig import with_proxy_configs


def proxy_config(name: str, namespace: str, labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    if labels:
        spec["selector"] = {"matchLabels": labels}
    return {"metadata": {"name": name, "namespace": namespace, "creationTimestamp": name}, "spec": spec}


CONFIGS = [
    proxy_config("a", "istio-system", concurrency=2, environmentVariables={"A": "mesh", "B": "mesh"}),
    proxy_config("b", "shop", environmentVariables={"B": "namespace"}),
    proxy_config("c", "shop", {"app": "web"}, image={"imageType": "distroless"}, concurrency=0),
    proxy_config("d", "shop", {"app": "web"}, concurrency=9),
    proxy_config("e", "other", concurrency=7),
]


def test_narrower_ones_win_and_the_oldest_of_a_level_counts() -> None:
    config = with_proxy_configs(InjectionConfig(), CONFIGS, "shop", {"app": "web"}, "istio-system")
    assert config.mesh_config["defaultConfig"] == {
        "concurrency": 0,
        "proxyMetadata": {"A": "mesh", "B": "namespace"},
        "image": {"imageType": "distroless"},
    }
    unchanged = InjectionConfig()
    assert with_proxy_configs(unchanged, CONFIGS[4:], "shop", {}, "istio-system") is unchanged


def test_an_injected_proxy_shows_it() -> None:
    config = with_proxy_configs(InjectionConfig(), CONFIGS, "shop", {"app": "web"}, "istio-system")
    pod: Obj = {
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": "x"}]},
    }
    injected = inject(pod, {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}, config)
    assert isinstance(injected, dict)
    (proxy,) = injected["spec"]["initContainers"]
    assert proxy["image"].endswith("-distroless")
    assert {"name": "B", "value": "namespace"} in proxy["env"]
