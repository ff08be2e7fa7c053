"""Mutating and validating admission webhooks over HTTPS (``admission.k8s.io/v1``)."""

from __future__ import annotations

import asyncio
import base64
import copy
import errno
import logging
import ssl
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import aiohttp
import orjson

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.admission import dial
from meshlab.minicluster.apiserver.admission.attributes import Attributes
from meshlab.minicluster.apiserver.admission.matching import CONFIGURATION_GROUP, matched_version
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.patch import json_patch
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.kubeapi import Obj, StatusError

logger = logging.getLogger(__name__)

MUTATING = f"{CONFIGURATION_GROUP}/mutatingwebhookconfigurations"
VALIDATING = f"{CONFIGURATION_GROUP}/validatingwebhookconfigurations"
_MAX_ANSWER_BYTES = 3 * 1024 * 1024


class CallFailed(Exception):
    """A webhook gave no usable answer; its failurePolicy decides what that means."""


class Caller(Protocol):
    """Posts an ``AdmissionReview`` and returns the answer's JSON."""

    async def __call__(self, webhook: Obj, review: Obj) -> Any: ...


class HttpCaller:
    """Posts reviews over HTTPS.

    Args:
        store: to find the endpoints of Services.
        real_port: what stands behind a nominal port.
    """

    def __init__(self, store: Store, real_port: Callable[[int], int]) -> None:
        self._store = store
        self._real_port = real_port
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def __call__(self, webhook: Obj, review: Obj) -> Any:
        timeout_s = float(webhook.get("timeoutSeconds") or 10)
        client = webhook["clientConfig"]
        target = None
        try:
            target = dial.webhook_target(self._store, self._real_port, client, timeout_s)
            async with asyncio.timeout(timeout_s):
                return await self._post(target, client.get("caBundle") or "", review)
        except dial.Unreachable as error:
            # Upstream resolves the Service inside its dialer, so the failure reads as one of the request.
            raise CallFailed(f"failed to call webhook: {_post_text(client, timeout_s)}: {error}") from error
        except TimeoutError:
            shown = target.shown_url if target else ""
            raise CallFailed(f'failed to call webhook: Post "{shown}": context deadline exceeded') from None
        except aiohttp.ClientError as error:
            raise CallFailed(f"failed to call webhook: {_client_error_text(error, target)}") from error

    async def _post(self, target: dial.Target, ca_bundle: str, review: Obj) -> Any:
        resolver = dial.FixedResolver(target.address) if target.address else None
        connector = aiohttp.TCPConnector(ssl=self._context(ca_bundle), resolver=resolver, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False) as session,
            session.post(
                target.url,
                data=orjson.dumps(review),
                headers={"Content-Type": "application/json", "Accept": "application/json, */*"},
                allow_redirects=False,
            ) as response,
        ):
            body = await response.content.read(_MAX_ANSWER_BYTES)
            if response.status != 200:
                raise CallFailed(f"failed to call webhook: {_refusal(response.status, body)}")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise CallFailed(f"failed to call webhook: couldn't get version/kind; json parse error: {error}") from error

    def _context(self, ca_bundle: str) -> ssl.SSLContext:
        context = self._contexts.get(ca_bundle)
        if context is None:
            try:
                context = dial.tls_context(ca_bundle)
            except (ssl.SSLError, ValueError) as error:
                raise CallFailed(
                    "failed to call webhook: unable to load root certificates: unable to parse bytes as PEM block"
                ) from error
            if len(self._contexts) > 32:
                self._contexts.clear()
            self._contexts[ca_bundle] = context
        return context


def _refusal(status: int, body: bytes) -> str:
    """Client-go's words for an answer that is no review."""
    text = body.decode(errors="replace").strip()
    if text:
        return f"the server rejected our request for an unknown reason ({status}: {text})"
    if status == 404:
        return "the server could not find the requested resource"
    return f"an error on the server ({status}) has prevented the request from succeeding"


def _post_text(client: Obj, timeout_s: float) -> str:
    service = client.get("service")
    if service is None:
        return f'Post "{client.get("url")}"'
    path = "/" + (service.get("path") or "").lstrip("/")
    port = service.get("port") or 443
    return f'Post "https://{service["name"]}.{service["namespace"]}.svc:{port}{path}?timeout={timeout_s:g}s"'


def _client_error_text(error: aiohttp.ClientError, target: dial.Target | None) -> str:
    shown = f'Post "{target.shown_url}"' if target else "Post"
    where = ":".join(str(part) for part in target.address) if target and target.address else ""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"{shown}: tls: failed to verify certificate: x509: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        if error.os_error.errno == errno.ECONNREFUSED:
            return f"{shown}: dial tcp {where}: connect: connection refused".replace("tcp :", "tcp:")
        return f"{shown}: dial tcp {where}: {error.os_error.strerror or error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return f"{shown}: EOF"
    return f"{shown}: {error}"


class Webhooks:
    """Runs the webhooks that concern an operation.

    Args:
        store: where the configurations, Services and namespaces are.
        catalog: to see a resource in the version a webhook knows.
        call: how a review is posted.
    """

    def __init__(self, store: Store, catalog: Catalog, call: Caller) -> None:
        self._store = store
        self._catalog = catalog
        self._call = call

    async def mutate(self, attributes: Attributes, renew: Callable[[Obj], None]) -> None:
        """Let the mutating webhooks change the object, in the order of their names.

        Args:
            attributes: the operation; ``obj`` is replaced.
            renew: fills in defaults again after a change.
        """
        changed_after: list[bool] = []
        relevant = list(self._relevant(MUTATING, attributes))
        for webhook, version in relevant:
            changed = await self._mutate_once(webhook, version, attributes, renew)
            changed_after = [state or changed for state in changed_after] + [False]
        # Those that ask for it see once more an object that others changed after them.
        for (webhook, version), stale in zip(relevant, changed_after, strict=True):
            if stale and webhook.get("reinvocationPolicy") == "IfNeeded":
                await self._mutate_once(webhook, version, attributes, renew)

    async def validate(self, attributes: Attributes) -> None:
        """Ask all validating webhooks, at the same time."""
        relevant = list(self._relevant(VALIDATING, attributes))
        if not relevant:
            return
        outcomes = await asyncio.gather(
            *(self._ask(webhook, version, attributes) for webhook, version in relevant), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _relevant(self, collection: str, attributes: Attributes) -> Iterator[tuple[Obj, Resource]]:
        for _, record in self._store.collection(collection).scan():
            for webhook in record.obj.get("webhooks") or ():
                version = matched_version(webhook, attributes, self._store, self._catalog)
                if version is not None:
                    yield webhook, version

    async def _mutate_once(
        self, webhook: Obj, version: Resource, attributes: Attributes, renew: Callable[[Obj], None]
    ) -> bool:
        answer = await self._ask(webhook, version, attributes)
        if answer is None or not answer.get("patch") or attributes.obj is None:
            return False
        if answer.get("patchType") != "JSONPatch":
            raise statuses.internal(f'webhook "{webhook["name"]}" returned response.patchType other than JSONPatch')
        try:
            operations = orjson.loads(base64.b64decode(answer["patch"]))
            shown = {**attributes.obj, "apiVersion": version.api_version}
            patched: Obj = copy.deepcopy(json_patch(shown, operations))
        except (ValueError, StatusError) as error:
            raise statuses.internal(f"{error}") from error
        patched["apiVersion"] = attributes.obj["apiVersion"]
        renew(patched)
        changed = patched != attributes.obj
        attributes.obj = patched
        return changed

    async def _ask(self, webhook: Obj, version: Resource, attributes: Attributes) -> Obj | None:
        """The webhook's ``response``, or None if it failed and may be ignored.

        Raises:
            StatusError: it denied the request, or failed and may not be ignored.
        """
        name = webhook["name"]
        if attributes.request.dry_run and webhook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            message = f'admission webhook "{name}" does not support dry run'
            raise StatusError(400, "BadRequest", message)
        review = _review(version, attributes)
        try:
            answer = await self._call(webhook, review)
            response = _response(answer, review["request"]["uid"])
        except CallFailed as error:
            if webhook.get("failurePolicy", "Fail") == "Ignore":
                logger.warning("failed calling webhook, failing open %s: %s", name, error)
                return None
            raise statuses.internal(f'failed calling webhook "{name}": {error}') from error
        attributes.request.warnings += response.get("warnings") or ()
        if not response.get("allowed"):
            raise _denied(name, response.get("status") or {})
        return response


def _response(answer: Any, uid: str) -> Obj:
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise CallFailed("webhook response was absent")
    if answer.get("kind") != "AdmissionReview" or not str(answer.get("apiVersion", "")).startswith("admission.k8s.io/"):
        shown = f"{answer.get('apiVersion', '')}, Kind={answer.get('kind', '')}"
        raise CallFailed(f"expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {shown}")
    if response.get("uid") != uid:
        raise CallFailed(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    return response


def _denied(name: str, status: Obj) -> StatusError:
    """The error of a denial (apiserver ``webhook/errors.ToStatusErr``)."""
    message = status.get("message") or ""
    reason = status.get("reason") or ""
    if message:
        text = f'admission webhook "{name}" denied the request: {message}'
    elif reason:
        text = f'admission webhook "{name}" denied the request: {reason}'
    else:
        text = f'admission webhook "{name}" denied the request without explanation'
    code = int(status.get("code") or 0)
    return StatusError(code if code >= 400 else 400, reason or "BadRequest", text, status.get("details"))


def _review(version: Resource, attributes: Attributes) -> Obj:
    request = attributes.request
    actual = request.resource

    def shown(obj: Obj | None) -> Obj | None:
        return None if obj is None else {**obj, "apiVersion": version.api_version}

    body: Obj = {
        "uid": str(uuid.uuid4()),
        "kind": {"group": version.group, "version": version.version, "kind": version.kind},
        "resource": {"group": version.group, "version": version.version, "resource": version.plural},
        "requestKind": {"group": actual.group, "version": actual.version, "kind": actual.kind},
        "requestResource": {"group": actual.group, "version": actual.version, "resource": actual.plural},
        "name": attributes.name,
        "operation": attributes.operation,
        "userInfo": request.user.to_user_info(),
        "object": shown(attributes.obj),
        "oldObject": shown(attributes.old),
        "dryRun": request.dry_run,
        "options": attributes.options or _default_options(attributes),
    }
    if request.resource.namespaced:
        body["namespace"] = request.namespace
    elif request.resource.storage == "namespaces":
        body["namespace"] = attributes.name
    if request.subresource:
        body["subResource"] = body["requestSubResource"] = request.subresource
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": body}


def _default_options(attributes: Attributes) -> Obj:
    options: Obj = {"kind": f"{attributes.operation.title()}Options", "apiVersion": "meta.k8s.io/v1"}
    if attributes.request.field_manager:
        options["fieldManager"] = attributes.request.field_manager
    if attributes.request.dry_run:
        options["dryRun"] = ["All"]
    return options
