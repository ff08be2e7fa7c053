"""`XdsServer` against a real Envoy: splits, refusals, changed clusters, restarts, strangers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshlab.minicluster.mesh.xds.resources import CLUSTER, ENDPOINT, ROUTE
from meshlab.minicluster.mesh.xds.status import sync_state
from meshlab.minicluster.mesh.xds.stream import RESTORED


@pytest.mark.full
async def test_a_weight_change_under_load_loses_no_request(bench: Any, load: Any) -> None:
    await bench.envoy()
    await bench.connection()
    async with load:
        answers = await load.count(1000)
        assert 120 < answers["v2"] < 280
        bench.split.weights = {"v1": 20, "v2": 80}
        await bench.push(1)
        await load.count(8)
        answers = await load.count(1000)
        assert 720 < answers["v2"] < 880
    assert load.failures == []


async def test_versions_come_and_go_under_load_without_a_failure(bench: Any, load: Any) -> None:
    await bench.envoy()
    connection = await bench.connection()
    ports = dict(bench.split.versions)
    async with load:
        for round_number in range(10):
            name = f"v{round_number + 3}"
            bench.split.versions = {name: ports["v1"]}
            bench.split.weights = {name: 100}
            await bench.push()
            await load.count(50)
        assert set(connection.stream.types[CLUSTER].acked) == {"v12"}
    assert load.failures == []


async def test_a_changed_eds_cluster_gets_its_endpoints_again(bench: Any, load: Any) -> None:
    await bench.envoy()
    connection = await bench.connection()
    async with load:
        for timeout in ("2s", "3s", "4s"):
            bench.split.connect_timeout = timeout
            await bench.push(1)
            assert sync_state(connection, CLUSTER) == sync_state(connection, ENDPOINT) == "SYNCED"
        await load.count(100)
    assert load.failures == []


async def test_a_refused_resource_does_not_block_the_others(bench: Any, load: Any) -> None:
    await bench.envoy()
    connection = await bench.connection()
    async with load:
        bench.split.broken_clusters = ("bad-one", "bad-two")
        bench.split.versions = {
            **bench.split.versions,
            "v3": bench.split.versions["v2"],
            "v4": bench.split.versions["v1"],
        }
        bench.split.weights = {"v3": 50, "v4": 50}
        await bench.push()
        assert sync_state(connection, CLUSTER) == "NACK"
        rejected = connection.stream.types[CLUSTER].rejected
        assert set(rejected) == {"bad-one", "bad-two"}
        assert "Expected positive duration" in rejected["bad-one"].detail
        assert {"v3", "v4"} <= set(connection.stream.types[CLUSTER].acked)
        await load.count(8)
        answers = await load.count(300)
        assert answers["v1"] > 80
        assert answers["v2"] > 80
        bench.split.broken_clusters = ()
        await bench.push()
        assert sync_state(connection, CLUSTER) == "SYNCED"
    assert load.failures == []


async def test_a_refused_route_keeps_the_last_good_one_and_its_clusters(bench: Any, load: Any) -> None:
    await bench.envoy()
    connection = await bench.connection()
    versions = dict(bench.split.versions)
    async with load:
        bench.split.versions = {"v9": versions["v2"]}
        bench.split.weights = {"v9": 100}
        bench.split.route_extra = {"request_headers_to_remove": [":path"]}
        await bench.push()
        assert sync_state(connection, ROUTE) == "NACK"
        assert {"v1", "v2", "v9"} <= set(connection.stream.types[CLUSTER].acked)
        await load.count(200)
        bench.split.route_extra = {}
        await bench.push()
        assert sync_state(connection, ROUTE) == "SYNCED"
        assert set(connection.stream.types[CLUSTER].acked) == {"v9"}
        await load.count(8)
        assert {text for text, count in (await load.count(100)).items() if count} == {"v2"}
    assert load.failures == []


async def test_a_restart_of_the_control_plane_is_not_felt(bench: Any, load: Any) -> None:
    await bench.envoy()
    await bench.connection()
    async with load:

        async def while_down() -> None:
            await load.count(300)

        await bench.restart_xds(while_down)
        connection = await bench.connection()
        # The proxy told what it has: nothing was sent again.
        assert connection.stream.types[ROUTE].acked
        assert all(state.sent_nonce in ("", RESTORED) for state in connection.stream.types.values())
        bench.split.weights = {"v2": 100}
        await bench.push(1)
        await load.count(8)
        assert (await load.count(100)).get("v1", 0) == 0
    assert load.failures == []


async def test_a_change_made_while_the_control_plane_was_down_arrives(bench: Any, load: Any) -> None:
    await bench.envoy()
    await bench.connection()
    async with load:

        async def while_down() -> None:
            bench.split = replace(bench.split, versions={"v7": bench.split.versions["v2"]}, weights={"v7": 100})

        await bench.restart_xds(while_down)
        connection = await bench.connection()
        assert set(connection.stream.types[CLUSTER].acked) == {"v7"}
        await load.count(8)
        assert (await load.count(50)).get("v1", 0) == 0
    assert load.failures == []


async def test_strangers_are_refused(bench: Any) -> None:
    await bench.envoy(token="forged")
    await bench.refused(2)
    assert not bench.xds.connections


async def test_a_pod_cannot_pass_for_another(bench: Any) -> None:
    await bench.envoy(node_id="sidecar~127.0.0.1~admin.kube-system~kube-system.svc.cluster.local")
    await bench.refused(1)
    assert not bench.xds.connections
