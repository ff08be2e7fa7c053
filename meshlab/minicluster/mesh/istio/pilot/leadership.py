"""Leader election by a Lease: of several istiods one writes statuses and deploys gateways.

The holder renews its Lease; whoever finds one that was not renewed in time, or given back, takes it. A pod that comes
back under its own name goes on with its own Lease at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from collections.abc import Awaitable, Callable

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError

logger = logging.getLogger(__name__)

LEASES = "leases.coordination.k8s.io"
LEASE_S = 15
RENEW_S = 3.0
RETRY_S = 1.0


class Leadership:
    """Runs some work while this process holds a Lease.

    Args:
        api: the cluster.
        namespace: where the Lease is.
        name: its name.
        identity: this process: the pod's name.
        renew_s: how often the Lease is renewed while it is held.
        retry_s: how often it is asked for while it is not.
    """

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        name: str,
        identity: str,
        *,
        renew_s: float = RENEW_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._renew_s = renew_s
        self._retry_s = retry_s
        self._renewed = 0.0

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, work as long as it is held, and give it back when cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if not await self._hold():
                await asyncio.sleep(self._retry_s)
                continue
            self._renewed = loop.time()
            logger.info("leader of %s", self._name)
            working = asyncio.ensure_future(work())
            try:
                while not working.done() and loop.time() - self._renewed < LEASE_S:
                    await asyncio.wait({working}, timeout=self._renew_s)
                    if await self._hold():
                        self._renewed = loop.time()
                if working.done():
                    await working
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
                with contextlib.suppress(StatusError, OSError, asyncio.CancelledError):
                    await self._release()

    async def _hold(self) -> bool:
        """Whether the Lease is this process's now."""
        now = dt.datetime.now(dt.UTC)
        try:
            lease = await self._find()
            if lease is None:
                await self._api.create(LEASES, self._lease({}, now), self._namespace)
                return True
            holder, until = lease["spec"].get("holderIdentity") or "", _valid_until(lease)
            if holder not in ("", self._identity) and until > now:
                return False
            await self._api.update(LEASES, {**lease, "spec": self._lease(lease["spec"], now)["spec"]})
            return True
        except StatusError as error:
            if error.code not in (404, 409):
                logger.warning("lease %s: %s", self._name, error)
        except OSError as error:
            logger.debug("lease %s: %s", self._name, error)
        return False

    async def _find(self) -> Obj | None:
        try:
            return await self._api.get(LEASES, self._name, self._namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def _release(self) -> None:
        lease = await self._find()
        if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
            await self._api.update(LEASES, {**lease, "spec": {**lease["spec"], "holderIdentity": ""}})

    def _lease(self, before: Obj, now: dt.datetime) -> Obj:
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        held = before.get("holderIdentity") == self._identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_S,
                "acquireTime": before.get("acquireTime") if held else stamp,
                "renewTime": stamp,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if held or not before else 1),
            },
        }


def _valid_until(lease: Obj) -> dt.datetime:
    try:
        renewed = dt.datetime.fromisoformat(lease["spec"].get("renewTime") or "")
    except ValueError:
        return dt.datetime.fromtimestamp(0, dt.UTC)
    return renewed + dt.timedelta(seconds=int(lease["spec"].get("leaseDurationSeconds") or LEASE_S))
