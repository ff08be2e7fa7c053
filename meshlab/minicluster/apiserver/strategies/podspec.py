"""Defaults and rules of a pod's spec, shared by pods and by everything that holds a pod template.

The values are those of upstream's ``pkg/apis/core/v1/defaults.go``; the rules those of ``core/validation`` that a
person is likely to meet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from meshlab.minicluster.apiserver import names
from meshlab.minicluster.apiserver.statuses import (
    Problem,
    duplicate,
    invalid_value,
    not_supported,
    required,
)
from meshlab.minicluster.apiserver.strategies.base import fill
from meshlab.minicluster.kubeapi import Obj

DEFAULT_MODE = 0o644

_SPEC_DEFAULTS = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
}
_CONTAINER_DEFAULTS = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_MODED_SOURCES = ("configMap", "secret", "downwardAPI", "projected")

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_ENV_NAME = re.compile(r"[ -<>-~]+")
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?\d+)?")


def containers(spec: Obj) -> Iterator[tuple[str, Obj]]:
    """Every container of a pod spec with the path of its field."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{field}[{index}]", container


def default_pod_spec(spec: Obj) -> None:
    """Fill in a pod spec in place."""
    fill(spec, _SPEC_DEFAULTS)
    fill(spec, {"securityContext": {}})
    if spec.get("serviceAccountName"):
        # The deprecated twin is always shown, as upstream's conversion writes it.
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for _, container in containers(spec):
        default_container(container)
    for volume in spec.get("volumes") or ():
        default_volume(volume)
    for constraint in spec.get("topologySpreadConstraints") or ():
        fill(constraint, {"whenUnsatisfiable": "DoNotSchedule"})


def default_container(container: Obj) -> None:
    """Fill in one container in place."""
    fill(container, _CONTAINER_DEFAULTS)
    fill(container, {"imagePullPolicy": _default_pull_policy(container.get("image") or ""), "resources": {}})
    resources = container["resources"]
    if resources.get("limits"):
        # A limit without a request requests as much.
        resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    for port in container.get("ports") or ():
        fill(port, {"protocol": "TCP"})
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            fill(reference, {"apiVersion": "v1"})
        resource_reference = (variable.get("valueFrom") or {}).get("resourceFieldRef")
        if resource_reference is not None:
            fill(resource_reference, {"divisor": "0"})
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None:
            fill(container[probe], _PROBE_DEFAULTS)
            _default_handler(container[probe])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_handler(hook)


def _default_handler(handler: Obj) -> None:
    if handler.get("httpGet") is not None:
        fill(handler["httpGet"], {"path": "/", "scheme": "HTTP"})
    if handler.get("grpc") is not None:
        fill(handler["grpc"], {"service": ""})


def _default_pull_policy(image: str) -> str:
    reference, digest, _ = image.partition("@")
    tag = reference.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or (not tag and not digest) else "IfNotPresent"


def default_volume(volume: Obj) -> None:
    """Fill in one volume in place; a volume without a source is an emptyDir."""
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for source in _MODED_SOURCES:
        if volume.get(source) is not None:
            fill(volume[source], {"defaultMode": DEFAULT_MODE})
    if volume.get("hostPath") is not None:
        fill(volume["hostPath"], {"type": ""})
    items = list((volume.get("downwardAPI") or {}).get("items") or ())
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("serviceAccountToken") is not None:
            fill(source["serviceAccountToken"], {"expirationSeconds": 3600})
        items += (source.get("downwardAPI") or {}).get("items") or ()
    for item in items:
        if item.get("fieldRef") is not None:
            fill(item["fieldRef"], {"apiVersion": "v1"})


def pod_spec_problems(spec: Obj, path: str) -> Iterator[Problem]:
    """What is wrong with a pod spec."""
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    volumes: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        field = f"{path}.volumes[{index}].name"
        name = volume.get("name") or ""
        if not name:
            yield required(field)
        elif wrong := names.dns_label(name):
            yield invalid_value(field, name, wrong)
        elif name in volumes:
            yield duplicate(field, name)
        volumes.add(name)
    seen: set[str] = set()
    for field, container in containers(spec):
        yield from _container_problems(container, f"{path}.{field}", volumes, seen)
        if field.startswith("containers") and container.get("restartPolicy"):
            yield Problem(
                "FieldValueForbidden",
                f"{path}.{field}.restartPolicy",
                "Forbidden: may not be set for non-init containers",
            )
    if spec.get("restartPolicy") not in _RESTART_POLICIES:
        yield not_supported(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    if spec.get("dnsPolicy") not in _DNS_POLICIES:
        yield not_supported(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)


def _container_problems(container: Obj, path: str, volumes: set[str], seen: set[str]) -> Iterator[Problem]:
    name = container.get("name") or ""
    if not name:
        yield required(f"{path}.name")
    elif wrong := names.dns_label(name):
        yield invalid_value(f"{path}.name", name, wrong)
    elif name in seen:
        yield duplicate(f"{path}.name", name)
    seen.add(name)
    image = container.get("image") or ""
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    policy = container.get("imagePullPolicy")
    if policy not in _PULL_POLICIES:
        yield not_supported(f"{path}.imagePullPolicy", policy, _PULL_POLICIES)
    port_names: set[str] = set()
    for index, port in enumerate(container.get("ports") or ()):
        yield from _port_problems(port, f"{path}.ports[{index}]", port_names)
    for index, variable in enumerate(container.get("env") or ()):
        field = f"{path}.env[{index}]"
        if not variable.get("name"):
            yield required(f"{field}.name")
        elif not _ENV_NAME.fullmatch(variable["name"]):
            yield invalid_value(
                f"{field}.name",
                variable["name"],
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
            )
        if variable.get("value") and variable.get("valueFrom"):
            yield invalid_value(f"{field}.valueFrom", "", "may not be specified when `value` is not empty")
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        field = f"{path}.volumeMounts[{index}]"
        if mount.get("name") not in volumes:
            yield Problem("FieldValueNotFound", f"{field}.name", f'Not found: "{mount.get("name")}"')
        if not mount.get("mountPath"):
            yield required(f"{field}.mountPath")
    yield from _resource_problems(container.get("resources") or {}, f"{path}.resources")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None:
            yield from _probe_problems(container[probe], f"{path}.{probe}", probe)


def _port_problems(port: Obj, path: str, port_names: set[str]) -> Iterator[Problem]:
    number = port.get("containerPort")
    if number is None or number == 0:
        yield required(f"{path}.containerPort")
    elif not 0 < number < 65536:
        yield invalid_value(f"{path}.containerPort", number, "must be between 1 and 65535, inclusive")
    name = port.get("name")
    if name:
        if len(name) > 15:
            yield invalid_value(f"{path}.name", name, "must be no more than 15 characters")
        if name in port_names:
            yield duplicate(f"{path}.name", name)
        port_names.add(name)


def _resource_problems(resources: Obj, path: str) -> Iterator[Problem]:
    for section in ("limits", "requests"):
        for name, quantity in (resources.get(section) or {}).items():
            if not _QUANTITY.fullmatch(str(quantity)):
                yield invalid_value(
                    f"{path}.{section}[{name}]",
                    quantity,
                    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                )


def _probe_problems(probe: Obj, path: str, kind: str) -> Iterator[Problem]:
    handlers = [name for name in ("exec", "httpGet", "tcpSocket", "grpc") if probe.get(name) is not None]
    if not handlers:
        yield required(path, "must specify a handler type")
    elif len(handlers) > 1:
        yield Problem(
            "FieldValueForbidden", f"{path}.{handlers[1]}", "Forbidden: may not specify more than 1 handler type"
        )
    if probe.get("httpGet") is not None and probe["httpGet"].get("port") in (None, 0, ""):
        yield invalid_value(f"{path}.httpGet.port", 0, "must be between 1 and 65535, inclusive")
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def template_problems(template: Obj, path: str, restart_policies: Iterable[str] = ("Always",)) -> Iterator[Problem]:
    """What is wrong with a pod template."""
    metadata = template.get("metadata") or {}
    yield from names.label_problems(metadata.get("labels"), f"{path}.metadata.labels")
    yield from names.annotation_problems(metadata.get("annotations"), f"{path}.metadata.annotations")
    spec = template.get("spec") or {}
    yield from pod_spec_problems(spec, f"{path}.spec")
    allowed = tuple(restart_policies)
    if spec.get("restartPolicy") in _RESTART_POLICIES and spec["restartPolicy"] not in allowed:
        yield not_supported(f"{path}.spec.restartPolicy", spec["restartPolicy"], allowed)


def default_template(template: Obj) -> None:
    """Fill in a pod template in place."""
    fill(template, {"metadata": {}, "spec": {}})
    default_pod_spec(template["spec"])


def qos_class(spec: Obj) -> str:
    """``status.qosClass``: Guaranteed, Burstable or BestEffort (core/helper/qos)."""
    resources = [container.get("resources") or {} for _, container in containers(spec)]
    if not any(section.get("requests") or section.get("limits") for section in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(section.get("limits") or {}) and section.get("requests") == section.get("limits")
        for section in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"
