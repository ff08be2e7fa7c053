"""Discovery selectors: what istiod does not take notice of."""

from __future__ import annotations

import pytest

from meshlab.minicluster.kubeapi import Obj
from tests.fakes.istio_world import World

ENABLED = {"matchLabels": {"istio-discovery": "enabled"}}


@pytest.mark.parametrize(
    ("selectors", "hosts"),
    [
        ([], {"a", "b", "c"}),
        ([ENABLED], {"a"}),
        ([ENABLED, {"matchExpressions": [{"key": "team", "operator": "In", "values": ["x"]}]}], {"a", "b"}),
        ([{"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}], {"a", "c"}),
        ([{}], {"a", "b", "c"}),
    ],
)
def test_services_of_other_namespaces_do_not_exist(selectors: list[Obj], hosts: set[str]) -> None:
    world = World()
    for name, labels in (("a", {"istio-discovery": "enabled"}), ("b", {"team": "x"}), ("c", {})):
        world.add({"kind": "Namespace", "metadata": {"name": name, "namespace": "", "labels": labels}})
        world.service("web", {"app": "web"}, [{"name": "http", "port": 80}], namespace=name)
    world.mesh_config = {"discoverySelectors": selectors}
    assert {service.namespace for service in world.mesh().services} == hosts
