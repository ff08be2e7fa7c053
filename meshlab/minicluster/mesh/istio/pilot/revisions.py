"""Whose a resource is where several revisions of istiod run: its label, else its namespace's, else the default's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshlab.minicluster.informer import Informer
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.inject_decision import DEFAULT_REVISION, REVISION

TAG = "istio.io/tag"


def own_tags(revision: str, webhooks: Iterable[Obj]) -> set[str]:
    """The names under which a revision is meant: its own, and the tags that point at it.

    Where no revision is the default one, and no tag says which is, every revision may act for it.

    Args:
        revision: the revision.
        webhooks: the MutatingWebhookConfigurations, which carry revisions and tags.
    """
    labels = [(hook["metadata"].get("labels") or {}) for hook in webhooks]
    tags = {tag for label in labels if label.get(REVISION) == revision and (tag := label.get(TAG))}
    taken = any(DEFAULT_REVISION in (label.get(TAG), label.get(REVISION)) for label in labels)
    return {revision, *tags, *(() if taken else (DEFAULT_REVISION,))}


class Revisions:
    """Tells which resources this istiod acts for.

    Args:
        revision: its own.
        namespaces: the informer of namespaces.
        webhooks: the informer of MutatingWebhookConfigurations.
    """

    def __init__(self, revision: str, namespaces: Informer, webhooks: Informer) -> None:
        self._revision = revision
        self._namespaces = namespaces
        self._webhooks = webhooks

    def is_mine(self, obj: Obj) -> bool:
        """Whether this istiod deploys it and writes its status."""
        metadata: Mapping[str, Any] = obj["metadata"]
        wanted = (metadata.get("labels") or {}).get(REVISION)
        if wanted is None:
            namespace = self._namespaces.get(metadata.get("namespace") or "") or {"metadata": {}}
            wanted = (namespace["metadata"].get("labels") or {}).get(REVISION)
        return (wanted or DEFAULT_REVISION) in own_tags(self._revision, self._webhooks.objects.values())
