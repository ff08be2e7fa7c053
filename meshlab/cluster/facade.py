"""The seam as code: what everything above may do with a cluster, whatever it is.

It wraps the official client's connection (TLS, tokens, exec plugins of a kubeconfig) and speaks plain JSON objects.
Nothing here asks whether the cluster is the embedded one.

**Threads.** One `Cluster` may be used by many threads at once: each request takes a connection of its own from a pool
that locks, credentials are renewed under a lock, ``exec`` and port-forwarding open their own, and a watch holds its
connection until it ends. An iterator of `Cluster.watch` belongs to the thread that reads it; only its `Stop` may be set
from elsewhere.
"""

from __future__ import annotations

import copy
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from kubernetes.client.rest import ApiException
from kubernetes.stream import portforward as kubernetes_portforward
from kubernetes.stream import stream as kubernetes_stream
from websocket import WebSocketException

from meshlab.cluster import watch as watching
from meshlab.cluster.connection import (
    CONNECTION_ERRORS,
    Connection,
    NotFoundError,
    RefusedError,
    innermost,
    refusal_of,
)
from meshlab.cluster.watch import Stop, WatchEvent
from meshlab.errors import ClusterUnreachable, LabError

__all__ = ["Cluster", "ExecResult", "NotFoundError", "Obj", "RefusedError", "Stop", "WatchEvent"]

Obj = dict[str, Any]

REQUEST_TIMEOUT_S = 20.0
INTERRUPT_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command in a container printed, and its exit code."""

    stdout: str
    stderr: str
    exit_code: int


class Cluster:
    """One cluster, reached through one context of one kubeconfig file.

    Args:
        kubeconfig: the file that the user named; no other is ever read.
        context: one of its contexts; its current one by default.

    Raises:
        ClusterUnreachable: the file is not a kubeconfig, or has no such context.
    """

    def __init__(self, kubeconfig: Path, context: str | None = None) -> None:
        self.kubeconfig = kubeconfig
        self.context = context
        self._connection = Connection(kubeconfig, context)
        self._resources: dict[str, tuple[str, bool]] = {}
        self._interrupted: Callable[[], bool] = lambda: False

    def interruptible(self, interrupted: Callable[[], bool]) -> Cluster:
        """The same cluster, by the same connections, whose `exec` gives up as soon as ``interrupted`` says so."""
        view = copy.copy(self)
        view._interrupted = interrupted
        return view

    def close(self) -> None:
        """Close the connections that are idle."""
        self._connection.close()

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._connection.server

    def version(self) -> str:
        """``v1.37.1``: also the cheapest proof that the cluster answers.

        Raises:
            ClusterUnreachable: it does not.
        """
        return str(self.request("GET", "/version")["gitVersion"])

    def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Any:
        """One request of the API; JSON is parsed, anything else comes as text.

        Raises:
            ClusterUnreachable: no answer.
            NotFoundError: 404.
            RefusedError: any other refusal.
        """
        response = self._connection.send(method, path, params, body, content_type, urllib3.Timeout(timeout_s))
        text = response.data.decode(errors="replace")
        if response.status >= 400:
            raise refusal_of(response.status, text)
        return json.loads(text) if "json" in response.headers.get("Content-Type", "") else text

    def service_get(
        self,
        namespace: str,
        service: str,
        port: int | str,
        path: str = "/",
        query: Mapping[str, str] | None = None,
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> tuple[int, str]:
        """GET from a Service through the API server's proxy, as ``kubectl get --raw`` would.

        Args:
            namespace: the Service's.
            service: its name, with the scheme before it if that is not HTTP: ``https:kiali``.
            port: number or name of the Service's port.
            path: what to ask the Service for.
            query: its query.
            timeout_s: for the whole answer.

        Returns:
            HTTP status and body: the Service's own, or the API server's if it does not reach the Service (404 if
            there is none, 503 if no endpoint is ready).

        Raises:
            ClusterUnreachable: no answer, of either.
        """
        proxy = f"/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy/{path.lstrip('/')}"
        response = self._connection.send("GET", proxy, query, timeout=urllib3.Timeout(timeout_s), accept="*/*")
        return response.status, response.data.decode(errors="replace")

    def pod_get(
        self, namespace: str, pod: str, port: int, path: str = "/", *, host: str = "localhost", timeout_s: float = 10
    ) -> tuple[int, str]:
        """GET from a port of a pod through a port-forward: past sidecar and policies, as ``kubectl port-forward`` is.

        Raises:
            LabError: the pod does not exist, or nothing answers at that port.
            ClusterUnreachable: the cluster does not answer.
        """
        try:
            forward = kubernetes_portforward(
                self._connection.core_api().connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port)
            )
        except ApiException as error:
            raise LabError(f"cannot forward port {port} of {namespace}/{pod}: {_api_message(error)}") from error
        except CONNECTION_ERRORS as error:
            raise ClusterUnreachable(f"{self.server} does not answer: {innermost(error)}") from error
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        connection.sock = forward.socket(port)
        connection.sock.settimeout(timeout_s)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (http.client.HTTPException, OSError) as error:
            said = forward.error(port) or error
            raise LabError(f"port {port} of {namespace}/{pod} gives no answer: {said}") from error
        finally:
            connection.close()

    def watch(
        self, resource: str, namespace: str | None = None, *, resource_version: str | None = None, stop: Stop
    ) -> Iterator[WatchEvent]:
        """What happens to the objects of a kind: first those that exist, then every change.

        It ends only when ``stop`` is set, and then at once. It outlives a cluster that goes away and comes back, an
        expired history, and a kind that the cluster does not know yet (see `WatchEvent` for what it tells of these).

        Args:
            resource: as for `get`.
            namespace: watch there only.
            resource_version: begin after this version, without listing.
            stop: ends the watch, from any thread.
        """
        return watching.watch(self, self._connection, resource, namespace, resource_version, stop)

    def get(self, resource: str, name: str, namespace: str | None = None) -> Obj:
        """One object; ``resource`` is ``pods`` or ``virtualservices.networking.istio.io``.

        Raises:
            NotFoundError: it, or its kind, does not exist.
        """
        answer: Obj = self.request("GET", f"{self.path_of(resource, namespace)}/{name}")
        return answer

    def find(self, resource: str, name: str, namespace: str | None = None) -> Obj | None:
        """As `get`, but None if the object or its kind does not exist."""
        try:
            return self.get(resource, name, namespace)
        except NotFoundError:
            return None

    def list_objects(self, resource: str, namespace: str | None = None, *, label_selector: str = "") -> list[Obj]:
        """The objects of a kind, in one namespace or in all; empty if the cluster does not know the kind."""
        try:
            path = self.path_of(resource, namespace)
        except NotFoundError:
            return []
        params = {"labelSelector": label_selector} if label_selector else None
        answer: Obj = self.request("GET", path, params=params)
        kind, version = answer["kind"].removesuffix("List"), answer["apiVersion"]
        return [{"apiVersion": version, "kind": kind, **item} for item in answer.get("items") or []]

    def create(self, resource: str, obj: Obj, namespace: str | None = None) -> Obj:
        """Create an object."""
        answer: Obj = self.request("POST", self.path_of(resource, namespace), body=obj)
        return answer

    def replace(self, resource: str, obj: Obj) -> Obj:
        """Write an object whole (PUT)."""
        metadata = obj["metadata"]
        path = f"{self.path_of(resource, metadata.get('namespace'))}/{metadata['name']}"
        answer: Obj = self.request("PUT", path, body=obj)
        return answer

    def patch(self, resource: str, name: str, patch: Obj, namespace: str | None = None) -> Obj:
        """Merge-patch an object."""
        answer: Obj = self.request(
            "PATCH",
            f"{self.path_of(resource, namespace)}/{name}",
            body=patch,
            content_type="application/merge-patch+json",
        )
        return answer

    def delete(self, resource: str, name: str, namespace: str | None = None, *, grace_s: int | None = None) -> bool:
        """Delete an object and what it owns; False if it did not exist."""
        options: Obj = {"propagationPolicy": "Background"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            self.request("DELETE", f"{self.path_of(resource, namespace)}/{name}", body=options)
        except NotFoundError:
            return False
        return True

    def resource_of(self, obj: Obj) -> str:
        """The ``plural.group`` name of an object's kind.

        Raises:
            NotFoundError: the cluster does not know the kind.
        """
        api_version, kind = obj["apiVersion"], obj["kind"]
        for entry in self._group_version(api_version):
            if entry["kind"] == kind and "/" not in entry["name"]:
                group, _, version = api_version.rpartition("/")
                return f"{entry['name']}.{version}.{group}" if group else str(entry["name"])
        raise NotFoundError(f"this cluster knows no {kind} in {api_version}")

    def namespaced_resources(self) -> list[str]:
        """Every namespaced kind that can be listed and deleted, as ``plural.version.group``, preferred version only."""
        return self._listed_kinds(namespaced=True)

    def cluster_resources(self) -> list[str]:
        """As `namespaced_resources`, of the kinds that belong to no namespace."""
        return self._listed_kinds(namespaced=False)

    def _listed_kinds(self, *, namespaced: bool) -> list[str]:
        groups: Obj = self.request("GET", "/apis")
        versions = ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups["groups"])]
        found: list[str] = []
        for api_version in versions:
            group, _, version = api_version.rpartition("/")
            found += [
                f"{entry['name']}.{version}.{group}" if group else entry["name"]
                for entry in self._group_version(api_version)
                if entry["namespaced"] is namespaced
                and "/" not in entry["name"]
                and {"list", "delete"} <= set(entry["verbs"])
            ]
        return found

    def exec(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, timeout_s: float = 60
    ) -> ExecResult:
        """Run a command in a container and wait for it.

        Raises:
            LabError: the container does not exist, the command took longer than ``timeout_s``, or nobody waits for it
                any longer (`interruptible`). It may go on in its container, as with ``kubectl exec``.
            ClusterUnreachable: the cluster does not answer.
        """
        api = self._connection.core_api()
        try:
            socket = kubernetes_stream(
                api.connect_get_namespaced_pod_exec,
                pod,
                namespace,
                container=container,
                command=list(command),
                stdin=False,
                stdout=True,
                stderr=True,
                tty=False,
                _preload_content=False,
            )
        except ApiException as error:
            raise LabError(
                f"cannot run {command[0]} in {namespace}/{pod}, container {container}: {_api_message(error)}"
            ) from error
        except CONNECTION_ERRORS as error:
            raise ClusterUnreachable(f"{self.server} does not answer: {innermost(error)}") from error
        try:
            return self._read_to_end(socket, timeout_s, f"{command[0]} in {namespace}/{pod}")
        except (WebSocketException, OSError) as error:
            raise ClusterUnreachable(f"{self.server} broke off {command[0]} in {namespace}/{pod}: {error}") from error
        finally:
            # Not `close`, which waits for the other side to say goodbye.
            socket.sock.shutdown()

    def _read_to_end(self, socket: Any, timeout_s: float, what: str) -> ExecResult:
        stdout, stderr = [], []
        deadline = time.monotonic() + timeout_s
        while socket.is_open():
            if time.monotonic() > deadline:
                raise LabError(f"{what} did not end within {timeout_s:g} s")
            if self._interrupted():
                raise LabError(f"{what} was not waited for any longer")
            socket.update(timeout=INTERRUPT_POLL_S)
            stdout.append(socket.read_stdout(timeout=0) if socket.peek_stdout() else "")
            stderr.append(socket.read_stderr(timeout=0) if socket.peek_stderr() else "")
        stdout.append(socket.read_stdout(timeout=0) if socket.peek_stdout() else "")
        stderr.append(socket.read_stderr(timeout=0) if socket.peek_stderr() else "")
        code = socket.returncode
        return ExecResult("".join(stdout), "".join(stderr), -1 if code is None else int(code))

    def path_of(self, resource: str, namespace: str | None) -> str:
        """The path under which a kind's objects are listed.

        Raises:
            NotFoundError: the cluster does not know the kind (now; the next call asks again).
        """
        base, namespaced = self._locate(resource)
        plural = resource.partition(".")[0]
        return f"{base}/namespaces/{namespace}/{plural}" if namespaced and namespace else f"{base}/{plural}"

    def forget(self, resource: str) -> None:
        """Ask discovery again for a kind whose path was not found: its definition is gone, or served otherwise."""
        self._resources.pop(resource, None)

    def _locate(self, resource: str) -> tuple[str, bool]:
        """Base path of ``plural[.version][.group]``, and whether it is namespaced; from discovery, remembered."""
        if resource in self._resources:
            return self._resources[resource]
        plural, _, rest = resource.partition(".")
        for api_version in self._candidate_versions(rest):
            for entry in self._group_version(api_version):
                if entry["name"] == plural:
                    base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
                    self._resources[resource] = (base, entry["namespaced"])
                    return self._resources[resource]
        raise NotFoundError(f"this cluster knows no {resource}")

    def _candidate_versions(self, rest: str) -> list[str]:
        if not rest:
            return ["v1"]
        groups: Obj = self.request("GET", "/apis")
        version, _, name = rest.partition(".")
        for group in groups["groups"]:
            if group["name"] == rest:
                return [group["preferredVersion"]["groupVersion"]]
            if group["name"] == name and any(entry["version"] == version for entry in group["versions"]):
                return [f"{name}/{version}"]
        return []

    def _group_version(self, api_version: str) -> list[Obj]:
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        listing: Obj = self.request("GET", path)
        entries: list[Obj] = listing["resources"]
        return entries


def _api_message(error: ApiException) -> str:
    text = str(error.body or error.reason or error)
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
