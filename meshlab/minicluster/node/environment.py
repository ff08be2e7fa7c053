"""A container's environment: ``env`` and ``envFrom`` with their sources, ``$(VAR)`` references, service variables."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.node import fieldpath


class ConfigError(Exception):
    """A container's configuration refers to something that is not there (``CreateContainerConfigError``)."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where values come from: look-ups in the pod's namespace, None for an object that does not exist."""

    config_map: Callable[[str], Obj | None]
    secret: Callable[[str], Obj | None]
    allocatable: Mapping[str, str]


def secret_text(secret: Obj, key: str) -> str:
    """One value of a Secret as text."""
    return base64.b64decode(secret["data"][key]).decode(errors="replace")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; ``$$`` is a dollar sign, and a reference to an unknown name stays as it is."""
    out: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        out.append(text[position:dollar])
        following = text[dollar + 1 : dollar + 2]
        end = text.find(")", dollar) if following == "(" else -1
        if following == "$":
            out.append("$")
            position = dollar + 2
        elif end > 0:
            name = text[dollar + 2 : end]
            out.append(variables.get(name, f"$({name})"))
            position = end + 1
        else:
            out.append("$")
            position = dollar + 1
    return "".join(out) + text[position:]


def container_environment(pod: Obj, container: Obj, base: Mapping[str, str], sources: Sources) -> dict[str, str]:
    """The variables a container's programs see.

    Args:
        pod: the pod, with its addresses in its status.
        container: one container of its spec.
        base: what the image and the node set; the manifest overrides it.
        sources: where references lead.

    Raises:
        ConfigError: a reference that is not optional leads nowhere; the words are upstream's.
    """
    result = dict(base)
    for source in container.get("envFrom") or []:
        result.update(_from_source(pod, source, sources))
    # References see what was defined before them, in order.
    for entry in container.get("env") or []:
        if entry.get("valueFrom"):
            value = _referenced(pod, container, entry["valueFrom"], sources)
            if value is not None:
                result[entry["name"]] = value
        else:
            result[entry["name"]] = expand(entry.get("value") or "", result)
    return result


def service_variables(services: Iterable[Obj]) -> dict[str, str]:
    """The Docker-links style variables of Services that have a ClusterIP."""
    result: dict[str, str] = {}
    for service in services:
        spec = service["spec"]
        address, ports = spec.get("clusterIP"), spec.get("ports") or []
        if not address or address == "None" or not ports:
            continue
        prefix = service["metadata"]["name"].upper().replace("-", "_")
        result[f"{prefix}_SERVICE_HOST"] = address
        result[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if name := port.get("name"):
                result[f"{prefix}_SERVICE_PORT_{name.upper().replace('-', '_')}"] = str(port["port"])
        result[f"{prefix}_PORT"] = _url(address, ports[0])
        for port in ports:
            protocol = port.get("protocol", "TCP")
            one = f"{prefix}_PORT_{port['port']}_{protocol}"
            result[one] = _url(address, port)
            result[f"{one}_PROTO"] = protocol.lower()
            result[f"{one}_PORT"] = str(port["port"])
            result[f"{one}_ADDR"] = address
    return result


def command_line(
    container: Obj, entrypoint: Sequence[str], command: Sequence[str], env: Mapping[str, str]
) -> list[str]:
    """What to run: ``command`` replaces the image's entrypoint and its command, ``args`` only the latter."""
    given = [expand(word, env) for word in container.get("command") or []]
    args = [expand(word, env) for word in container.get("args") or []]
    if given:
        return given + args
    return list(entrypoint) + (args or list(command))


def _url(address: str, port: Obj) -> str:
    return f"{port.get('protocol', 'TCP').lower()}://{address}:{port['port']}"


def _from_source(pod: Obj, source: Obj, sources: Sources) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    if reference := source.get("configMapRef"):
        found = sources.config_map(reference["name"])
        if found is None and not reference.get("optional"):
            raise ConfigError(f'configmap "{reference["name"]}" not found')
        values = dict((found or {}).get("data") or {})
    elif reference := source.get("secretRef"):
        found = sources.secret(reference["name"])
        if found is None and not reference.get("optional"):
            raise ConfigError(f'secret "{reference["name"]}" not found')
        values = {key: secret_text(found, key) for key in (found.get("data") or {})} if found else {}
    else:
        values = {}
    return {prefix + key: value for key, value in sorted(values.items())}


def _referenced(pod: Obj, container: Obj, source: Obj, sources: Sources) -> str | None:
    namespace = pod["metadata"]["namespace"]
    try:
        if reference := source.get("fieldRef"):
            return fieldpath.field_value(pod, reference["fieldPath"])
        if reference := source.get("resourceFieldRef"):
            named = reference.get("containerName")
            subject = next((c for c in pod["spec"]["containers"] if c["name"] == named), container)
            return fieldpath.resource_value(subject, reference, dict(sources.allocatable))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if reference := source.get("configMapKeyRef"):
        found = sources.config_map(reference["name"])
        if found is not None and reference["key"] in (found.get("data") or {}):
            return str(found["data"][reference["key"]])
        if reference.get("optional"):
            return None
        if found is None:
            raise ConfigError(f'configmap "{reference["name"]}" not found')
        raise ConfigError(f"couldn't find key {reference['key']} in ConfigMap {namespace}/{reference['name']}")
    if reference := source.get("secretKeyRef"):
        found = sources.secret(reference["name"])
        if found is not None and reference["key"] in (found.get("data") or {}):
            return secret_text(found, reference["key"])
        if reference.get("optional"):
            return None
        if found is None:
            raise ConfigError(f'secret "{reference["name"]}" not found')
        raise ConfigError(f"couldn't find key {reference['key']} in Secret {namespace}/{reference['name']}")
    return ""
