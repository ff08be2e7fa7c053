"""What makes a Telemetry, a WasmPlugin, a TrafficExtension or a ProxyConfig invalid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, text
from meshlab.minicluster.mesh.istio.validation_common import Caution, Messages, policy_targets, workload_selector

MODULE_SCHEMES = ("", "file", "http", "https", "oci")
SHA256_LENGTH = 64
MAXIMUM_SECRET = 253
MAXIMUM_NAME = 256
NAMED_TAGS = {"literal": ("value", "literal tag value"), "header": ("name", "header tag name")}
NAMED_TAGS["environment"] = ("name", "environment tag name")


def validate_telemetry(obj: Obj) -> Messages:
    """The messages for one Telemetry."""
    spec = mapping(obj.get("spec"))
    yield from policy_targets(spec)
    for metrics in objects(spec.get("metrics")):
        yield from _providers(metrics)
        for override in objects(metrics.get("overrides")):
            yield from _override(override)
    tracing = objects(spec.get("tracing"))
    if len(tracing) > 1:
        yield Caution("multiple tracing is not currently supported")
    for one in tracing:
        yield from _tracing(one)
    for logging in objects(spec.get("accessLogging")):
        if logging.get("filter") is not None:
            yield from _filter(text(mapping(logging["filter"]).get("expression")))
        yield from _providers(logging)


def _providers(settings: Mapping[str, Any]) -> Messages:
    if any(not provider.get("name") for provider in objects(settings.get("providers"))):
        yield "providers.name may not be empty"


def _override(override: Mapping[str, Any]) -> Messages:
    for name, tag in mapping(override.get("tagOverrides")).items():
        if not name:
            yield Caution("tagOverrides.name may not be empty")
        if tag is None:
            yield "tagOverrides may not be null"
        elif tag.get("operation") == "REMOVE":
            if tag.get("value"):
                yield "tagOverrides.value may only be set when operation is UPSERT"
        elif not tag.get("value"):
            yield "tagOverrides.value must be set when operation is UPSERT"
    if mapping(override.get("match")).get("customMetric") == "":
        yield "customMetric may not be empty"


def _tracing(tracing: Mapping[str, Any]) -> Messages:
    if len(objects(tracing.get("providers"))) > 1:
        yield Caution("multiple providers is not currently supported")
    yield from _providers(tracing)
    if not 0 <= (tracing.get("randomSamplingPercentage") or 0) <= 100:
        yield "randomSamplingPercentage must be in range [0.0, 100.0]"
    for name, tag in mapping(tracing.get("customTags")).items():
        if not name:
            yield "tag name may not be empty"
        if tag is None:
            yield f"tag '{name}' may not have a nil value"
            continue
        for kind, (field, what) in NAMED_TAGS.items():
            if kind in tag and not mapping(tag[kind]).get(field):
                yield f"{what} may not be empty"


def _filter(expression: str) -> Messages:
    """The condition of an access log, in CEL; what it may refer to is for Envoy to judge."""
    # The library is loaded by the first resource that needs it.
    from meshlab.minicluster.apiserver.schema.cel import CelError
    from meshlab.minicluster.apiserver.schema.cel import expression as compiled

    try:
        compiled(expression)
    except CelError as error:
        yield f"must be a valid CEL expression, {str(error).partition(': ')[2]}"


def validate_wasm_plugin(obj: Obj) -> Messages:
    """The messages for one WasmPlugin."""
    spec = mapping(obj.get("spec"))
    yield from policy_targets(spec)
    yield from _module(spec)


def validate_traffic_extension(obj: Obj) -> Messages:
    """The messages for one TrafficExtension: a Wasm module or a Lua script."""
    spec = mapping(obj.get("spec"))
    yield from policy_targets(spec)
    if spec.get("wasm") is not None:
        yield from _module({**spec["wasm"], "match": spec.get("match")})


def _module(spec: Mapping[str, Any]) -> Messages:
    url = text(spec.get("url"))
    if not url:
        yield "url field needs to be set"
    elif (scheme := urlsplit(url).scheme if "://" in url else "") not in MODULE_SCHEMES:
        yield f"url contains unsupported scheme: {scheme}"
    sha256 = text(spec.get("sha256"))
    if sha256 and len(sha256) != SHA256_LENGTH:
        yield "sha256 field must be 64 characters long"
    elif sha256 and re.fullmatch(r"[a-f0-9]*", sha256) is None:
        yield "sha256 field must match [a-f0-9]{64} pattern"
    if len(text(spec.get("imagePullSecret"))) > MAXIMUM_SECRET:
        yield "imagePullSecret field must be less than 253 characters long"
    if len(text(spec.get("pluginName"))) > MAXIMUM_NAME:
        yield "pluginName field must be less than 255 characters long"
    yield from _environment(mapping(spec.get("vmConfig")))
    yield from _matches(spec)


def _environment(virtual_machine: Mapping[str, Any]) -> Messages:
    """The variables of a module's virtual machine; the first fault is told."""
    seen = set()
    for variable in objects(virtual_machine.get("env")):
        name = text(variable.get("name"))
        if not name:
            yield "spec.vmConfig.env invalid"
        elif len(name) > MAXIMUM_NAME:
            yield "env.name field must be less than 255 characters long"
        elif name in seen:
            yield "duplicate env"
        elif variable.get("valueFrom") not in (None, "", "INLINE") and variable.get("value"):
            yield "value may only be set when valueFrom is INLINE"
        else:
            seen.add(name)
            continue
        return


def _matches(spec: Mapping[str, Any]) -> Messages:
    for index, match in enumerate(objects(spec.get("match"))):
        for place, port in enumerate(objects(match.get("ports"))):
            number = port.get("number") or 0
            if not 0 < number <= 65535:
                yield f"spec.Match[{index}].Ports[{place}] is out of range: {number}"
                return


def validate_proxy_config(obj: Obj) -> Messages:
    """The messages for one ProxyConfig."""
    spec = mapping(obj.get("spec"))
    yield from workload_selector(spec.get("selector"))
    if (spec.get("concurrency") or 0) < 0:
        yield "concurrency must be greater than or equal to 0"
