"""Who may have Kubernetes Secrets: a sidecar gets those of its namespace that its ServiceAccount may list itself.

istiod can read every Secret, so it asks the API server on the proxy's behalf (a SubjectAccessReview, as upstream's
``pkg/credentials/kube``). The answer comes later than the question: until then there is no Secret, afterwards a push.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from meshlab.minicluster.kubeapi import KubeApi, StatusError

logger = logging.getLogger(__name__)

REVIEWS = "subjectaccessreviews.authorization.k8s.io"
GOOD_FOR_S = 60.0
DENIAL_GOOD_FOR_S = 1.0

Account = tuple[str, str]
"""(namespace, ServiceAccount)."""


class SecretReaders:
    """Remembers what the API server said of each ServiceAccount.

    Args:
        api: the cluster.
    """

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._handlers: list[Callable[[], None]] = []
        self._answers: dict[Account, tuple[bool, float]] = {}
        self._asking: dict[Account, asyncio.Task[None]] = {}

    def subscribe(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` when an answer has become another one; it must only take note."""
        self._handlers.append(handler)

    def may_list(self, namespace: str, service_account: str) -> bool:
        """Whether it may list the Secrets of its namespace, as far as is known; asks where that is not recent."""
        account = (namespace, service_account)
        allowed, until = self._answers.get(account, (False, 0.0))
        if time.monotonic() >= until and account not in self._asking:
            self._asking[account] = asyncio.get_running_loop().create_task(self._ask(account))
        return allowed

    async def stop(self) -> None:
        """Forget the questions that are open."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, account: Account) -> None:
        namespace, name = account
        attributes = {"namespace": namespace, "verb": "list", "resource": "secrets"}
        user = f"system:serviceaccount:{namespace}:{name}"
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
        }
        before = self._answers.get(account, (False, 0.0))[0]
        try:
            answer = await self._api.create(REVIEWS, review)
            allowed = bool((answer.get("status") or {}).get("allowed"))
        except (StatusError, OSError) as error:
            logger.warning("cannot tell whether %s may list secrets: %s", user, error)
            allowed = before
        finally:
            self._asking.pop(account, None)
        self._answers[account] = (allowed, time.monotonic() + (GOOD_FOR_S if allowed else DENIAL_GOOD_FOR_S))
        if not allowed:
            logger.warning("%s is not authorized to read secrets in namespace %s", user, namespace)
        if allowed != before:
            for handler in self._handlers:
                handler()
