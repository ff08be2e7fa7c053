"""List and watch: what changes in a cluster, as a stream that survives everything but being stopped.

The loop is that of the API's own clients (Kubernetes documentation, "Efficient detection of changes"): list, watch from
the list's resourceVersion, follow bookmarks, list again when the version has expired. What a list brings is compared
with what was known, so a consumer sees each change once, even one that happened while the connection was down.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import urllib3

from meshlab.cluster.connection import Connection, NotFoundError, RefusedError
from meshlab.errors import ClusterUnreachable, LabError

if TYPE_CHECKING:
    from meshlab.cluster.facade import Cluster

    Obj = dict[str, Any]

logger = logging.getLogger(__name__)

HEADERS_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 100.0
"""A server sends a bookmark about every minute; one that is silent for longer is not there any more."""
UNKNOWN_KIND_POLL_S = 3.0
REFUSED_RETRY_S = 15.0
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 5.0
EXPIRED = 410

EventType = Literal["ADDED", "MODIFIED", "DELETED", "SYNCED", "LOST"]


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One thing that a watch has to tell.

    Attributes:
        type: ``ADDED``, ``MODIFIED`` or ``DELETED`` as the API has them. ``SYNCED`` after each list: everything that
            exists has been told (nothing, of a kind that the cluster does not know). ``LOST`` once when the cluster
            stops answering; ``SYNCED`` follows when it is back.
        object: the object; of one that was deleted while nobody watched, only its metadata. Empty for the last two.
    """

    type: EventType
    object: Obj


class Stop(threading.Event):
    """An event that also interrupts what is blocked: each watch hands in how its own connection is broken."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.RLock()
        self._interrupts: list[Callable[[], None]] = []

    def set(self) -> None:
        """Stop, now."""
        with self._guard:
            super().set()
            interrupts, self._interrupts = self._interrupts, []
        for interrupt in interrupts:
            interrupt()

    def on_set(self, interrupt: Callable[[], None]) -> Callable[[], None]:
        """Have something called when it is set (at once if it is already); the result takes that back."""
        with self._guard:
            if not self.is_set():
                self._interrupts.append(interrupt)
                return lambda: self._forget(interrupt)
        interrupt()
        return lambda: None

    def _forget(self, interrupt: Callable[[], None]) -> None:
        with self._guard:
            if interrupt in self._interrupts:
                self._interrupts.remove(interrupt)


def watch(
    cluster: Cluster,
    connection: Connection,
    resource: str,
    namespace: str | None,
    resource_version: str | None,
    stop: Stop,
) -> Iterator[WatchEvent]:
    """See `Cluster.watch`."""
    known: dict[tuple[str, str], Obj] = {}
    version = resource_version
    told, lost, refused = False, False, False
    retry_s = FIRST_RETRY_S
    while not stop.is_set():
        try:
            if version is None:
                listed, version = _list(cluster, resource, namespace)
                yield from _differences(known, listed)
                yield WatchEvent("SYNCED", {})
                told, lost, refused = True, False, False
            for kind, obj in _stream(cluster, connection, resource, namespace, version, stop):
                version, retry_s = obj["metadata"]["resourceVersion"], FIRST_RETRY_S
                if kind != "BOOKMARK":
                    _remember(known, kind, obj)
                    yield WatchEvent(kind, obj)
            # The server ends each watch after some minutes; one that it ended at once must not become a storm.
            stop.wait(FIRST_RETRY_S)
        except _UnknownKind:
            # Its definition may come at any time, for instance with a mesh that is being installed.
            yield from _differences(known, [])
            if not told:
                yield WatchEvent("SYNCED", {})
            told, version = True, None
            stop.wait(UNKNOWN_KIND_POLL_S)
        except _Expired:
            version = None
        except ClusterUnreachable as error:
            if not lost and not stop.is_set():
                logger.info("watch of %s lost: %s", resource, error.message)
                yield WatchEvent("LOST", {})
            # What comes back may have a history of its own; a list is cheap and always right.
            lost, version = True, None
            stop.wait(retry_s * random.uniform(0.8, 1.2))
            retry_s = min(retry_s * 2, LAST_RETRY_S)
        except LabError as error:
            if not refused:
                logger.warning("watch of %s refused: %s", resource, error.message)
            refused, version = True, None
            stop.wait(REFUSED_RETRY_S)


class _Expired(Exception):
    """410: the server does not remember that resourceVersion any more."""


class _UnknownKind(Exception):
    """The cluster does not know the kind, or not any more."""


def _list(cluster: Cluster, resource: str, namespace: str | None) -> tuple[list[Obj], str]:
    try:
        answer = cluster.request("GET", cluster.path_of(resource, namespace), timeout_s=HEADERS_TIMEOUT_S)
    except NotFoundError as error:
        cluster.forget(resource)
        raise _UnknownKind from error
    kind, api_version = answer["kind"].removesuffix("List"), answer["apiVersion"]
    items = [{"apiVersion": api_version, "kind": kind, **item} for item in answer.get("items") or []]
    return items, answer["metadata"]["resourceVersion"]


def _stream(
    cluster: Cluster,
    connection: Connection,
    resource: str,
    namespace: str | None,
    version: str,
    stop: Stop,
) -> Iterator[tuple[Any, Obj]]:
    """(type, object) of every event of one watch request, until the server ends it."""
    params = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
    try:
        response = connection.open_stream(
            cluster.path_of(resource, namespace), params, HEADERS_TIMEOUT_S, SILENCE_TIMEOUT_S
        )
    except NotFoundError as error:
        cluster.forget(resource)
        raise _UnknownKind from error
    except RefusedError as error:
        if error.code == EXPIRED:
            raise _Expired from error
        raise
    withdraw = stop.on_set(lambda: _interrupt(response))
    try:
        rest = b""
        for chunk in response.stream():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(None, lines):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _failure(event["object"])
                yield event["type"], event["object"]
    except urllib3.exceptions.ReadTimeoutError:
        return
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        # Also how a read ends that `stop` interrupted.
        if not stop.is_set():
            raise ClusterUnreachable(f"{cluster.server} ended a watch of {resource}: {error}") from error
    finally:
        withdraw()
        response.close()


def _interrupt(response: urllib3.BaseHTTPResponse) -> None:
    try:
        response.shutdown()
    except (RuntimeError, ValueError, OSError):
        # It ended by itself in this very moment.
        return


def _failure(status: Obj) -> Exception:
    if status.get("code") == EXPIRED:
        return _Expired()
    return LabError(str(status.get("message") or status))


def _differences(known: dict[tuple[str, str], Obj], listed: list[Obj]) -> Iterator[WatchEvent]:
    """What a list tells that was not known, and `known` brought up to it."""
    present = {_key(obj): obj for obj in listed}
    for key in [key for key in known if key not in present]:
        yield WatchEvent("DELETED", known.pop(key))
    for key, obj in present.items():
        before = known.get(key)
        if before is None:
            yield WatchEvent("ADDED", obj)
        elif before["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            yield WatchEvent("MODIFIED", obj)
        _remember(known, "MODIFIED", obj)


def _remember(known: dict[tuple[str, str], Obj], kind: str, obj: Obj) -> None:
    if kind == "DELETED":
        known.pop(_key(obj), None)
        return
    metadata = {
        name: obj["metadata"][name]
        for name in ("name", "namespace", "uid", "labels", "resourceVersion")
        if name in obj["metadata"]
    }
    known[_key(obj)] = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}


def _key(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
