from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshlab.minicluster.controllers.deployment import arithmetic as a
from meshlab.minicluster.controllers.deployment.status import counted_status, rollout_status
from meshlab.minicluster.kubeapi import Obj


def deployment(replicas: int, surge: Any = "25%", unavailable: Any = "25%", **fields: Any) -> Obj:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    spec = {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    spec["progressDeadlineSeconds"] = 600
    return {"metadata": {"name": "web", "generation": 1}, "spec": spec, **fields}


def replica_set(
    name: str, replicas: int, available: int | None = None, annotations: dict[str, str] | None = None
) -> Obj:
    available = replicas if available is None else available
    counts = {"replicas": replicas, "readyReplicas": available, "availableReplicas": available}
    metadata = {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"replicas": replicas}, "status": counts}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),  # surge rounds up, unavailable down
        (1, "25%", "25%", (1, 0)),
        (3, 0, "10%", (0, 1)),  # both zero would never move
        (4, 1, 0, (1, 0)),
        (0, "50%", "50%", (0, 1)),
    ],
)
def test_fenceposts(replicas: int, surge: Any, unavailable: Any, expected: tuple[int, int]) -> None:
    assert a.fenceposts(deployment(replicas, surge, unavailable)) == expected


def test_the_new_set_grows_only_into_the_surge() -> None:
    old, new = replica_set("old", 4), replica_set("new", 0)
    assert a.new_set_size(deployment(4, 1, 0), [old, new], new) == 1
    assert a.new_set_size(deployment(4, 1, 0), [replica_set("old", 5), new], new) == 0
    assert a.new_set_size(deployment(4, 10, 0), [old, new], new) == 4


def test_unhealthy_old_replicas_go_first() -> None:
    older, newer = replica_set("older", 2, 0), replica_set("newer", 2)
    sizes = a.scale_down_old(deployment(4, 2, 0), [older, newer], replica_set("new", 2, 2))
    assert sizes == {"older": 0}


@given(
    replicas=st.integers(0, 20),
    surge=st.integers(0, 10),
    unavailable=st.integers(0, 10),
    start=st.integers(0, 20),
)
def test_every_rollout_ends_and_keeps_its_promises(replicas: int, surge: int, unavailable: int, start: int) -> None:
    """Pods become available at once here; promises are about what is asked for at each step."""
    spec = deployment(replicas, surge, unavailable)
    top, least = a.fenceposts(spec)
    old, new = start, 0
    for _ in range(100):
        sets = [replica_set("old", old), replica_set("new", new)]
        size = min(replicas, new) if new > replicas else a.new_set_size(spec, sets, sets[1])
        if size != new:
            new = size
            assert new + old <= max(replicas + top, start)
            continue
        fewer = a.scale_down_old(spec, sets[:1], sets[1])
        if not fewer:
            break
        old = fewer["old"]
        assert old + new >= min(start, replicas - min(least, replicas))
    assert (old, new) == (0, replicas)


def test_scaling_in_the_middle_of_a_rollout_is_proportional() -> None:
    # The example of the Deployment concept page: 10 replicas, maxSurge 3, 8 old and 5 new, scaled to 15.
    sets = [
        replica_set("old", 8, annotations={a.MAX_REPLICAS: "13", a.DESIRED_REPLICAS: "10"}),
        replica_set("new", 5, annotations={a.MAX_REPLICAS: "13", a.DESIRED_REPLICAS: "10"}),
    ]
    spec = deployment(15, 3, 2)
    assert a.is_scaling(spec, sets)
    assert {s["metadata"]["name"]: size for s, size in a.proportional_sizes(spec, sets)} == {"old": 11, "new": 7}


@given(st.lists(st.integers(1, 30), min_size=2, max_size=5), st.integers(0, 60), st.integers(0, 10))
def test_proportional_sizes_add_up(sizes: list[int], wanted: int, surge: int) -> None:
    total = str(sum(sizes))
    sets = [replica_set(f"s{i}", size, annotations={a.MAX_REPLICAS: total}) for i, size in enumerate(sizes)]
    result = [size for _, size in a.proportional_sizes(deployment(wanted, surge, 1), sets)]
    assert min(result) >= 0
    assert sum(result) == (wanted + surge if wanted else 0)


def test_the_conditions_of_a_rollout_in_upstreams_words() -> None:
    spec = deployment(2, status={})
    new = replica_set("web-1", 2, 1)
    status = rollout_status(spec, [new], new, 1000.0)
    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]}
    assert conditions["Progressing"] == ("True", "ReplicaSetUpdated", 'ReplicaSet "web-1" is progressing.')
    assert conditions["Available"][1] == "MinimumReplicasUnavailable"
    assert status["unavailableReplicas"] == 1
    done = rollout_status({**spec, "status": status}, [replica_set("web-1", 2)], replica_set("web-1", 2), 1001.0)
    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in done["conditions"]}
    assert conditions["Progressing"][1:] == (
        "NewReplicaSetAvailable",
        'ReplicaSet "web-1" has successfully progressed.',
    )
    assert conditions["Available"] == ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")


def test_a_rollout_that_stands_still_exceeds_its_deadline() -> None:
    new = replica_set("web-1", 2, 0)
    status = rollout_status(deployment(2, status={}), [new], new, 1000.0)
    later = rollout_status(deployment(2, status=status), [new], new, 1000.0 + 599)
    assert later["conditions"] == status["conditions"]
    late = rollout_status(deployment(2, status=status), [new], new, 1000.0 + 601)
    [progressing] = [c for c in late["conditions"] if c["type"] == "Progressing"]
    assert (progressing["status"], progressing["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert progressing["message"] == 'ReplicaSet "web-1" has timed out progressing.'


def test_counts_that_are_zero_are_left_out() -> None:
    status = counted_status(deployment(0, status={}), [], None, 0.0)
    assert "replicas" not in status
    assert "unavailableReplicas" not in status
