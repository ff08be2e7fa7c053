"""`KubeApi` over HTTP, for the programs outside the daemon: istiod, the addons, istioctl.

A small client of our own, because these programs start often and the official client takes half a second to import.
Behaviour follows client-go where it shows: discovery decides the preferred version, watches send no timeout, errors
are the server's ``Status``.
"""

from __future__ import annotations

import base64
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
import orjson
import yaml

from meshlab.minicluster.kubeapi import Obj, ObjectList, PatchType, StatusError, WatchEvent

if TYPE_CHECKING:
    from types import TracebackType

    from meshlab.minicluster.pod import PodContext

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LIST_LIMIT = 500
MAX_WATCH_LINE = 64 * 1024 * 1024

_PATCH_CONTENT_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class ConnectionLost(aiohttp.ClientConnectionError, ConnectionError):
    """The server went away in the middle of an answer; an ``OSError``, as every other failure to reach it."""


class ConnectionConfigError(Exception):
    """A kubeconfig or a ServiceAccount volume does not say how to reach the API server."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command in a container printed, and its exit code."""

    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True, slots=True)
class _Connection:
    server: str
    tls: ssl.SSLContext | Literal[True]
    token: str = ""
    token_file: Path | None = None

    def headers(self) -> dict[str, str]:
        token = self.token_file.read_text().strip() if self.token_file else self.token
        return {"Authorization": f"Bearer {token}"} if token else {}


class RemoteApi:
    """The Kubernetes API behind a kubeconfig or a pod's ServiceAccount; use as an async context manager."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._session: aiohttp.ClientSession | None = None
        self._paths: dict[str, tuple[str, str, bool]] = {}

    @classmethod
    def from_kubeconfig(cls, path: Path, context: str | None = None) -> RemoteApi:
        """The cluster that ``context`` (else ``current-context``) of a kubeconfig file names.

        Raises:
            ConnectionConfigError: the file is missing, is not a kubeconfig, or has no such context.
        """
        return cls(_connection_from_kubeconfig(path, context))

    @classmethod
    def in_cluster(cls, pod: PodContext, directory: Path = SERVICE_ACCOUNT_DIR) -> RemoteApi:
        """The cluster that runs this pod, with the pod's own ServiceAccount."""
        tls = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        return cls(_Connection(pod.api_server, tls, token_file=directory / "token"))

    @property
    def server(self) -> str:
        """The API server's base URL."""
        return self._connection.server

    async def __aenter__(self) -> RemoteApi:
        connector = aiohttp.TCPConnector(ssl=self._connection.tls, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, read_bufsize=1 << 20, trust_env=False, auto_decompress=True
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: Obj | Sequence[Obj] | None = None,
        content_type: str = "application/json",
        timeout_s: float = 30,
    ) -> Any:
        """One request; the answer parsed if it is JSON, else its text.

        Raises:
            StatusError: the server refused.
        """
        headers = self._connection.headers() | {"Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = orjson.dumps(body)
        with _lost_connections():
            async with self._http.request(
                method,
                self.server + path,
                params=params,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=10),
            ) as response:
                payload = await response.read()
        is_json = response.content_type == "application/json"
        if response.status >= 400:
            raise _error(response.status, payload, is_json)
        return orjson.loads(payload) if is_json else payload.decode(errors="replace")

    async def get(self, resource: str, name: str, namespace: str | None = None) -> Obj:
        answer: Obj = await self.raw("GET", await self._path(resource, namespace, name))
        return answer

    async def list(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        path = await self._path(resource, namespace)
        params = _selector_params(label_selector, field_selector) | {"limit": str(LIST_LIMIT)}
        items: list[Obj] = []
        while True:
            page: Obj = await self.raw("GET", path, params=params)
            api_version, kind = page["apiVersion"], page["kind"].removesuffix("List")
            for item in page.get("items") or []:
                item.setdefault("apiVersion", api_version)
                item.setdefault("kind", kind)
                items.append(item)
            token = page["metadata"].get("continue")
            if not token:
                return ObjectList(items, page["metadata"].get("resourceVersion", ""), page["metadata"])
            params["continue"] = token

    async def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        path = await self._path(resource, namespace)
        params = _selector_params(label_selector, field_selector) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
        }
        headers = self._connection.headers() | {"Accept": "application/json"}
        with _lost_connections():
            async with self._http.get(self.server + path, params=params, headers=headers) as response:
                if response.status >= 400:
                    payload = await response.read()
                    raise _error(response.status, payload, response.content_type == "application/json")
                async for line in _lines(response.content):
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise StatusError.from_status(event["object"])
                    yield WatchEvent(event["type"], event["object"])

    async def create(
        self, resource: str, obj: Obj, namespace: str | None = None, *, subresource: str = "", dry_run: bool = False
    ) -> Obj:
        namespace = namespace or obj.get("metadata", {}).get("namespace")
        name = obj["metadata"]["name"] if subresource else ""
        path = await self._path(resource, namespace, name, subresource)
        params = {"dryRun": "All"} if dry_run else None
        answer: Obj = await self.raw("POST", path, params=params, body=obj)
        return answer

    async def update(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        metadata = obj["metadata"]
        path = await self._path(resource, metadata.get("namespace"), metadata["name"], subresource)
        answer: Obj = await self.raw("PUT", path, body=obj)
        return answer

    async def patch(
        self,
        resource: str,
        name: str,
        patch: Obj | Sequence[Obj],
        namespace: str | None = None,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Obj:
        path = await self._path(resource, namespace, name, subresource)
        answer: Obj = await self.raw("PATCH", path, body=patch, content_type=_PATCH_CONTENT_TYPES[patch_type])
        return answer

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
        grace_period_s: int | None = None,
        uid: str | None = None,
    ) -> Obj:
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation:
            options["propagationPolicy"] = propagation
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if uid:
            options["preconditions"] = {"uid": uid}
        answer: Obj = await self.raw("DELETE", await self._path(resource, namespace, name), body=options)
        return answer

    async def exec(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> ExecResult:
        """Run a command in a container without stdin, as ``kubectl exec`` does (``v5.channel.k8s.io``).

        Raises:
            StatusError: the container does not exist or the command could not be started.
        """
        params = [("container", container), ("stdout", "true"), ("stderr", "true")]
        params += [("command", word) for word in command]
        url = f"{self.server}/api/v1/namespaces/{namespace}/pods/{pod}/exec"
        output: dict[int, bytearray] = {1: bytearray(), 2: bytearray(), 3: bytearray()}
        try:
            async with self._http.ws_connect(
                url,
                params=params,
                protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"),
                headers=self._connection.headers(),
                max_msg_size=0,
            ) as socket:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.BINARY and message.data and message.data[0] in output:
                        output[message.data[0]] += message.data[1:]
        except aiohttp.WSServerHandshakeError as error:
            # aiohttp drops the body of a refused handshake; a plain GET of the pod tells a missing one apart.
            await self.get("pods", pod, namespace)
            raise StatusError(error.status, "BadRequest", f"exec in {namespace}/{pod} was refused") from error
        status: Obj = orjson.loads(bytes(output[3])) if output[3] else {"status": "Success"}
        return ExecResult(bytes(output[1]), bytes(output[2]), _exit_code(status))

    @property
    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("RemoteApi is used outside its context")
        return self._session

    async def _path(self, resource: str, namespace: str | None, name: str = "", subresource: str = "") -> str:
        api_version, plural, namespaced = await self._resolve(resource)
        base = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        parts = [base]
        if namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)

    async def _resolve(self, resource: str) -> tuple[str, str, bool]:
        """(apiVersion, plural, namespaced) of ``plural[.version][.group]``, from discovery, remembered."""
        known = self._paths.get(resource)
        if known is not None:
            return known
        plural, _, rest = resource.partition(".")
        candidates = await self._api_versions(rest)
        for api_version in candidates:
            base = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
            listing: Obj = await self.raw("GET", base)
            for entry in listing["resources"]:
                if entry["name"] == plural:
                    self._paths[resource] = (api_version, plural, entry["namespaced"])
                    return self._paths[resource]
        raise StatusError(404, "NotFound", f'the server doesn\'t have a resource type "{resource}"')

    async def _api_versions(self, rest: str) -> Sequence[str]:
        """Which group versions ``[version.]group`` may mean, the preferred one first."""
        if not rest or rest == "v1":
            return ["v1"]
        groups: Obj = await self.raw("GET", "/apis")
        for group in groups["groups"]:
            served = [version["groupVersion"] for version in group["versions"]]
            if group["name"] == rest:
                preferred = group["preferredVersion"]["groupVersion"]
                return [preferred, *(version for version in served if version != preferred)]
            version, _, name = rest.partition(".")
            if group["name"] == name and f"{name}/{version}" in served:
                return [f"{name}/{version}"]
        return []


@contextlib.contextmanager
def _lost_connections() -> Iterator[None]:
    """Turn those errors of aiohttp that are no ``OSError`` (the server disconnects, a body is cut short) into one."""
    try:
        yield
    except aiohttp.ClientError as error:
        if isinstance(error, OSError):
            raise
        raise ConnectionLost(str(error) or type(error).__name__) from error


def _selector_params(label_selector: str, field_selector: str) -> dict[str, str]:
    params = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in params.items() if value}


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: ``readline`` of aiohttp gives up at its buffer size."""
    pending = bytearray()
    async for chunk in stream.iter_any():
        pending += chunk
        *complete, rest = pending.split(b"\n")
        pending = bytearray(rest)
        if len(pending) > MAX_WATCH_LINE:
            raise EOFError("a watch event exceeds the limit")
        for line in complete:
            if line:
                yield bytes(line)


def _error(code: int, payload: bytes, is_json: bool) -> StatusError:
    if is_json:
        try:
            return StatusError.from_status(orjson.loads(payload))
        except (orjson.JSONDecodeError, AttributeError):
            pass
    return StatusError(code, "Unknown", payload.decode(errors="replace").strip() or f"HTTP {code}")


def _exit_code(status: Obj) -> int:
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise StatusError.from_status(status)


def _connection_from_kubeconfig(path: Path, context: str | None) -> _Connection:
    try:
        config = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConnectionConfigError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConnectionConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(config, dict) or "clusters" not in config:
        raise ConnectionConfigError(f"{path} is not a kubeconfig")
    wanted = context or config.get("current-context") or ""
    chosen = _named(config, "contexts", wanted, path).get("context") or {}
    cluster = _named(config, "clusters", chosen.get("cluster", ""), path)["cluster"]
    user = _named(config, "users", chosen.get("user", ""), path).get("user") or {}
    tls = _tls(cluster, user, path.parent)
    token_file = user.get("tokenFile")
    return _Connection(
        cluster["server"].rstrip("/"),
        tls,
        token=user.get("token") or "",
        token_file=path.parent / token_file if token_file else None,
    )


def _named(config: Obj, section: str, name: str, path: Path) -> Obj:
    for entry in config.get(section) or []:
        if entry.get("name") == name:
            found: Obj = entry
            return found
    raise ConnectionConfigError(f'{path} has no entry "{name}" in {section}')


def _tls(cluster: Obj, user: Obj, base: Path) -> ssl.SSLContext:
    authority = _material(cluster, "certificate-authority", base)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cluster.get("tls-server-name"):
        context.check_hostname = False
    certificate, key = _material(user, "client-certificate", base), _material(user, "client-key", base)
    if certificate and key:
        # The ssl module reads a key pair from files only; this one lives as long as the call.
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(certificate + b"\n" + key)
            pair.flush()
            context.load_cert_chain(pair.name)
    return context


def _material(entry: Obj, name: str, base: Path) -> bytes | None:
    if data := entry.get(f"{name}-data"):
        return base64.b64decode(data)
    if file := entry.get(name):
        content: bytes = (base / file).read_bytes()
        return content
    return None
