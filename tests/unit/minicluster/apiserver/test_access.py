"""Roles, tokens and impersonation, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from meshlab.minicluster.apiserver.authz import Action, Authorizer
from meshlab.minicluster.apiserver.bootstrap_roles import cluster_role_bindings, cluster_roles
from meshlab.minicluster.apiserver.impersonation import impersonated
from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.apiserver.tokens import InvalidToken, Tokens
from meshlab.minicluster.apiserver.users import User, service_account_user
from meshlab.minicluster.kubeapi import Obj, StatusError

GROUP = "rbac.authorization.k8s.io"


@pytest.fixture
def store() -> Store:
    store = Store()
    for role in cluster_roles():
        store.put(f"{GROUP}/clusterroles", ("", role["metadata"]["name"]), role)
    for binding in cluster_role_bindings():
        store.put(f"{GROUP}/clusterrolebindings", ("", binding["metadata"]["name"]), binding)
    return store


def bind(store: Store, role: str, namespace: str, subject: Obj, kind: str = "ClusterRole") -> None:
    collection, owner = ("rolebindings", namespace) if namespace else ("clusterrolebindings", "")
    binding: Obj = {
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": "b", "namespace": namespace},
        "roleRef": {"kind": kind, "name": role},
        "subjects": [subject],
    }
    store.put(f"{GROUP}/{collection}", (owner, "b"), binding)


def test_everybody_known_may_discover_and_nothing_more(store: Store) -> None:
    authorizer, user = Authorizer(store), User("somebody")
    assert authorizer.allows(user, Action("get", path="/apis/apps"))
    assert authorizer.allows(user, Action("create", "authorization.k8s.io", "selfsubjectaccessreviews"))
    assert not authorizer.allows(user, Action("list", "", "pods", namespace="default"))
    assert not authorizer.allows(user, Action("get", path="/metrics"))


def test_a_role_binding_holds_in_its_namespace_only(store: Store) -> None:
    bind(store, "edit", "shop", {"kind": "ServiceAccount", "name": "robot", "namespace": "shop"})
    authorizer, robot = Authorizer(store), service_account_user("shop", "robot")
    assert authorizer.allows(robot, Action("create", "apps", "deployments", namespace="shop"))
    # "edit" gathers the rules of "view" by their labels.
    assert authorizer.allows(robot, Action("list", "", "pods", "log", "shop"))
    assert not authorizer.allows(robot, Action("create", "apps", "deployments", namespace="other"))
    assert not authorizer.allows(robot, Action("create", GROUP, "roles", namespace="shop"))
    assert not authorizer.allows(service_account_user("x", "robot"), Action("list", "", "pods", namespace="shop"))


def test_resource_names_and_subresources(store: Store) -> None:
    rules = [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mesh"]},
        {"verbs": ["*"], "apiGroups": ["x.io"], "resources": ["*/status"]},
    ]
    store.put(f"{GROUP}/clusterroles", ("", "r"), {"metadata": {"name": "r"}, "rules": rules})
    bind(store, "r", "", {"kind": "Group", "name": "devs"})
    authorizer, dev = Authorizer(store), User("dev", ("devs",))
    assert authorizer.allows(dev, Action("get", "", "configmaps", namespace="a", name="mesh"))
    assert not authorizer.allows(dev, Action("get", "", "configmaps", namespace="a", name="other"))
    assert authorizer.allows(dev, Action("update", "x.io", "things", "status"))
    assert not authorizer.allows(dev, Action("update", "x.io", "things"))


def test_impersonation(store: Store) -> None:
    authorizer = Authorizer(store)
    headers = CIMultiDictProxy(CIMultiDict({"Impersonate-User": "system:serviceaccount:shop:robot"}))
    robot = impersonated(User("admin", ("system:masters",)), headers, authorizer)
    assert robot.name == "system:serviceaccount:shop:robot" and not robot.is_master
    assert "system:serviceaccounts:shop" in robot.groups
    with pytest.raises(StatusError) as caught:
        impersonated(User("dev"), headers, authorizer)
    assert caught.value.code == 403
    assert 'User "dev" cannot impersonate resource "serviceaccounts"' in caught.value.message


@pytest.fixture
def tokens(store: Store, tmp_path: Path) -> Tokens:
    account = {"kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "shop", "uid": "u1"}}
    store.put("serviceaccounts", ("shop", "robot"), account)
    return Tokens(store, tmp_path / "sa.key")


def robot_of(store: Store) -> Obj:
    record = store.get("serviceaccounts", ("shop", "robot"))
    assert record is not None
    return record.obj


def test_a_token_proves_its_account_to_its_audience(store: Store, tokens: Tokens, tmp_path: Path) -> None:
    token, _ = tokens.issue(robot_of(store), ["istio-ca"])
    assert tokens.verify(token, ["istio-ca"]).user.name == "system:serviceaccount:shop:robot"
    with pytest.raises(InvalidToken, match="audiences"):
        tokens.verify(token)
    assert Tokens(store, tmp_path / "sa.key").verify(token, ["istio-ca"]).audiences == ("istio-ca",)
    with pytest.raises(InvalidToken):
        Tokens(store, tmp_path / "another.key").verify(token, ["istio-ca"])


@pytest.mark.parametrize("forged", ["", "a.b.c", "nonsense", "eyJhbGciOiJub25lIn0.e30."])
def test_forged_tokens(tokens: Tokens, forged: str) -> None:
    with pytest.raises(InvalidToken):
        tokens.verify(forged)


def test_a_tampered_token(store: Store, tokens: Tokens) -> None:
    token, _ = tokens.issue(robot_of(store))
    header, claims, signature = token.split(".")
    with pytest.raises(InvalidToken):
        tokens.verify(f"{header}.{claims[:-2]}AA.{signature}")


def test_a_token_dies_with_its_account(store: Store, tokens: Tokens) -> None:
    token, _ = tokens.issue(robot_of(store))
    store.put(
        "serviceaccounts",
        ("shop", "robot"),
        {"kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "shop", "uid": "u2"}},
    )
    with pytest.raises(InvalidToken, match="service account has been deleted"):
        tokens.verify(token)
