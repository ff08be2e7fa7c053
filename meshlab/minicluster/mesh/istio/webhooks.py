"""istiod's admission webhooks: ``/inject`` gives pods their sidecar, ``/validate`` refuses broken resources."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Sequence

import orjson
from aiohttp import web

from meshlab.minicluster.informer import Informer
from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.mesh.istio.inject import (
    InjectionConfig,
    Refusal,
    UnknownTemplate,
    inject,
    json_patch,
)
from meshlab.minicluster.mesh.istio.proxyconfig import with_proxy_configs
from meshlab.minicluster.mesh.istio.validation import format_errors, judge

logger = logging.getLogger(__name__)

MAX_BODY = 8 * 1024 * 1024


class InjectionConfigSource:
    """The injector's configuration as the ConfigMaps have it now, parsed once per change.

    Args:
        config_maps: the informer of istiod's namespace.
        namespace: istiod's namespace.
        suffix: what the revision adds to the names of the ConfigMaps.
    """

    def __init__(self, config_maps: Informer, namespace: str, suffix: str) -> None:
        self._config_maps = config_maps
        self._namespace = namespace
        self._names = (f"istio-sidecar-injector{suffix}", f"istio{suffix}")
        self._parsed: tuple[tuple[str, ...], InjectionConfig] | None = None

    def get(self) -> InjectionConfig:
        """The configuration.

        Raises:
            ValueError: it is missing or malformed.
        """
        injector, mesh = (self._config_maps.get(name, self._namespace) for name in self._names)
        if injector is None:
            raise ValueError(f"ConfigMap {self._namespace}/{self._names[0]} does not exist")
        versions = tuple((found or {}).get("metadata", {}).get("resourceVersion", "") for found in (injector, mesh))
        if self._parsed is None or self._parsed[0] != versions:
            self._parsed = (versions, InjectionConfig.from_config_maps(injector, mesh))
        return self._parsed[1]


class Webhooks:
    """The two webhooks as one web application.

    Args:
        api: the cluster, for a namespace that the informer does not have yet.
        namespaces: the informer of namespaces.
        config: the injector's configuration.
        proxy_configs: the ProxyConfigs there are.
        root: the root namespace.
    """

    def __init__(
        self,
        api: KubeApi,
        namespaces: Informer,
        config: Callable[[], InjectionConfig],
        proxy_configs: Callable[[], Sequence[Obj]] = tuple,
        root: str = "istio-system",
    ) -> None:
        self._api = api
        self._namespaces = namespaces
        self._config = config
        self._proxy_configs = proxy_configs
        self._root = root

    def application(self) -> web.Application:
        """``/inject`` and ``/validate``, each also with the path parameters that upstream allows."""
        application = web.Application(client_max_size=MAX_BODY)
        for path in ("/inject", "/inject/{parameters:.*}"):
            application.router.add_post(path, self._inject)
        for path in ("/validate", "/validateWorkloads"):
            application.router.add_post(path, self._validate)
        return application

    async def _inject(self, request: web.Request) -> web.Response:
        review = await _review(request)
        return _answer(review, await self.review_injection(review["request"]))

    async def _validate(self, request: web.Request) -> web.Response:
        review = await _review(request)
        return _answer(review, review_validation(review["request"]))

    async def review_injection(self, request: Obj) -> Obj:
        """The response to an admission request for a pod."""
        pod = request.get("object") or {}
        pod.setdefault("metadata", {})
        pod.setdefault("spec", {})
        name = request.get("namespace") or pod["metadata"].get("namespace") or "default"
        try:
            namespace = self._namespaces.get(name) or await self._api.get("namespaces", name)
            labels = pod["metadata"].get("labels") or {}
            config = with_proxy_configs(self._config(), self._proxy_configs(), name, labels, self._root)
            result = inject(pod, namespace, config)
        except (ValueError, UnknownTemplate, StatusError) as error:
            logger.error("injection into %s failed: %s", name, error)
            return _denied(str(error))
        described = pod["metadata"].get("name") or pod["metadata"].get("generateName") or ""
        if isinstance(result, Refusal):
            logger.info("Sidecar injection request for %s/%s skipped: %s", name, described, result.reason)
            return {"allowed": True}
        logger.info("Sidecar injection request for %s/%s", name, described)
        patch = orjson.dumps(json_patch(pod, result))
        return {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}


def review_validation(request: Obj) -> Obj:
    """The response to an admission request for one of Istio's resources."""
    if request.get("operation") not in ("CREATE", "UPDATE"):
        return {"allowed": True}
    obj = request.get("object") or {}
    metadata = {"namespace": request.get("namespace") or "", **(obj.get("metadata") or {})}
    judgement = judge({**obj, "metadata": metadata})
    if judgement.errors:
        return _denied(f"configuration is invalid: {format_errors(judgement.errors)}")
    if judgement.warnings:
        return {"allowed": True, "warnings": list(judgement.warnings)}
    return {"allowed": True}


def _denied(message: str) -> Obj:
    return {"allowed": False, "status": {"metadata": {}, "message": message}}


async def _review(request: web.Request) -> Obj:
    try:
        review = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise web.HTTPBadRequest(text=f"could not decode the AdmissionReview: {error}") from error
    if not isinstance(review, dict) or not isinstance(review.get("request"), dict):
        raise web.HTTPBadRequest(text="the body is not an AdmissionReview")
    return review


def _answer(review: Obj, response: Obj) -> web.Response:
    body = {
        "apiVersion": review.get("apiVersion") or "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": review["request"].get("uid") or "", **response},
    }
    return web.json_response(body, dumps=lambda value: orjson.dumps(value).decode())
