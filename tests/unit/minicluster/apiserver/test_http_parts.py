"""The pure parts of the HTTP face: paths, media types, discovery, versions."""

from __future__ import annotations

import pytest

from meshlab.minicluster.apiserver.catalog import Catalog, version_priority
from meshlab.minicluster.apiserver.discovery import Discovery
from meshlab.minicluster.apiserver.negotiation import Format, accepts_discovery_v2, negotiate
from meshlab.minicluster.apiserver.paths import ApiPath, parse_api_path
from meshlab.minicluster.apiserver.resources import builtin_resources
from meshlab.minicluster.kubeapi import StatusError


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        ("/api/v1/pods", ApiPath("", "v1", "pods")),
        ("/api/v1/namespaces/a", ApiPath("", "v1", "namespaces", name="a")),
        ("/api/v1/namespaces/a/finalize", ApiPath("", "v1", "namespaces", name="a", subresource="finalize")),
        ("/api/v1/namespaces/a/pods/p/log", ApiPath("", "v1", "pods", "a", "p", "log")),
        ("/apis/apps/v1/namespaces/a/deployments/d", ApiPath("apps", "v1", "deployments", "a", "d")),
        ("/api/v1/watch/namespaces/a/pods", ApiPath("", "v1", "pods", "a", watch=True)),
        (
            "/api/v1/namespaces/a/services/http:s:80/proxy/x/y",
            ApiPath("", "v1", "services", "a", "http:s:80", "proxy", "/x/y"),
        ),
        ("/api/v1", None),
        ("/apis/apps/v1", None),
        ("/version", None),
    ],
)
def test_paths(path: str, parsed: ApiPath | None) -> None:
    assert parse_api_path(path) == parsed


TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Format()),
        ("*/*", Format()),
        ("application/vnd.kubernetes.protobuf,application/json", Format()),
        (TABLE, Format("table")),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Format("partial")),
        ("application/yaml", Format("object", "application/yaml")),
    ],
)
def test_negotiation(accept: str, expected: Format) -> None:
    assert negotiate(accept) == expected


def test_only_protobuf_is_not_acceptable() -> None:
    with pytest.raises(StatusError) as caught:
        negotiate("application/vnd.kubernetes.protobuf")
    assert caught.value.code == 406


def test_aggregated_discovery_is_given_to_those_who_name_its_version() -> None:
    assert accepts_discovery_v2("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")
    assert not accepts_discovery_v2("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList")


def test_versions_are_ordered_as_kubernetes_orders_them() -> None:
    versions = ["v1alpha3", "foo", "v1", "v2beta1", "v1beta2", "v10", "v2"]
    assert sorted(versions, key=version_priority) == ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha3", "foo"]


def test_resources_are_found_by_the_names_clients_give_them() -> None:
    catalog = Catalog(builtin_resources())
    assert catalog.resolve("pods").kind == "Pod"
    assert catalog.resolve("horizontalpodautoscalers.autoscaling").version == "v2"
    assert catalog.resolve("horizontalpodautoscalers.v1.autoscaling").version == "v1"
    assert catalog.resolve("roles.rbac.authorization.k8s.io").kind == "Role"
    with pytest.raises(StatusError):
        catalog.resolve("widgets.example.com")


def test_both_forms_of_discovery_agree() -> None:
    discovery = Discovery(Catalog(builtin_resources()), "127.0.0.1:6443")
    groups = discovery.groups()["groups"]
    assert {"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}]}.items() <= next(
        group for group in groups if group["name"] == "apps"
    ).items()
    names = [entry["name"] for entry in discovery.resources("apps", "v1")["resources"]]
    assert "deployments/scale" in names and "deployments" in names
    body, etag = discovery.aggregated(core=False)
    assert b'"resource":"deployments"' in body and discovery.aggregated(core=False)[1] == etag
