"""The kinds that extend the API: webhook configurations, CustomResourceDefinitions, and custom resources themselves."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit

from meshlab.minicluster.apiserver import crd
from meshlab.minicluster.apiserver.catalog import CustomVersion
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.statuses import Problem, invalid_value, not_supported, required
from meshlab.minicluster.apiserver.store import Change, Record
from meshlab.minicluster.apiserver.strategies.base import Environment, Strategy, copy_field, fill, timestamp, without
from meshlab.minicluster.kubeapi import Obj

_WEBHOOK_DEFAULTS = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10}
_SIDE_EFFECTS = ("None", "NoneOnDryRun")


class WebhookConfigurationStrategy(Strategy):
    """MutatingWebhookConfigurations and ValidatingWebhookConfigurations."""

    def default(self, obj: Obj) -> None:
        for webhook in obj.get("webhooks") or ():
            fill(webhook, _WEBHOOK_DEFAULTS)
            fill(webhook, {"namespaceSelector": {}, "objectSelector": {}})
            if self.resource.kind.startswith("Mutating"):
                fill(webhook, {"reinvocationPolicy": "Never"})
            service = (webhook.get("clientConfig") or {}).get("service")
            if service is not None:
                fill(service, {"port": 443})
            for rule in webhook.get("rules") or ():
                fill(rule, {"scope": "*"})

    def validate(self, obj: Obj) -> Iterator[Problem]:
        for index, webhook in enumerate(obj.get("webhooks") or ()):
            path = f"webhooks[{index}]"
            if len((webhook.get("name") or "").split(".")) < 3:
                yield invalid_value(
                    f"{path}.name",
                    webhook.get("name"),
                    "should be a domain with at least three segments separated by dots",
                )
            if webhook.get("sideEffects") not in _SIDE_EFFECTS:
                yield not_supported(f"{path}.sideEffects", webhook.get("sideEffects"), _SIDE_EFFECTS)
            if not webhook.get("admissionReviewVersions"):
                yield required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1")
            if not 1 <= webhook["timeoutSeconds"] <= 30:
                yield invalid_value(
                    f"{path}.timeoutSeconds",
                    webhook["timeoutSeconds"],
                    "the timeout value must be between 1 and 30 seconds",
                )
            yield from self._client_problems(webhook.get("clientConfig") or {}, f"{path}.clientConfig")

    @staticmethod
    def _client_problems(client: Obj, path: str) -> Iterator[Problem]:
        if (client.get("url") is None) == (client.get("service") is None):
            yield required(path, "exactly one of url or service is required")
        elif client.get("url") is not None and urlsplit(client["url"]).scheme != "https":
            yield invalid_value(
                f"{path}.url",
                client["url"],
                "'https' is the only allowed URL scheme; desired format: https://host[/path]",
            )
        if client.get("caBundle"):
            try:
                base64.b64decode(client["caBundle"], validate=True)
            except (binascii.Error, ValueError):
                yield invalid_value(f"{path}.caBundle", "<ca bundle>", "unable to load root certificates: not base64")


class DefinitionStrategy(Strategy):
    """CustomResourceDefinitions: established in the very write that creates them.

    A definition that is deleted stays, terminating, until its objects are gone; the registry sees to those.
    """

    def __init__(self, environment: Environment, resource: Resource) -> None:
        super().__init__(environment, resource)
        for record in environment.store.collection(resource.storage).records.values():
            self._serve(record)

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        spec = obj["spec"]
        fill(spec, {"conversion": {"strategy": "None"}, "names": {}, "versions": []})
        spec["names"] = crd.accepted_names(spec)

    def prepare_create(self, obj: Obj) -> None:
        super().prepare_create(obj)
        obj["metadata"]["finalizers"] = [crd.CLEANUP_FINALIZER]
        self._update_status(obj)

    def prepare_update(self, new: Obj, old: Obj) -> None:
        super().prepare_update(new, old)
        self._update_status(new)

    def _update_status(self, obj: Obj) -> None:
        if not obj["metadata"].get("deletionTimestamp") and any(v.get("storage") for v in obj["spec"]["versions"]):
            obj["status"] = crd.status(obj, self._taken(obj), timestamp())

    def _taken(self, obj: Obj) -> str:
        spec = obj["spec"]
        ours = spec["names"]
        for resource in self.environment.catalog.resources():
            if resource.group == spec["group"] and resource.plural != ours.get("plural"):
                for name in (ours.get("plural"), ours["singular"]):
                    if name in (resource.plural, resource.singular, *resource.short_names):
                        return f'"{name}" is already in use'
                if resource.kind == ours.get("kind"):
                    return f'"{resource.kind}" is already in use'
        return ""

    def validate(self, obj: Obj) -> Iterable[Problem]:
        return crd.problems(obj)

    def validate_update(self, new: Obj, old: Obj) -> Iterator[Problem]:
        if new["spec"].get("scope") != old["spec"].get("scope"):
            yield invalid_value("spec.scope", new["spec"].get("scope"), "field is immutable")
        for field in ("plural", "kind"):
            if new["spec"]["names"].get(field) != old["spec"]["names"].get(field):
                yield invalid_value(f"spec.names.{field}", new["spec"]["names"].get(field), "field is immutable")
        served = {version["name"] for version in new["spec"]["versions"]}
        for version in (old.get("status") or {}).get("storedVersions") or ():
            if version not in served:
                yield invalid_value(
                    "status.storedVersions[0]",
                    version,
                    "missing from spec.versions; " + version + " was previously a "
                    "storage version, and must remain in spec.versions until a storage migration ensures no data "
                    "remains persisted in " + version + " and removes " + version + " from status.storedVersions",
                )

    def committed(self, change: Change) -> None:
        spec = change.record.obj["spec"]
        if change.type == "DELETED":
            self.environment.catalog.undefine(spec["group"], spec["names"]["plural"])
        elif change.previous is None or _row_state(change.record.obj) != _row_state(change.previous.obj):
            self._serve(change.record)

    def _serve(self, record: Record) -> None:
        obj = record.obj
        spec = obj["spec"]
        established = any(
            condition["type"] == "Established" and condition["status"] == "True"
            for condition in (obj.get("status") or {}).get("conditions") or ()
        )
        if established:
            self.environment.catalog.define(spec["group"], spec["names"]["plural"], crd.versions(obj))
            if obj["metadata"].get("deletionTimestamp"):
                self.environment.catalog.freeze_writes(spec["group"], spec["names"]["plural"])


def _row_state(definition: Obj) -> tuple[object, ...]:
    """What of a definition decides what is served."""
    conditions = [(c["type"], c["status"]) for c in (definition.get("status") or {}).get("conditions") or ()]
    return (definition["spec"], conditions, definition["metadata"].get("deletionTimestamp"))


Rule = Callable[[Obj, Obj | None], Iterable[Problem]]
"""A further validation of a custom resource: (new, old) to what is wrong. The place where CEL rules would run."""


class CustomStrategy(Strategy):
    """Custom resources: everything particular is in their definition."""

    unconditional_update = False
    rules: tuple[Rule, ...] = ()

    def __init__(self, environment: Environment, version: CustomVersion) -> None:
        super().__init__(environment, version.resource)
        self.version = version

    @property
    def has_status(self) -> bool:
        return self.version.has_status

    def reset_status(self, obj: Obj) -> None:
        obj.pop("status", None)

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        for key in [key for key in {**new, **old} if key not in ("metadata", "status", "kind", "apiVersion")]:
            copy_field(old, new, key)
        version = new["metadata"].get("resourceVersion")
        new["metadata"] = dict(old["metadata"])
        if version is not None:
            new["metadata"]["resourceVersion"] = version

    def generation_changed(self, new: Obj, old: Obj) -> bool:
        ignored = ("metadata", "status") if self.has_status else ("metadata",)
        return without(new, *ignored) != without(old, *ignored)

    def validate(self, obj: Obj) -> Iterator[Problem]:
        if self.version.scale is not None:
            path = self.version.scale.get("specReplicasPath", "").lstrip(".").split(".")
            node: object = obj
            for step in path:
                node = node.get(step) if isinstance(node, dict) else None
            if isinstance(node, int) and node < 0:
                yield invalid_value(".".join(path), node, "should be a non-negative integer")
        for rule in self.rules:
            yield from rule(obj, None)

    def validate_update(self, new: Obj, old: Obj) -> Iterator[Problem]:
        for rule in self.rules:
            yield from rule(new, old)
