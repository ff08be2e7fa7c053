from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from meshlab.minicluster.apiserver.printers import table
from meshlab.minicluster.apiserver.resources import Resource, builtin_resources
from meshlab.minicluster.kubeapi import Obj

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CREATED = "2026-01-02T02:58:35Z"
AGE = "5m30s"
RESOURCES = {item.storage: item for item in builtin_resources()}
TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "nginx"}, {"name": "b", "image": "busybox"}]}}
SELECTOR = {"matchLabels": {"app": "web"}}
MAIN = "rbac.authorization.k8s.io"


def cells(storage: str, **fields: Any) -> list[Any]:
    metadata = {"name": "web", "creationTimestamp": CREATED, **fields.pop("metadata", {})}
    result = table(RESOURCES[storage], [{"metadata": metadata, **fields}], now=NOW)
    row: list[Any] = result["rows"][0]["cells"]
    assert len(row) == len(result["columnDefinitions"])
    return row


@pytest.mark.parametrize(
    ("storage", "fields", "expected"),
    [
        ("namespaces", {"status": {"phase": "Active"}}, ["web", "Active", AGE]),
        ("configmaps", {"data": {"a": "1"}, "binaryData": {"b": ""}}, ["web", 2, AGE]),
        ("secrets", {"type": "Opaque", "data": {"a": "", "b": ""}}, ["web", "Opaque", 2, AGE]),
        ("serviceaccounts", {}, ["web", 0, AGE]),
        (
            "apps/deployments",
            {
                "spec": {"replicas": 3, "template": TEMPLATE, "selector": SELECTOR},
                "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1},
            },
            ["web", "1/3", 2, 1, AGE, "a,b", "nginx,busybox", "app=web"],
        ),
        (
            "apps/replicasets",
            {"spec": {"replicas": 3, "template": TEMPLATE, "selector": SELECTOR}, "status": {"replicas": 2}},
            ["web", 3, 2, 0, AGE, "a,b", "nginx,busybox", "app=web"],
        ),
        (
            "apps/statefulsets",
            {"spec": {"replicas": 2, "template": TEMPLATE}, "status": {"readyReplicas": 2}},
            ["web", "2/2", AGE, "a,b", "nginx,busybox"],
        ),
        (
            "apps/daemonsets",
            {"spec": {"template": TEMPLATE, "selector": SELECTOR}, "status": {"desiredNumberScheduled": 1}},
            ["web", 1, 0, 0, 0, 0, "<none>", AGE, "a,b", "nginx,busybox", "app=web"],
        ),
        (
            "batch/jobs",
            {
                "spec": {"completions": 2, "template": TEMPLATE, "selector": SELECTOR},
                "status": {
                    "succeeded": 2,
                    "startTime": "2026-01-02T03:00:00Z",
                    "completionTime": "2026-01-02T03:00:07Z",
                    "conditions": [{"type": "Complete", "status": "True"}],
                },
            },
            ["web", "Complete", "2/2", "7s", AGE, "a,b", "nginx,busybox", "app=web"],
        ),
        (
            "batch/cronjobs",
            {
                "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}},
                "status": {"active": [{}], "lastScheduleTime": "2026-01-02T03:04:00Z"},
            },
            ["web", "* * * * *", "<none>", "False", 1, "5s", AGE, "a,b", "nginx,busybox", "<none>"],
        ),
        (
            "services",
            {
                "spec": {
                    "clusterIP": "127.77.96.1",
                    "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}],
                }
            },
            ["web", "ClusterIP", "127.77.96.1", "<none>", "80:30080/TCP,53/UDP", AGE, "<none>"],
        ),
        (
            "services",
            {"spec": {"type": "LoadBalancer", "clusterIP": "127.77.96.2", "selector": {"a": "b"}}},
            ["web", "LoadBalancer", "127.77.96.2", "<pending>", "<none>", AGE, "a=b"],
        ),
        (
            "services",
            {
                "spec": {"type": "LoadBalancer", "clusterIP": "None"},
                "status": {"loadBalancer": {"ingress": [{"ip": "127.77.200.1"}]}},
            },
            ["web", "LoadBalancer", "None", "127.77.200.1", "<none>", AGE, "<none>"],
        ),
        (
            "services",
            {"spec": {"type": "ExternalName", "externalName": "example.org"}},
            ["web", "ExternalName", "<none>", "example.org", "<none>", AGE, "<none>"],
        ),
        (
            "endpoints",
            {"subsets": [{"addresses": [{"ip": f"10.0.0.{i}"} for i in range(5)], "ports": [{"port": 80}]}]},
            ["web", "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more...", AGE],
        ),
        ("endpoints", {}, ["web", "<none>", AGE]),
        (
            "discovery.k8s.io/endpointslices",
            {"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.1"]}]},
            ["web", "IPv4", "80", "10.0.0.1", AGE],
        ),
        (
            "discovery.k8s.io/endpointslices",
            {"addressType": "IPv4", "endpoints": None},
            ["web", "IPv4", "<unset>", "<unset>", AGE],
        ),
        (
            "networking.k8s.io/ingresses",
            {"spec": {"rules": [{"host": "a.example"}, {"host": "b.example"}], "tls": [{}]}},
            ["web", "<none>", "a.example,b.example", "", "80, 443", AGE],
        ),
        ("networking.k8s.io/networkpolicies", {"spec": {"podSelector": SELECTOR}}, ["web", "app=web", AGE]),
        (
            "nodes",
            {
                "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": "127.77.0.1"}],
                    "nodeInfo": {"kubeletVersion": "v1.37.1"},
                },
            },
            [
                "web",
                "Ready,SchedulingDisabled",
                "control-plane",
                AGE,
                "v1.37.1",
                "127.77.0.1",
                "<none>",
                "<unknown>",
                "<unknown>",
                "<unknown>",
            ],
        ),
        (
            "events",
            {
                "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
                "type": "Warning",
                "reason": "Failed",
                "message": "no such image\n",
                "count": 3,
                "source": {"component": "kubelet", "host": "meshlab"},
                "firstTimestamp": CREATED,
                "lastTimestamp": "2026-01-02T03:04:00Z",
            },
            [
                "5s",
                "Warning",
                "Failed",
                "pod/p",
                "spec.containers{c}",
                "kubelet, meshlab",
                "no such image",
                AGE,
                3,
                "web",
            ],
        ),
        (
            "events",
            {
                "regarding": {"kind": "Pod", "name": "p"},
                "note": "hello",
                "reportingController": "x",
                "eventTime": CREATED,
                "series": {"count": 2, "lastObservedTime": "2026-01-02T03:04:00Z"},
            },
            ["5s", "", "", "pod/p", "", "x", "hello", AGE, 2, "web"],
        ),
        (f"{MAIN}/roles", {}, ["web", CREATED]),
        (
            f"{MAIN}/rolebindings",
            {
                "roleRef": {"kind": "Role", "name": "reader"},
                "subjects": [
                    {"kind": "User", "name": "ann"},
                    {"kind": "ServiceAccount", "name": "sa", "namespace": "ns"},
                ],
            },
            ["web", "Role/reader", AGE, "ann", "", "ns/sa"],
        ),
        ("apiextensions.k8s.io/customresourcedefinitions", {}, ["web", CREATED]),
        ("admissionregistration.k8s.io/mutatingwebhookconfigurations", {"webhooks": [{}, {}]}, ["web", 2, AGE]),
        ("coordination.k8s.io/leases", {"spec": {"holderIdentity": "istiod-1"}}, ["web", "istiod-1", AGE]),
        (
            "policy/poddisruptionbudgets",
            {"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}},
            ["web", "50%", "N/A", 1, AGE],
        ),
        (
            "autoscaling/horizontalpodautoscalers",
            {
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                    "minReplicas": 1,
                    "maxReplicas": 5,
                    "metrics": [
                        {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}
                    ],
                },
                "status": {
                    "currentReplicas": 2,
                    "currentMetrics": [
                        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 20}}}
                    ],
                },
            },
            ["web", "Deployment/web", "cpu: 20%/80%", "1", 5, 2, AGE],
        ),
        (
            "persistentvolumeclaims",
            {"spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}},
            ["web", "Pending", "", "", "", "fast", "<unset>", AGE, "<unset>"],
        ),
        (
            "persistentvolumes",
            {
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "claimRef": {"namespace": "ns", "name": "c"},
                },
                "status": {"phase": "Bound"},
            },
            ["web", "1Gi", "RWO", "Retain", "Bound", "ns/c", "", "<unset>", "", AGE, "<unset>"],
        ),
        (
            "storage.k8s.io/storageclasses",
            {
                "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                "provisioner": "lab",
                "volumeBindingMode": "Immediate",
            },
            ["web (default)", "lab", "Delete", "Immediate", False, AGE],
        ),
        (
            "resourcequotas",
            {"status": {"hard": {"pods": "10", "limits.cpu": "2"}, "used": {"pods": "1"}}},
            ["web", "pods: 1/10", "limits.cpu: 0/2", AGE],
        ),
        (
            "apps/controllerrevisions",
            {
                "metadata": {
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": True}]
                },
                "revision": 2,
            },
            ["web", "daemonset.apps/d", 2, AGE],
        ),
        ("scheduling.k8s.io/priorityclasses", {"value": 10}, ["web", 10, False, AGE, ""]),
        ("podtemplates", {}, ["web", AGE]),
    ],
)
def test_row(storage: str, fields: Obj, expected: list[Any]) -> None:
    assert cells(storage, **fields) == expected


def test_every_printer_copes_with_a_bare_object() -> None:
    for resource in builtin_resources():
        result = table(resource, [{"metadata": {"name": "x"}}], now=NOW)
        assert len(result["rows"][0]["cells"]) == len(result["columnDefinitions"]), resource


def test_what_goes_with_a_row() -> None:
    obj: Obj = {"metadata": {"name": "x"}, "data": {}}
    maps = RESOURCES["configmaps"]
    partial = table(maps, [obj], now=NOW)["rows"][0]["object"]
    assert partial == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "x"}}
    assert table(maps, [obj], now=NOW, include_object="Object")["rows"][0]["object"] is obj
    assert table(maps, [obj], now=NOW, include_object="None")["rows"][0]["object"] is None


def test_metadata_and_headers() -> None:
    result = table(RESOURCES["configmaps"], [], now=NOW, metadata={"resourceVersion": "7"}, headers=False)
    assert result == {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "7"},
        "columnDefinitions": None,
        "rows": [],
    }


GADGETS = Resource("lab.io", "v1", "Gadget", "gadgets", "gadget", True, ("get",), storage="lab.io/gadgets")


def test_columns_of_a_definition() -> None:
    columns: list[Obj] = [
        {"name": "Hosts", "type": "string", "jsonPath": ".spec.hosts"},
        {"name": "Names", "type": "string", "jsonPath": ".spec.http[*].name", "priority": 1},
        {"name": "Weight", "type": "integer", "jsonPath": ".spec.weight", "description": "How much."},
        {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    obj: Obj = {
        "metadata": {"name": "g", "creationTimestamp": CREATED},
        "spec": {"hosts": ["a", "b"], "http": [{"name": "x"}, {"name": "y"}], "weight": 80, "on": True},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    result = table(GADGETS, [obj, {"metadata": {"name": "empty"}}], now=NOW, crd_columns=columns)
    assert [item["name"] for item in result["columnDefinitions"]] == [
        "Name",
        "Hosts",
        "Names",
        "Weight",
        "On",
        "Ready",
        "Age",
    ]
    assert result["columnDefinitions"][2]["priority"] == 1
    assert result["columnDefinitions"][3]["description"] == "How much."
    assert result["rows"][0]["cells"] == ["g", '["a","b"]', "x,y", 80, True, "True", AGE]
    assert result["rows"][1]["cells"] == ["empty", None, None, None, None, None, None]


def test_a_definition_without_columns_shows_an_age() -> None:
    result = table(GADGETS, [{"metadata": {"name": "g", "creationTimestamp": CREATED}}], now=NOW, crd_columns=())
    assert result["rows"][0]["cells"] == ["g", AGE]


def test_values_of_the_wrong_type_are_left_blank() -> None:
    columns: list[Obj] = [
        {"name": "N", "type": "integer", "jsonPath": ".spec.n"},
        {"name": "D", "type": "date", "jsonPath": ".spec.d"},
        {"name": "F", "type": "number", "jsonPath": ".spec.f"},
    ]
    obj: Obj = {"metadata": {"name": "g"}, "spec": {"n": "x", "d": "never", "f": 1}}
    assert table(GADGETS, [obj], now=NOW, crd_columns=columns)["rows"][0]["cells"] == ["g", None, "<invalid>", 1.0]
