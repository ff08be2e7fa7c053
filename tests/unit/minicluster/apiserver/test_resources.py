from __future__ import annotations

from meshlab.minicluster.apiserver.resources import Resource, builtin_resources


def by_name(name: str, group: str = "") -> Resource:
    return next(item for item in builtin_resources() if item.plural == name and item.group == group)


def test_a_core_resource() -> None:
    pods = by_name("pods")
    assert (pods.api_version, pods.kind, pods.list_kind, pods.group_resource) == ("v1", "Pod", "PodList", "pods")
    assert pods.namespaced
    assert pods.storage == "pods"
    assert pods.short_names == ("po",)
    assert pods.categories == ("all",)
    assert pods.verbs == ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def test_a_resource_in_a_group() -> None:
    deployments = by_name("deployments", "apps")
    assert deployments.api_version == "apps/v1"
    assert deployments.group_resource == "deployments.apps"
    assert deployments.storage == "apps/deployments"
    scale = deployments.subresources["scale"]
    assert (scale.api_version, scale.kind, scale.verbs) == ("autoscaling/v1", "Scale", ("get", "patch", "update"))


def test_pods_have_their_streams_and_actions() -> None:
    subresources = by_name("pods").subresources
    assert {"log", "exec", "attach", "portforward", "eviction", "binding", "status", "ephemeralcontainers"} <= set(
        subresources
    )
    assert subresources["eviction"].api_version == "policy/v1"
    assert subresources["exec"].verbs == ("create", "get")
    assert subresources["log"].verbs == ("get",)
    token = by_name("serviceaccounts").subresources["token"]
    assert (token.api_version, token.kind) == ("authentication.k8s.io/v1", "TokenRequest")


def test_reviews_are_created_and_never_stored() -> None:
    review = by_name("subjectaccessreviews", "authorization.k8s.io")
    assert review.verbs == ("create",)
    assert not review.stored
    assert not review.namespaced
    assert by_name("localsubjectaccessreviews", "authorization.k8s.io").namespaced
    assert by_name("tokenreviews", "authentication.k8s.io").kind == "TokenReview"
    assert by_name("configmaps").stored


def test_both_event_apis_share_one_storage() -> None:
    assert by_name("events").storage == by_name("events", "events.k8s.io").storage == "events"


def test_both_autoscaling_versions_share_one_storage_and_v2_is_preferred() -> None:
    rows = [item for item in builtin_resources() if item.plural == "horizontalpodautoscalers"]
    assert [item.version for item in rows] == ["v2", "v1"]
    assert len({item.storage for item in rows}) == 1


def test_cluster_scoped_resources() -> None:
    scoped = {item.plural for item in builtin_resources() if not item.namespaced}
    assert {"nodes", "namespaces", "clusterroles", "customresourcedefinitions", "persistentvolumes"} <= scoped
    assert not scoped & {"pods", "services", "roles", "leases"}


def test_no_row_occurs_twice() -> None:
    rows = [(item.group, item.version, item.plural) for item in builtin_resources()]
    assert len(rows) == len(set(rows))
