"""The small kinds: namespaces, configuration, identities, endpoints, storage, events, policies and access rules."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator

from meshlab.minicluster.apiserver import names
from meshlab.minicluster.apiserver.statuses import Problem, forbidden_field, invalid_value, not_supported, required
from meshlab.minicluster.apiserver.strategies.base import Strategy, copy_field, fill
from meshlab.minicluster.kubeapi import Obj

NAME_LABEL = "kubernetes.io/metadata.name"
NAMESPACE_FINALIZER = "kubernetes"
_MAX_DATA_BYTES = 1024 * 1024
RBAC_GROUP = "rbac.authorization.k8s.io"


class NamespaceStrategy(Strategy):
    """Namespaces: they go only when their controller has emptied them (``spec.finalizers``)."""

    counts_generations = False
    check_name = staticmethod(names.dns_label)

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        name = obj["metadata"].get("name")
        if name:
            obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), NAME_LABEL: name}

    def prepare_create(self, obj: Obj) -> None:
        super().prepare_create(obj)
        self.default(obj)
        finalizers = obj["spec"].get("finalizers") or []
        if NAMESPACE_FINALIZER not in finalizers:
            obj["spec"]["finalizers"] = [*finalizers, NAMESPACE_FINALIZER]

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, new: Obj, old: Obj) -> None:
        super().prepare_update(new, old)
        new["spec"]["finalizers"] = list((old.get("spec") or {}).get("finalizers") or ())
        if not new["spec"]["finalizers"]:
            del new["spec"]["finalizers"]

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        if subresource != "finalize":
            super().prepare_subresource_update(subresource, new, old)
            return
        finalizers = (new.get("spec") or {}).get("finalizers") or []
        new["spec"] = {**old["spec"], "finalizers": finalizers}
        if not finalizers:
            del new["spec"]["finalizers"]
        copy_field(old, new, "status")

    def announce_deletion(self, obj: Obj) -> Obj:
        metadata = {key: value for key, value in obj["metadata"].items() if key != "deletionGracePeriodSeconds"}
        return {**obj, "metadata": metadata, "status": {**(obj.get("status") or {}), "phase": "Terminating"}}

    def is_held(self, obj: Obj) -> bool:
        return super().is_held(obj) or bool(obj["spec"].get("finalizers"))


def _data_problems(obj: Obj, size: int) -> Iterator[Problem]:
    if size > _MAX_DATA_BYTES:
        yield Problem("FieldValueTooLong", "data", f"Too long: may not be more than {_MAX_DATA_BYTES} bytes")


def _key_problems(keys: Iterable[str], field: str) -> Iterator[Problem]:
    for key in keys:
        if not key or not all(c.isascii() and (c.isalnum() or c in "-._") for c in key) or key in (".", ".."):
            yield invalid_value(
                f"{field}[{key}]",
                key,
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
            )


def _immutability_problems(new: Obj, old: Obj, fields: Iterable[str]) -> Iterator[Problem]:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden_field("immutable", "field is immutable when `immutable` is set")
    for field in fields:
        if new.get(field) != old.get(field):
            yield forbidden_field(field, "field is immutable when `immutable` is set")


class ConfigMapStrategy(Strategy):
    """ConfigMaps."""

    counts_generations = False

    def validate(self, obj: Obj) -> Iterator[Problem]:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        yield from _key_problems(data, "data")
        yield from _key_problems(binary, "binaryData")
        for key in data.keys() & binary.keys():
            yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
        size = sum(len(value.encode()) for value in data.values()) + sum(
            len(value) * 3 // 4 for value in binary.values()
        )
        yield from _data_problems(obj, size)

    def validate_update(self, new: Obj, old: Obj) -> Iterator[Problem]:
        return _immutability_problems(new, old, ("data", "binaryData"))


class SecretStrategy(Strategy):
    """Secrets: ``stringData`` is written into ``data``."""

    counts_generations = False

    def default(self, obj: Obj) -> None:
        fill(obj, {"type": "Opaque"})
        texts = obj.pop("stringData", None)
        if texts:
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in texts.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}

    def validate(self, obj: Obj) -> Iterator[Problem]:
        data = obj.get("data") or {}
        yield from _key_problems(data, "data")
        size = 0
        for key, value in data.items():
            try:
                size += len(base64.b64decode(value or "", validate=True))
            except (binascii.Error, ValueError):
                yield invalid_value(f"data[{key}]", "<secret contents redacted>", "illegal base64 data")
        yield from _data_problems(obj, size)
        wanted = {"kubernetes.io/tls": ("tls.crt", "tls.key"), "kubernetes.io/dockerconfigjson": (".dockerconfigjson",)}
        for key in wanted.get(obj["type"], ()):
            if key not in data:
                yield required(f"data[{key}]")

    def validate_update(self, new: Obj, old: Obj) -> Iterator[Problem]:
        if new.get("type") != old.get("type"):
            yield invalid_value("type", new.get("type"), "field is immutable")
        yield from _immutability_problems(new, old, ("data",))


class ReturnedStrategy(Strategy):
    """Kinds whose DELETE answers with the object."""

    counts_generations = False
    returns_deleted_object = True


class NodeStrategy(Strategy):
    """Nodes: they register themselves, status and all."""

    counts_generations = False
    keeps_status_on_create = True

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})

    def prepare_create(self, obj: Obj) -> None:
        fill(obj, {"status": {}})


class EndpointsStrategy(Strategy):
    """Endpoints and EndpointSlices."""

    def default(self, obj: Obj) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                fill(port, {"protocol": "TCP"})
        for port in obj.get("ports") or ():
            fill(port, {"protocol": "TCP", "name": ""})

    def validate_update(self, new: Obj, old: Obj) -> Iterator[Problem]:
        if new.get("addressType") != old.get("addressType"):
            yield invalid_value("addressType", new.get("addressType"), "field is immutable")

    @property
    def _sliced(self) -> bool:
        return self.resource.group != ""

    def generation_changed(self, new: Obj, old: Obj) -> bool:
        return self._sliced and super().generation_changed(new, old)


class EventStrategy(Strategy):
    """Events, kept as core/v1 knows them."""

    counts_generations = False

    def default(self, obj: Obj) -> None:
        fill(
            obj,
            {"involvedObject": {}, "source": {}, "reportingComponent": "", "reportingInstance": "", "type": "Normal"},
        )
        for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
            obj.setdefault(field, None)


class PersistentVolumeClaimStrategy(ReturnedStrategy):
    """PersistentVolumeClaims."""

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        fill(obj["spec"], {"volumeMode": "Filesystem"})

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending"}


class PersistentVolumeStrategy(ReturnedStrategy):
    """PersistentVolumes."""

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        fill(obj["spec"], {"volumeMode": "Filesystem", "persistentVolumeReclaimPolicy": "Retain"})

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending"}


class IngressStrategy(Strategy):
    """Ingresses."""

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = {"loadBalancer": {}}

    def validate(self, obj: Obj) -> Iterator[Problem]:
        spec = obj.get("spec") or {}
        if not spec.get("rules") and not spec.get("defaultBackend"):
            yield invalid_value("spec", [], "either `defaultBackend` or `rules` must be specified")
        for index, rule in enumerate(spec.get("rules") or ()):
            for at, path in enumerate((rule.get("http") or {}).get("paths") or ()):
                field = f"spec.rules[{index}].http.paths[{at}]"
                kinds = ("Exact", "ImplementationSpecific", "Prefix")
                if not path.get("pathType"):
                    yield required(f"{field}.pathType", "pathType must be specified")
                elif path["pathType"] not in kinds:
                    yield not_supported(f"{field}.pathType", path["pathType"], kinds)


class NetworkPolicyStrategy(Strategy):
    """NetworkPolicies."""

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        spec = obj["spec"]
        fill(spec, {"podSelector": {}})
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
        for direction in ("ingress", "egress"):
            for rule in spec.get(direction) or ():
                for port in rule.get("ports") or ():
                    fill(port, {"protocol": "TCP"})


class HorizontalPodAutoscalerStrategy(Strategy):
    """HorizontalPodAutoscalers."""

    counts_generations = False

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        fill(obj["spec"], {"minReplicas": 1})

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = {"currentMetrics": None, "desiredReplicas": 0}


class PodDisruptionBudgetStrategy(Strategy):
    """PodDisruptionBudgets."""

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = dict.fromkeys(("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"), 0)

    def validate(self, obj: Obj) -> Iterator[Problem]:
        spec = obj.get("spec") or {}
        if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
            yield invalid_value("spec", spec, "minAvailable and maxUnavailable cannot be both set")


class PriorityClassStrategy(Strategy):
    """PriorityClasses."""

    def default(self, obj: Obj) -> None:
        fill(obj, {"preemptionPolicy": "PreemptLowerPriority"})


class CertificateSigningRequestStrategy(Strategy):
    """CertificateSigningRequests."""

    counts_generations = False

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        # Approval and status both govern nothing but the status here.
        self.prepare_status_update(new, old)


class RoleStrategy(Strategy):
    """Roles and ClusterRoles."""

    counts_generations = False
    check_name = staticmethod(names.path_segment)

    def default(self, obj: Obj) -> None:
        obj.setdefault("rules", None)

    def validate(self, obj: Obj) -> Iterator[Problem]:
        for index, rule in enumerate(obj.get("rules") or ()):
            path = f"rules[{index}]"
            if not rule.get("verbs"):
                yield required(f"{path}.verbs", "verbs must contain at least one value")
            if rule.get("nonResourceURLs"):
                if rule.get("resources") or rule.get("apiGroups"):
                    yield invalid_value(
                        f"{path}.nonResourceURLs",
                        rule["nonResourceURLs"],
                        "rules cannot apply to both regular resources and non-resource URLs",
                    )
                continue
            if not rule.get("apiGroups"):
                yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
            if not rule.get("resources"):
                yield required(f"{path}.resources", "resource rules must supply at least one resource")


class RoleBindingStrategy(Strategy):
    """RoleBindings and ClusterRoleBindings."""

    counts_generations = False
    check_name = staticmethod(names.path_segment)

    def default(self, obj: Obj) -> None:
        fill(obj, {"roleRef": {}})
        fill(obj["roleRef"], {"apiGroup": RBAC_GROUP})
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                fill(subject, {"apiGroup": RBAC_GROUP})

    def validate(self, obj: Obj) -> Iterator[Problem]:
        kinds = ("ClusterRole",) if not self.resource.namespaced else ("ClusterRole", "Role")
        reference = obj["roleRef"]
        if reference.get("kind") not in kinds:
            yield not_supported("roleRef.kind", reference.get("kind"), kinds)
        if not reference.get("name"):
            yield required("roleRef.name")
        for index, subject in enumerate(obj.get("subjects") or ()):
            path = f"subjects[{index}]"
            if not subject.get("name"):
                yield required(f"{path}.name")
            if subject.get("kind") == "ServiceAccount":
                # In a RoleBinding it is the binding's own.
                if not subject.get("namespace") and not self.resource.namespaced:
                    yield required(f"{path}.namespace")
            elif subject.get("kind") not in ("User", "Group"):
                yield not_supported(f"{path}.kind", subject.get("kind"), ("Group", "ServiceAccount", "User"))

    def validate_update(self, new: Obj, old: Obj) -> Iterator[Problem]:
        if new["roleRef"] != old["roleRef"]:
            yield invalid_value("roleRef", new["roleRef"], "cannot change roleRef")


class LeaseStrategy(Strategy):
    """Leases: two candidates must never both believe they wrote."""

    counts_generations = False
    unconditional_update = False


class PlainStrategy(Strategy):
    """Kinds with nothing particular and no generation."""

    counts_generations = False
