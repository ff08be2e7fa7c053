"""Addresses and node ports of Services."""

from __future__ import annotations

import pytest

from meshlab.minicluster.apiserver.local import LocalApi
from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.network.addresses import LabNetwork


def service(name: str, **spec: object) -> Obj:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_every_service_has_an_address_of_its_own(api: LocalApi, network: LabNetwork) -> None:
    first = await api.create("services", service("a"), "default")
    second = await api.create("services", service("b"), "default")
    addresses = {obj["spec"]["clusterIP"] for obj in (first, second)}
    assert len(addresses) == 2 and addresses <= network.cluster_ips.taken
    assert first["spec"]["clusterIPs"] == [first["spec"]["clusterIP"]]
    assert first["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    await api.delete("services", "a", "default")
    assert first["spec"]["clusterIP"] not in network.cluster_ips.taken


async def test_headless_and_external_services_have_none(api: LocalApi, network: LabNetwork) -> None:
    headless = await api.create("services", service("a", clusterIP="None"), "default")
    assert headless["spec"]["clusterIP"] == "None" and headless["spec"]["clusterIPs"] == ["None"]
    external = {"metadata": {"name": "b"}, "spec": {"type": "ExternalName", "externalName": "example.com"}}
    made = await api.create("services", external, "default")
    assert "clusterIP" not in made["spec"] and not network.cluster_ips.taken


async def test_a_wanted_address_must_be_free(api: LocalApi) -> None:
    wanted = await api.create("services", service("a", clusterIP="127.18.64.77"), "default")
    assert wanted["spec"]["clusterIP"] == "127.18.64.77"
    with pytest.raises(StatusError, match="provided IP is already allocated"):
        await api.create("services", service("b", clusterIP="127.18.64.77"), "default")


async def test_a_put_of_the_manifest_keeps_the_address(api: LocalApi) -> None:
    made = await api.create("services", service("a"), "default")
    put = service("a")
    put["metadata"]["namespace"] = "default"
    assert (await api.update("services", put))["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    with pytest.raises(StatusError, match="may not change once set"):
        await api.patch("services", "a", {"spec": {"clusterIP": "127.18.64.200"}}, "default")


async def test_node_ports(api: LocalApi) -> None:
    made = await api.create("services", service("a", type="NodePort"), "default")
    number = made["spec"]["ports"][0]["nodePort"]
    assert 30000 <= number < 32768 and made["spec"]["externalTrafficPolicy"] == "Cluster"
    taken = service("b", type="NodePort", ports=[{"port": 80, "nodePort": number}])
    with pytest.raises(StatusError, match="provided port is already allocated"):
        await api.create("services", taken, "default")
    outside = service("b", type="NodePort", ports=[{"port": 80, "nodePort": 80}])
    with pytest.raises(StatusError, match="not in the valid range"):
        await api.create("services", outside, "default")
    plain = await api.patch("services", "a", {"spec": {"type": "ClusterIP"}}, "default")
    assert "nodePort" not in plain["spec"]["ports"][0] and "externalTrafficPolicy" not in plain["spec"]
    assert (await api.create("services", taken, "default"))["spec"]["ports"][0]["nodePort"] == number


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"ports": []}, "spec.ports: Required value"),
        ({"ports": [{"port": 80}, {"port": 81}]}, "spec.ports[0].name: Required value"),
        ({"ports": [{"port": 70000}]}, "must be between 1 and 65535"),
        ({"type": "Magic"}, 'spec.type: Unsupported value: "Magic"'),
    ],
)
async def test_what_is_refused(api: LocalApi, spec: Obj, words: str) -> None:
    with pytest.raises(StatusError) as caught:
        await api.create("services", service("a", **spec), "default")
    assert caught.value.code == 422 and words in caught.value.message
