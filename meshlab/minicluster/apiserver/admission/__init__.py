"""Admission: what stands between a valid request and the store.

Mutating first - the built-in plugins, then the webhooks - and validating last, on the object as it would be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meshlab.minicluster.apiserver.admission.attributes import Attributes, Plugin
from meshlab.minicluster.apiserver.admission.builtin import NamespaceLifecycle, ServiceAccounts
from meshlab.minicluster.apiserver.admission.webhooks import Webhooks
from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.kubeapi import Obj

__all__ = ["Admission", "Attributes"]


class Admission:
    """The chain.

    Args:
        store: what the plugins look at.
        webhooks: those that are configured; None runs the built-in plugins only.
        plugins: the built-in plugins, in order.
    """

    def __init__(
        self,
        store: Store,
        webhooks: Webhooks | None = None,
        plugins: Sequence[Plugin] = (NamespaceLifecycle(), ServiceAccounts()),
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._plugins = plugins

    async def mutate(self, attributes: Attributes, renew: Callable[[Obj], None]) -> None:
        """Change ``attributes.obj`` as the chain wants it; ``renew`` fills in defaults after a webhook's patch."""
        for plugin in self._plugins:
            plugin.admit(attributes, self._store)
        if self._webhooks is not None:
            await self._webhooks.mutate(attributes, renew)

    async def validate(self, attributes: Attributes) -> None:
        """Raise `StatusError` if the chain does not admit the operation."""
        if self._webhooks is not None:
            await self._webhooks.validate(attributes)
