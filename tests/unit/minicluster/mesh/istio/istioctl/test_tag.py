"""``tag set``: what speaks against a tag before it is made."""

from __future__ import annotations

from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl import revisiontag
from meshlab.minicluster.mesh.istio.istioctl.tag import conflicts
from meshlab.minicluster.mesh.istio.manifests.webhooks import injector_webhooks

ISTIOD = {"metadata": {"name": "istiod", "namespace": "istio-system"}}


def injector(name: str, revision: str = "default", tag: str = "") -> Obj:
    hooks: Any = injector_webhooks("istio-system", revision, tag=tag, every_namespace=False, reinvocation="Never")
    labels = {"istio.io/rev": revision, **({"istio.io/tag": tag} if tag else {})}
    kind = "MutatingWebhookConfiguration"
    return {"kind": kind, "metadata": {"name": name, "labels": labels}, "webhooks": hooks}


def test_a_tag_of_its_own() -> None:
    own, prod = injector("istio-sidecar-injector"), injector("istio-revision-tag-prod", tag="prod")
    assert conflicts([own], [ISTIOD], [prod]) == ""
    # moving it: the one that is replaced is no rival
    assert conflicts([own, injector("istio-revision-tag-prod", tag="prod")], [ISTIOD], [prod]) == ""


def test_a_tag_that_another_injector_serves_already() -> None:
    first, second = injector("first", tag="prod"), injector("second", tag="prod")
    assert conflicts([first], [ISTIOD], [second]).splitlines() == [
        "creating tag would conflict, pass --skip-confirmation to proceed:",
        *(
            "Error [IST0139] (MutatingWebhookConfiguration second) Webhook overlaps with others: "
            f"[first/{name}.sidecar-injector.istio.io]. This may cause injection to occur twice."
            for name in ("rev.namespace", "rev.object")
        ),
    ]


def test_a_control_plane_that_is_not_there() -> None:
    assert "Injector refers to a control plane service that does not exist: istio-system/istiod." in conflicts(
        [], [], [injector("istio-revision-tag-prod", tag="prod")]
    )


def test_the_installed_injector_makes_way_for_the_tag_default() -> None:
    installed, tag = injector("istio-sidecar-injector"), injector("istio-revision-tag-default", tag="default")
    assert conflicts([installed], [ISTIOD], [tag]) != ""
    assert conflicts([revisiontag.beside(installed, "default")], [ISTIOD], [tag]) == ""
    assert revisiontag.beside(installed, "prod") == installed
