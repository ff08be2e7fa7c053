"""The verbs of the API as HTTP: bodies in, answers out.

What a verb does is the registry's; here its parameters are read from the request and its result is put into the form
that the client wants.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson
from aiohttp import web

from meshlab.minicluster.apiserver import reviews, statuses, subresources
from meshlab.minicluster.apiserver.answers import json_answer, success
from meshlab.minicluster.apiserver.authz import Authorizer
from meshlab.minicluster.apiserver.discovery import Discovery
from meshlab.minicluster.apiserver.encoding import Encoder, as_media_type
from meshlab.minicluster.apiserver.negotiation import JSON, negotiate
from meshlab.minicluster.apiserver.openapi import OpenApi
from meshlab.minicluster.apiserver.patching import apply_patch, patch_type_of
from meshlab.minicluster.apiserver.paths import ApiPath
from meshlab.minicluster.apiserver.proxy import serve_proxy
from meshlab.minicluster.apiserver.registry import Deletion, Registry, thaw
from meshlab.minicluster.apiserver.requests import DeleteOptions, FieldValidation, Request
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.schema import parse_body
from meshlab.minicluster.apiserver.selection import Selection
from meshlab.minicluster.apiserver.store import Record
from meshlab.minicluster.apiserver.streams.backend import PodBackend
from meshlab.minicluster.apiserver.streams.query import parse_bool
from meshlab.minicluster.apiserver.tokens import Tokens
from meshlab.minicluster.apiserver.users import User
from meshlab.minicluster.apiserver.watch import WatchOptions, watch_lines
from meshlab.minicluster.kubeapi import Obj, StatusError

_STREAMS = ("log", "exec", "attach", "portforward")
_REVIEW_GROUPS = ("authentication.k8s.io", "authorization.k8s.io")
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_MIN_WATCH_S, _MAX_WATCH_S = 1800.0, 3600.0


@dataclass(slots=True)
class Parts:
    """What the HTTP face stands on."""

    registry: Registry
    discovery: Discovery
    openapi: OpenApi
    authorizer: Authorizer
    tokens: Tokens
    reviews: reviews.Reviews
    version: Obj
    real_port: Callable[[int], int]
    backend: PodBackend | None = None


@dataclass(slots=True)
class Call:
    """One request on its way: the HTTP request, its body, who sent it and what it names."""

    http: web.Request
    body: bytes
    user: User
    path: ApiPath
    resource: Resource
    warnings: list[str]

    @property
    def query(self) -> Any:
        """The query parameters."""
        return self.http.query

    def request(self, name: str = "", subresource: str = "") -> Request:
        """The registry's view of it."""
        validation = self.query.get("fieldValidation") or "Warn"
        if validation not in ("Strict", "Warn", "Ignore"):
            raise statuses.bad_request(f'fieldValidation: Unsupported value: "{validation}"')
        dry_run = self.query.getall("dryRun", [])
        if any(value not in ("", "All") for value in dry_run):
            raise statuses.bad_request(f"dryRun: Unsupported value: {dry_run}")
        agent = self.http.headers.get("User-Agent", "")
        return Request(
            self.user,
            self.resource,
            self.path.namespace if self.resource.namespaced else "",
            name,
            subresource,
            dry_run="All" in dry_run,
            field_validation=cast(FieldValidation, validation),
            field_manager=self.query.get("fieldManager") or agent.partition("/")[0],
            warnings=self.warnings,
        )


class Verbs:
    """Answers requests for resources that are served and allowed."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    async def dispatch(self, call: Call, verb: str) -> web.StreamResponse:
        """Run the verb of the registry that the request means."""
        path, resource, method = call.path, call.resource, call.http.method
        if resource.group in _REVIEW_GROUPS and method == "POST":
            return self._review(call)
        if path.subresource:
            return await self._subresource(call)
        if (resource.group, resource.plural) == ("", "bindings") and method == "POST":
            return await self._bind(call, self._body(call))
        if verb not in resource.verbs:
            raise statuses.method_not_allowed()
        handlers: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        return await handlers[verb](call)

    async def _get(self, call: Call) -> web.StreamResponse:
        return self._answer(call, self.parts.registry.get(call.request(call.path.name)))

    async def _list(self, call: Call) -> web.StreamResponse:
        form = negotiate(call.http.headers.get("Accept", ""))
        page = self.parts.registry.list(
            self._selection(call), limit=_integer(call, "limit") or 0, token=call.query.get("continue", "")
        )
        encoder = Encoder(self.parts.registry.catalog, call.resource, form, call.query.get("includeObject", ""))
        return web.Response(body=as_media_type(encoder.page(page), form), content_type=form.media_type)

    def _selection(self, call: Call) -> Selection:
        return Selection.parse(
            call.resource,
            call.path.namespace,
            name=call.path.name,
            label_selector=call.query.get("labelSelector", ""),
            field_selector=call.query.get("fieldSelector", ""),
        )

    async def _watch(self, call: Call) -> web.StreamResponse:
        query = call.query
        form = negotiate(call.http.headers.get("Accept", ""))
        version = query.get("resourceVersion", "")
        if version and not version.isdigit():
            raise statuses.bad_request(
                f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: invalid syntax'
            )
        options = WatchOptions(
            resource_version=version,
            bookmarks=parse_bool(query.get("allowWatchBookmarks")),
            initial_events=parse_bool(query.get("sendInitialEvents")),
            timeout_s=float(_integer(call, "timeoutSeconds") or 0) or random.uniform(_MIN_WATCH_S, _MAX_WATCH_S),
        )
        registry = self.parts.registry
        encoder = Encoder(registry.catalog, call.resource, form, query.get("includeObject", ""))
        lines = watch_lines(registry.store, self._selection(call), options, encoder)
        response = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
        response.enable_chunked_encoding()
        await response.prepare(call.http)
        try:
            async for chunk in lines:
                if chunk:
                    await response.write(chunk)
            await response.write_eof()
        except ConnectionResetError:
            pass  # the client hung up, which is how watches usually end
        finally:
            await lines.aclose()
        return response

    async def _create(self, call: Call) -> web.StreamResponse:
        if call.path.name:
            raise statuses.method_not_allowed()
        request = call.request()
        record = await self.parts.registry.create(request, self._body(call, request))
        return self._answer(call, record, 201)

    async def _update(self, call: Call) -> web.StreamResponse:
        request = call.request(call.path.name, call.path.subresource)
        return self._answer(call, await self.parts.registry.update(request, self._body(call, request)))

    async def _patch(self, call: Call) -> web.StreamResponse:
        registry = self.parts.registry
        change = self._patcher(call, registry.decoder.schema(call.resource))
        request = call.request(call.path.name, call.path.subresource)
        return self._answer(call, await registry.modify(request, lambda current: thaw(change(current))))

    def _patcher(self, call: Call, schema: Any) -> Callable[[Obj], Obj]:
        """The patch in the body as a function of an object."""
        content_type = call.http.headers.get("Content-Type", "")
        custom = self.parts.registry.catalog.custom(call.resource) is not None
        type_ = patch_type_of(content_type, custom=custom and call.path.subresource != "scale")
        try:
            patch = orjson.loads(call.body)
        except orjson.JSONDecodeError as error:
            raise statuses.bad_request(f"error decoding patch: {error}") from error
        return lambda current: apply_patch(type_, current, patch, schema)

    async def _delete(self, call: Call) -> web.StreamResponse:
        request = call.request(call.path.name)
        options = self._delete_options(call, request)
        return self._deleted(call, await self.parts.registry.delete(request, options))

    def _deleted(self, call: Call, deletion: Deletion) -> web.StreamResponse:
        strategy = self.parts.registry.strategies.of(call.resource)
        if not deletion.gone or strategy.returns_deleted_object:
            return self._answer(call, deletion.record)
        details: Obj = {"name": call.path.name}
        if call.resource.group:
            details["group"] = call.resource.group
        details |= {"kind": call.resource.plural, "uid": deletion.record.obj["metadata"]["uid"]}
        return json_answer(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        )

    def _delete_options(self, call: Call, request: Request) -> DeleteOptions:
        options: Obj = {}
        if call.body:
            parsed = self._body(call)
            options = parsed if isinstance(parsed, dict) else {}
        if "gracePeriodSeconds" in call.query:
            options.setdefault("gracePeriodSeconds", _integer(call, "gracePeriodSeconds"))
        if "propagationPolicy" in call.query:
            options.setdefault("propagationPolicy", call.query["propagationPolicy"])
        policy = options.get("propagationPolicy")
        if policy not in (None, "Background", "Foreground", "Orphan"):
            problem = statuses.not_supported("propagationPolicy", policy, ("Background", "Foreground", "Orphan"))
            message = f'DeleteOptions.meta.k8s.io "" is invalid: {problem.field}: {problem.message}'
            raise StatusError(422, "Invalid", message, {"causes": [problem.to_cause()]})
        if "All" in (options.get("dryRun") or ()):
            request.dry_run = True
        return DeleteOptions.from_object(options)

    async def _delete_collection(self, call: Call) -> web.StreamResponse:
        request = call.request()
        options = self._delete_options(call, request)
        records = await self.parts.registry.delete_collection(request, self._selection(call), options)
        form = negotiate(call.http.headers.get("Accept", ""))
        encoder = Encoder(self.parts.registry.catalog, call.resource, form)
        metadata = {"resourceVersion": str(self.parts.registry.store.revision)}
        return web.Response(body=as_media_type(encoder.records(records, metadata), form), content_type=form.media_type)

    # Subresources

    async def _subresource(self, call: Call) -> web.StreamResponse:
        path, method = call.path, call.http.method
        registry = self.parts.registry
        if path.subresource == "proxy":
            return await serve_proxy(call.http, call.body, path, registry.store, self.parts.real_port)
        if call.resource.storage == "pods" and path.subresource in _STREAMS:
            return await self._stream(call)
        match (path.subresource, method):
            case ("scale", "GET" | "PUT" | "PATCH"):
                return await self._scale(call)
            case ("binding", "POST"):
                return await self._bind(call, self._body(call))
            case ("eviction", "POST"):
                await subresources.evict(registry, call.request(path.name), self._body(call))
                return success(201)
            case ("token", "POST"):
                answer = subresources.request_token(
                    registry, self.parts.tokens, call.request(path.name), self._body(call)
                )
                return json_answer(answer, 201)
            case (_, "GET"):
                return await self._get(call)
            case (_, "PUT"):
                return await self._update(call)
            case (_, "PATCH"):
                return await self._patch(call)
        raise statuses.method_not_allowed()

    async def _stream(self, call: Call) -> web.StreamResponse:
        # Streams are needed late and seldom; loading them would delay the start.
        from meshlab.minicluster.apiserver.streams.handlers import handle_stream

        pod = self.parts.registry.get(call.request(call.path.name)).obj
        if self.parts.backend is None:
            raise StatusError(503, "ServiceUnavailable", "the node is not there yet")
        verb = cast(Literal["log", "exec", "attach", "portforward"], call.path.subresource)
        return await handle_stream(call.http, self.parts.backend, verb, pod)

    async def _scale(self, call: Call) -> web.StreamResponse:
        registry, request = self.parts.registry, call.request(call.path.name)
        paths = subresources.scale_paths(registry.catalog, call.resource)
        if call.http.method == "GET":
            return json_answer(subresources.scale_of(registry.get(request).at(call.resource.api_version), paths))
        if call.http.method == "PUT":
            body = self._body(call)
            change: Callable[[Obj], Obj] = lambda _: body  # noqa: E731
        else:
            change = self._patcher(call, {"type": "object"})
        record = await registry.modify(
            request,
            lambda current: subresources.scaled(
                current, change(subresources.scale_of(current, paths)), paths, call.resource
            ),
        )
        return json_answer(subresources.scale_of(record.at(call.resource.api_version), paths))

    async def _bind(self, call: Call, binding: Obj) -> web.StreamResponse:
        pods = self.parts.registry.catalog.resolve("pods")
        name = call.path.name or binding.get("metadata", {}).get("name") or ""
        request = call.request(name)
        request.resource = pods
        request.namespace = call.path.namespace
        await subresources.bind(self.parts.registry, request, binding)
        return success(201)

    def _review(self, call: Call) -> web.StreamResponse:
        review = self._body(call)
        kind = call.resource.kind
        identified = {"kind": kind, "apiVersion": call.resource.api_version, **review}
        return json_answer(self.parts.reviews.answer(kind, call.user, call.path.namespace, identified), 201)

    # Bodies and answers

    def _body(self, call: Call, request: Request | None = None) -> Obj:
        """The body as an object; duplicate fields are noted in the request."""
        content_type = call.http.headers.get("Content-Type", JSON)
        if _PROTOBUF in content_type:
            from meshlab.minicluster.apiserver.protobuf import decode

            return decode(call.body)
        if not any(word in content_type for word in ("json", "yaml", "octet-stream", "text/plain")):
            raise statuses.unsupported_media_type([JSON, "application/yaml", _PROTOBUF])
        strict = request is not None and request.field_validation != "Ignore"
        parsed, duplicates = parse_body(call.body, content_type, strict=strict)
        if request is not None:
            request.duplicates = duplicates
        if not isinstance(parsed, dict):
            raise statuses.bad_request("couldn't get version/kind; json parse error: the body is not an object")
        return parsed

    def _answer(self, call: Call, record: Record, status: int = 200) -> web.Response:
        form = negotiate(call.http.headers.get("Accept", ""))
        encoder = Encoder(self.parts.registry.catalog, call.resource, form, call.query.get("includeObject", ""))
        return web.Response(body=as_media_type(encoder.one(record), form), status=status, content_type=form.media_type)


def _integer(call: Call, name: str) -> int | None:
    text = call.query.get(name)
    if text in (None, ""):
        return None
    try:
        return int(text)
    except ValueError:
        raise statuses.bad_request(f'{name}: Invalid value: "{text}": strconv.ParseInt: invalid syntax') from None
