"""The wire under the seam: TLS, credentials and refusals of one kubeconfig context, by the official client.

Every method may be called from any thread: the pool hands out one connection per request and locks, credentials are
renewed under a lock (an exec plugin must not run twice at once), and a stream keeps its connection to itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from meshlab.errors import ClusterUnreachable, LabError

CONNECTION_ERRORS = (urllib3.exceptions.HTTPError, OSError)


class NotFoundError(LabError):
    """The object does not exist."""

    title = "Not found"


class RefusedError(LabError):
    """The API server refused; ``code`` and ``reason`` are its own."""

    title = "The cluster refused"

    def __init__(self, message: str, code: int, reason: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Connection:
    """See `Cluster`, which has one.

    Args:
        kubeconfig: the file.
        context: one of its contexts; its current one by default.

    Raises:
        ClusterUnreachable: the file is not a kubeconfig, or has no such context.
    """

    def __init__(self, kubeconfig: Path, context: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        try:
            self._client = kubernetes_config.new_client_from_config(config_file=str(kubeconfig), context=context)
        except (
            kubernetes_config.ConfigException,
            OSError,
            yaml.YAMLError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            raise ClusterUnreachable(
                f"{kubeconfig} cannot be used: {error}", hint="name a kubeconfig with --kubeconfig FILE"
            ) from error
        # Retrying behind our back would hide a dead cluster for seconds.
        self._client.configuration.retries = urllib3.Retry(total=False)
        self._client.rest_client = type(self._client.rest_client)(self._client.configuration)
        self._credentials = threading.Lock()

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._client.configuration.host)

    def close(self) -> None:
        """Close the connections that are idle."""
        self._client.rest_client.pool_manager.clear()

    def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: urllib3.Timeout | None = None,
        *,
        accept: str = "application/json",
        preload: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        """One request; whatever the status of the answer.

        Raises:
            ClusterUnreachable: no answer.
        """
        headers = {"Accept": accept, "Content-Type": content_type}
        queries: list[tuple[str, str]] = list((params or {}).items())
        with self._credentials:
            self._client.update_params_for_auth(headers, queries, ["BearerToken"], path, method, body)
        url = self.server.rstrip("/") + path + (f"?{urlencode(queries)}" if queries else "")
        try:
            response: urllib3.BaseHTTPResponse = self._client.rest_client.pool_manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=timeout,
                retries=False,
                preload_content=preload,
            )
        except CONNECTION_ERRORS as error:
            raise ClusterUnreachable(
                f"{self.server} does not answer: {innermost(error)}",
                hint="is the cluster up? for the embedded lab: meshlab status",
            ) from error
        return response

    def open_stream(
        self, path: str, params: Mapping[str, str], headers_timeout_s: float, silence_timeout_s: float
    ) -> urllib3.BaseHTTPResponse:
        """A GET whose answer is read as it comes, on a connection of its own; the caller closes it.

        Args:
            path: of the API.
            params: the query.
            headers_timeout_s: how long it may take until an answer begins.
            silence_timeout_s: how long it may then be silent before a read of it times out.

        Raises:
            ClusterUnreachable: no answer begins within ``headers_timeout_s``.
            NotFoundError: 404.
            RefusedError: any other refusal.
        """
        timeout = urllib3.Timeout(connect=headers_timeout_s, read=headers_timeout_s)
        response = self.send("GET", path, params, timeout=timeout, preload=False)
        if response.status >= 400:
            refusal = refusal_of(response.status, response.data.decode(errors="replace"))
            response.close()
            raise refusal
        socket = getattr(response.connection, "sock", None)
        if socket is not None:
            socket.settimeout(silence_timeout_s)
        return response

    def core_api(self) -> Any:
        """An API object of its own: the client's websocket calls change the one that they are made with."""
        return kubernetes_client.CoreV1Api(
            kubernetes_config.new_client_from_config(str(self._kubeconfig), self._context)
        )


def refusal_of(code: int, text: str) -> LabError:
    """The error that an answer of the API server means."""
    try:
        status = json.loads(text)
        message, reason = status.get("message") or text, status.get("reason") or ""
    except (ValueError, AttributeError):
        message, reason = text.strip() or f"HTTP {code}", ""
    if code == 404:
        return NotFoundError(message)
    if code == 401:
        return ClusterUnreachable(f"the cluster does not accept the credentials: {message}")
    return RefusedError(message, code, reason)


def innermost(error: BaseException) -> str:
    """What a chain of connection errors comes down to."""
    while (cause := error.__cause__ or getattr(error, "reason", None)) is not None and isinstance(cause, BaseException):
        error = cause
    return str(error) or type(error).__name__
