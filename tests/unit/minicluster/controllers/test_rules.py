"""The pure rules: hashes, selectors, scheduling, backends, slices, deletion order, schedules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from meshlab.minicluster.controllers.backends import endpoint_ports, target_port
from meshlab.minicluster.controllers.cronjob import Schedule
from meshlab.minicluster.controllers.endpoints import subsets
from meshlab.minicluster.controllers.endpointslice import MAX_ENDPOINTS, plan
from meshlab.minicluster.controllers.hashing import SAFE_LETTERS, template_hash
from meshlab.minicluster.controllers.job import index_ranges
from meshlab.minicluster.controllers.pods import first_to_delete
from meshlab.minicluster.controllers.scheduler import explain, obstacle
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.labels import selects


def pod(name: str, *, ip: str = "127.9.1.1", ready: bool = True, **fields: Any) -> Obj:
    conditions = [
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ]
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "labels": {"app": "web"},
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    container = {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}
    return {
        "metadata": metadata | fields.pop("metadata", {}),
        "spec": {"nodeName": "meshlab", "containers": [container]} | fields.pop("spec", {}),
        "status": {"phase": "Running", "podIP": ip, "conditions": conditions} | fields.pop("status", {}),
    }


def service(**spec: Any) -> Obj:
    ports = [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    metadata = {"name": "web", "namespace": "default", "uid": "svc"}
    return {
        "metadata": metadata,
        "spec": {"selector": {"app": "web"}, "ports": ports, "clusterIP": "127.9.64.2"} | spec,
    }


def planned(svc: Obj, pods: list[Obj], existing: list[Obj]) -> Any:
    return plan(svc, pods, existing, zone_of=lambda _: "", now=0.0)


def named(slices: list[Obj]) -> list[Obj]:
    return [{**s, "metadata": {**s["metadata"], "name": f"web-{i}"}} for i, s in enumerate(slices)]


def test_a_template_hash_is_stable_safe_and_ignores_what_is_empty() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}
    with_empty = {"spec": {"containers": [{"name": "c", "env": []}], "x": None}, "metadata": {"labels": {"a": "b"}}}
    hash_ = template_hash(template)
    assert len(hash_) == 10
    assert set(hash_) <= set(SAFE_LETTERS)
    assert template_hash(with_empty) == hash_
    assert template_hash(template, 1) != hash_


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"key": "a", "operator": "In", "values": ["1", "2"]}, True),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, False),
        ({"key": "b", "operator": "NotIn", "values": ["1"]}, True),
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "a", "operator": "DoesNotExist"}, False),
    ],
)
def test_label_selectors(expression: Obj, expected: bool) -> None:
    assert selects({"matchExpressions": [expression]}, {"a": "1"}) is expected


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert not selects(None, {})
    assert selects({}, {"a": "1"})


@pytest.mark.parametrize(
    ("spec", "node_spec", "why"),
    [
        ({}, {}, ""),
        ({"nodeSelector": {"disk": "ssd"}}, {}, "node(s) didn't match Pod's node affinity/selector"),
        ({"nodeSelector": {"zone": "a"}}, {}, ""),
        ({}, {"unschedulable": True}, "node(s) were unschedulable"),
        ({}, {"taints": [{"key": "k", "effect": "NoSchedule"}]}, "node(s) had untolerated taint(s)"),
        ({}, {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}, ""),
        ({"tolerations": [{"operator": "Exists"}]}, {"taints": [{"key": "k", "effect": "NoSchedule"}]}, ""),
        (
            {"tolerations": [{"key": "k", "value": "w"}]},
            {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]},
            "node(s) had untolerated taint(s)",
        ),
    ],
)
def test_what_keeps_a_pod_off_a_node(spec: Obj, node_spec: Obj, why: str) -> None:
    node = {"metadata": {"name": "meshlab", "labels": {"zone": "a"}}, "spec": node_spec}
    assert obstacle({"spec": spec}, node) == why


def test_failed_scheduling_reads_as_upstream() -> None:
    assert explain([]) == "no nodes available to schedule pods"
    assert explain(["node(s) were unschedulable"]) == (
        "0/1 nodes are available: 1 node(s) were unschedulable. no new claims to deallocate, "
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


def test_a_named_target_port_is_looked_up_in_containers_and_sidecars() -> None:
    port = {"port": 80, "targetPort": "metrics"}
    sidecar = {"name": "s", "restartPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 9090}]}
    init = {"name": "i", "ports": [{"name": "http", "containerPort": 1}]}
    assert target_port(port, pod("a", spec={"initContainers": [init, sidecar]})) == 9090
    assert target_port({"port": 80, "targetPort": "http"}, pod("a", spec={"initContainers": [init]})) == 8080
    assert target_port({"port": 80, "targetPort": "none"}, pod("a")) is None
    assert target_port({"port": 80}, pod("a")) == 80


def test_no_pods_give_an_empty_slice_that_pods_replace() -> None:
    first = planned(service(), [], [])
    [placeholder] = named(first.create)
    assert (placeholder["endpoints"], placeholder["ports"]) == ([], [])
    again = planned(service(), [], [placeholder])
    assert not (again.create or again.update or again.delete)
    grown = planned(service(), [pod("a")], [placeholder])
    assert grown.delete == [placeholder]
    assert grown.create[0]["endpoints"][0]["conditions"] == {"ready": True, "serving": True, "terminating": False}


def test_one_changed_pod_changes_one_slice() -> None:
    pods = [pod(f"p{i:03}", ip=f"127.9.{1 + i // 200}.{1 + i % 200}") for i in range(250)]
    slices = named(planned(service(), pods, []).create)
    assert [len(s["endpoints"]) for s in slices] == [MAX_ENDPOINTS, MAX_ENDPOINTS, 50]
    pods[3] = pod("p003", ip="127.9.1.4", ready=False)
    changed = planned(service(), pods, slices)
    assert not changed.create
    assert not changed.delete
    [update] = changed.update
    assert update["metadata"]["name"] == "web-0"
    emptied = planned(service(), pods[:100], slices)
    assert sorted(s["metadata"]["name"] for s in emptied.delete) == ["web-1", "web-2"]


def test_a_terminating_pod_serves_but_is_not_ready() -> None:
    dying = pod("a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    [made] = planned(service(), [dying], []).create
    assert made["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}
    [made] = planned(service(publishNotReadyAddresses=True), [pod("b", ready=False)], []).create
    assert made["endpoints"][0]["conditions"]["ready"] is True


def test_pods_with_other_port_numbers_get_slices_of_their_own() -> None:
    other = pod("b", spec={"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 9000}]}]})
    made = planned(service(), [pod("a"), other], []).create
    assert sorted(s["ports"][0]["port"] for s in made) == [8080, 9000]
    assert endpoint_ports(service(), other) != endpoint_ports(service(), pod("a"))


def test_a_headless_service_names_its_hosts() -> None:
    host = pod("web-0", spec={"hostname": "web-0", "subdomain": "web"})
    [made] = planned(service(clusterIP="None"), [host], []).create
    assert made["endpoints"][0]["hostname"] == "web-0"
    assert made["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


def test_endpoints_split_ready_from_not_ready() -> None:
    pods = [pod("b", ip="127.9.1.10"), pod("a", ip="127.9.1.9"), pod("c", ip="127.9.1.3", ready=False)]
    [subset] = subsets(service(), pods)
    assert [a["ip"] for a in subset["addresses"]] == ["127.9.1.9", "127.9.1.10"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["127.9.1.3"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert subsets(service(), [pod("d", metadata={"deletionTimestamp": "x"})]) == []


def test_which_pods_a_shrinking_replicaset_gives_up() -> None:
    now = 1767300000.0  # 2026-01-01T20:40:00Z
    cheap = pod("cheap", metadata={"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}})
    restarted = pod("restarted", status={"containerStatuses": [{"restartCount": 3}]})
    pending = pod("pending", ready=False, status={"phase": "Pending"})
    unassigned = pod("unassigned", ready=False, spec={"nodeName": ""}, status={"phase": "Pending"})
    unready = pod("unready", ready=False)
    plain = pod("plain")
    pods = [plain, restarted, cheap, unready, pending, unassigned]
    order = [p["metadata"]["name"] for p in first_to_delete(pods, 6, now)]
    assert order == ["unassigned", "pending", "unready", "cheap", "restarted", "plain"]


def test_newer_pods_go_before_older_ones() -> None:
    now = 1767300000.0
    old, new = pod("old", ready=False), pod("new", ready=False)
    new["metadata"]["creationTimestamp"] = "2026-01-01T20:39:00Z"
    assert first_to_delete([old, new], 1, now) == [new]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/15 * * * *", ["2026-01-01T10:15", "2026-01-01T10:30"]),
        ("0 0 1 jan *", ["2027-01-01T00:00", "2028-01-01T00:00"]),
        ("30 9 * * mon-fri", ["2026-01-02T09:30", "2026-01-05T09:30"]),
        ("0 12 13 * 5", ["2026-01-02T12:00", "2026-01-09T12:00"]),
        ("@daily", ["2026-01-02T00:00", "2026-01-03T00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00"]),
    ],
)
def test_cron_expressions(expression: str, expected: list[str]) -> None:
    times = Schedule.parse(expression).after(datetime(2026, 1, 1, 10, 0, tzinfo=UTC))
    assert [next(times).strftime("%Y-%m-%dT%H:%M") for _ in expected] == expected


@pytest.mark.parametrize("expression", ["", "* * * *", "60 * * * *", "a * * * *", "*/0 * * * *", "5-1 * * * *"])
def test_what_is_no_cron_expression(expression: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Schedule.parse(expression)


def test_completed_indexes_are_written_as_ranges() -> None:
    assert index_ranges({0, 1, 2, 4, 6, 7}) == "0-2,4,6-7"
    assert index_ranges(set()) == ""
