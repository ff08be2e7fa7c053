"""Sidecar injection: a pod in, the pod with its proxy out. Pure; the webhook and ``kube-inject`` both call it."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.inject_custom import UnusableTemplate, apply_fragment
from meshlab.minicluster.mesh.istio.inject_decision import (
    PROXY_CONTAINER,
    STATUS,
    Decision,
    InjectionConfig,
    accept,
    decide,
    is_injected,
    selecting_webhook,
)
from meshlab.minicluster.mesh.istio.inject_probes import rewrite_probes, wants_rewriting
from meshlab.minicluster.mesh.istio.inject_templates import (
    STATUS_PORT,
    TEMPLATES,
    Injected,
    Owner,
    TemplateInput,
    owner_of,
)

__all__ = [
    "Decision",
    "InjectionConfig",
    "Owner",
    "Refusal",
    "UnknownTemplate",
    "accept",
    "decide",
    "inject",
    "is_injected",
    "json_patch",
    "selecting_webhook",
    "skip_warning",
]

TEMPLATES_ANNOTATION = "inject.istio.io/templates"
AUTO_IMAGE = "auto"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The pod stays as it is."""

    reason: str
    injected_already: bool = False


class UnknownTemplate(Exception):
    """The pod asks for an injection template that does not exist."""


def inject(pod: Obj, namespace: Obj, config: InjectionConfig, *, owner: Owner | None = None) -> Obj | Refusal:
    """The pod with its proxy, or why it gets none. The webhook's selectors are not asked again (see `decide`).

    Args:
        pod: a pod, or a workload's pod template.
        namespace: the Namespace that it is created in.
        config: the injector's configuration.
        owner: the workload behind the pod, if the caller knows it better than the pod tells.

    Raises:
        UnknownTemplate: ``inject.istio.io/templates`` names one that is not there, or that cannot be applied.
    """
    name = namespace["metadata"]["name"]
    if is_injected(pod):
        return Refusal(f"the pod has an {PROXY_CONTAINER} container already", injected_already=True)
    decision = accept(pod, name, config)
    if not decision.inject:
        return Refusal(decision.reason)
    given = TemplateInput(pod, name, owner or owner_of(pod), config)
    result = copy.deepcopy(pod)
    chosen = _templates(given)
    for template in chosen:
        if template in TEMPLATES:
            _apply(result, TEMPLATES[template](given))
        else:
            _apply_own(result, given, template)
    default = given.value("sidecarInjectorWebhook", "rewriteAppHTTPProbe", default=True)
    if "sidecar" in chosen and wants_rewriting(given.annotations, bool(default)):
        rewrite_probes(result["spec"], STATUS_PORT)
    annotations = result["metadata"].setdefault("annotations", {})
    for key, value in config.injected_annotations.items():
        annotations.setdefault(key, value)
    annotations[STATUS] = _status(pod, result, config)
    return result


def skip_warning(pod: Obj, refusal: Refusal, *, kind: str = "", name: str = "", namespace: str = "") -> str:
    """What ``kube-inject`` prints on stderr for a workload that it leaves alone, in upstream's words.

    Args:
        pod: the pod or pod template.
        refusal: what `inject` said.
        kind: the workload's kind; empty for none.
        name: the workload's name.
        namespace: its namespace if the manifest states one.
    """
    full_name = f"{namespace}/{name}" if namespace else name
    subject = f'{kind} "{full_name}"' if kind else f'"{full_name}"'
    if (pod.get("spec") or {}).get("hostNetwork"):
        what = "has host networking enabled"
    elif refusal.injected_already:
        what = f'has injected "{PROXY_CONTAINER}" sidecar already'
    else:
        what = "has sidecar injection disabled"
    return f"===> Skipping injection because {subject} {what}"


def json_patch(before: Obj, after: Obj) -> list[Obj]:
    """The JSON patch from the pod to the injected pod, as an ``AdmissionReview`` answers it."""
    patch: list[Obj] = []
    for section, fields in (
        ("metadata", ("labels", "annotations")),
        ("spec", sorted({"initContainers", "containers", "volumes", *after["spec"]})),
    ):
        for field in fields:
            value = after[section].get(field)
            if value is not None and value != before[section].get(field):
                # "add" on a member that exists replaces it (RFC 6902, 4.1).
                patch.append({"op": "add", "path": f"/{section}/{field}", "value": value})
    return patch


def _templates(given: TemplateInput) -> list[str]:
    asked = given.annotations.get(TEMPLATES_ANNOTATION)
    names = [name.strip() for name in asked.split(",")] if asked else list(given.config.default_templates)
    own = given.config.templates
    for name in names:
        if name not in TEMPLATES and name not in own:
            raise UnknownTemplate(f"requested template {name!r} not found; have {', '.join((*TEMPLATES, *own))}")
    return names


def _apply_own(pod: Obj, given: TemplateInput, name: str) -> None:
    try:
        apply_fragment(pod, name, str(given.config.templates[name]))
    except UnusableTemplate as error:
        raise UnknownTemplate(str(error)) from error


def _apply(pod: Obj, added: Injected) -> None:
    spec, metadata = pod["spec"], pod["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), **added.labels}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **added.annotations}
    container = added.container
    for field in ("containers", "initContainers"):
        for own in list(spec.get(field) or []):
            if own["name"] == PROXY_CONTAINER:
                container = _customise(container, own)
                spec[field].remove(own)
    if added.init:
        # First, so that the application's own init containers have their proxy already.
        spec["initContainers"] = [container, *(spec.get("initContainers") or [])]
    elif "lifecycle" in container:
        spec["containers"] = [container, *(spec.get("containers") or [])]
    else:
        spec["containers"] = [*(spec.get("containers") or []), container]
    present = {volume["name"] for volume in spec.get("volumes") or []}
    added_volumes = [volume for volume in added.volumes if volume["name"] not in present]
    spec["volumes"] = [*added_volumes, *(spec.get("volumes") or [])]


_MERGE_KEYS = {"env": "name", "ports": "containerPort", "volumeMounts": "mountPath"}


def _customise(template: Obj, own: Obj) -> Obj:
    """The template with the pod's own ``istio-proxy`` container laid over it; image ``auto`` means the template's."""
    result = dict(template)
    for field, value in own.items():
        if field == "image" and value == AUTO_IMAGE:
            continue
        if field in _MERGE_KEYS:
            result[field] = _merge_lists(template.get(field) or [], value or [], _MERGE_KEYS[field])
        elif isinstance(value, dict) and isinstance(template.get(field), dict) and field not in ("readinessProbe",):
            result[field] = {**template[field], **value}
        elif value not in (None, [], {}):
            result[field] = value
    return result


def _merge_lists(template: list[Obj], own: list[Obj], key: str) -> list[Obj]:
    named: dict[Any, Obj] = {item.get(key): item for item in template}
    for item in own:
        named[item.get(key)] = item
    return list(named.values())


def _status(before: Obj, after: Obj, config: InjectionConfig) -> str:
    def added(field: str) -> list[str] | None:
        old = {item["name"] for item in before["spec"].get(field) or []}
        return [item["name"] for item in after["spec"].get(field) or [] if item["name"] not in old] or None

    containers = added("containers")
    init_containers = added("initContainers")
    if init_containers is None and containers is None:
        containers = [PROXY_CONTAINER]
    status = {
        "initContainers": init_containers,
        "containers": containers,
        "volumes": added("volumes"),
        "imagePullSecrets": None,
        "revision": config.revision,
    }
    return json.dumps(status, separators=(",", ":"))
