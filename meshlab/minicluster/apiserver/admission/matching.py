"""Which webhooks an operation concerns: their rules, their selectors, their match policy."""

from __future__ import annotations

from meshlab.minicluster.apiserver.admission.attributes import Attributes
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.selectors import selector_from_object
from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.kubeapi import Obj

CONFIGURATION_GROUP = "admissionregistration.k8s.io"


def matched_version(webhook: Obj, attributes: Attributes, store: Store, catalog: Catalog) -> Resource | None:
    """The version of the resource in which this webhook wants to see the operation; None if it does not concern it."""
    request = attributes.request
    if request.resource.group == CONFIGURATION_GROUP:
        # Webhooks never judge webhook configurations, or one could lock everybody out.
        return None
    version = _by_rules(webhook, attributes, catalog)
    if version is None:
        return None
    if not _object_selected(webhook.get("objectSelector"), attributes):
        return None
    return version if _namespace_selected(webhook.get("namespaceSelector"), attributes, store) else None


def _by_rules(webhook: Obj, attributes: Attributes, catalog: Catalog) -> Resource | None:
    resource = attributes.request.resource
    rules = webhook.get("rules") or ()
    if any(_rule_matches(rule, resource, attributes) for rule in rules):
        return resource
    if webhook.get("matchPolicy", "Equivalent") != "Equivalent":
        return None
    for other in catalog.resources():
        same = other.storage == resource.storage and other is not resource
        if same and any(_rule_matches(rule, other, attributes) for rule in rules):
            return other
    return None


def _rule_matches(rule: Obj, resource: Resource, attributes: Attributes) -> bool:
    if not {"*", attributes.operation} & set(rule.get("operations") or ()):
        return False
    if not {"*", resource.group} & set(rule.get("apiGroups") or ()):
        return False
    if not {"*", resource.version} & set(rule.get("apiVersions") or ()):
        return False
    scope = rule.get("scope", "*")
    if scope != "*" and (scope == "Namespaced") != resource.namespaced:
        return False
    subresource = attributes.request.subresource
    wanted = (
        {"*/*", f"{resource.plural}/{subresource}", f"*/{subresource}", f"{resource.plural}/*"}
        if subresource
        else {
            "*",
            "*/*",
            f"{resource.plural}/*",
            resource.plural,
        }
    )
    return bool(wanted & set(rule.get("resources") or ()))


def _object_selected(selector: Obj | None, attributes: Attributes) -> bool:
    if not selector:
        return True
    parsed = selector_from_object(selector)
    return any(
        parsed.matches(obj["metadata"].get("labels") or {})
        for obj in (attributes.obj, attributes.old)
        if obj is not None
    )


def _namespace_selected(selector: Obj | None, attributes: Attributes, store: Store) -> bool:
    if not selector:
        return True
    request = attributes.request
    if request.resource.storage == "namespaces":
        obj = attributes.obj or attributes.old
        labels = obj["metadata"].get("labels") if obj is not None else None
    elif request.resource.namespaced:
        record = store.get("namespaces", ("", request.namespace))
        labels = record.obj["metadata"].get("labels") if record is not None else None
    else:
        return True
    return selector_from_object(selector).matches(labels or {})
