"""A registry in memory: no journal, no HTTP; webhooks answer from a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from meshlab.minicluster.apiserver.admission import Admission
from meshlab.minicluster.apiserver.admission.webhooks import Webhooks
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.decoding import Decoder
from meshlab.minicluster.apiserver.local import LocalApi
from meshlab.minicluster.apiserver.registry import Registry
from meshlab.minicluster.apiserver.resources import builtin_resources
from meshlab.minicluster.apiserver.schema import SchemaSet
from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.apiserver.strategies import Strategies
from meshlab.minicluster.apiserver.strategies.base import Environment
from meshlab.minicluster.apiserver.users import User
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.network.addresses import LabNetwork


@dataclass
class Hooks:
    """Answers reviews by webhook name."""

    answers: dict[str, Callable[[Obj], Obj]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, webhook: Obj, review: Obj) -> Any:
        self.asked.append(webhook["name"])
        response = self.answers[webhook["name"]](review["request"])
        return {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {"uid": review["request"]["uid"], **response},
        }


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
def network() -> LabNetwork:
    return LabNetwork("127.18")


@pytest.fixture
def registry(hooks: Hooks, network: LabNetwork) -> Registry:
    store = Store()
    catalog = Catalog(builtin_resources())
    decoder = Decoder(catalog, SchemaSet())
    strategies = Strategies(Environment(store, catalog, network))
    return Registry(store, catalog, strategies, Admission(store, Webhooks(store, catalog, hooks)), decoder)


@pytest.fixture
async def api(registry: Registry) -> LocalApi:
    api = LocalApi(registry, User("tester"))
    await api.create("namespaces", {"metadata": {"name": "default"}})
    await api.create("serviceaccounts", {"metadata": {"name": "default"}}, "default")
    return api
