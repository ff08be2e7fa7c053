"""``istioctl kube-inject``: manifests in, the same manifests with sidecars out."""

from __future__ import annotations

import argparse
import copy
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.mesh.istio import inject
from meshlab.minicluster.mesh.istio.analysis.files import FileError, documents
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.session import connect

TEMPLATE_PATHS: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "DeploymentConfig": ("spec", "template"),
}
"""Where each workload kind keeps its pod template."""

_NUMBER_TO_OTHERS = re.compile(
    r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?|0[xob][0-9a-fA-F]+|\.(inf|nan)", re.IGNORECASE
)


class _Dumper(yaml.SafeDumper):
    """Quotes strings that other YAML readers (kubectl's) would take for numbers, such as ``1e3``."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if _NUMBER_TO_OTHERS.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


async def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("kube-inject", "Inject the Istio sidecar into Kubernetes workload manifests.")
    parser.add_argument("-f", "--filename", default="", help="the manifest; - for stdin")
    parser.add_argument("-o", "--output", default="", help="write there instead of stdout")
    parser.add_argument("--injectConfigFile", default="", help="injection configuration (key config of the ConfigMap)")
    parser.add_argument("--meshConfigFile", default="", help="mesh configuration (key mesh of the ConfigMap)")
    parser.add_argument("--valuesFile", default="", help="injection values (key values of the ConfigMap)")
    parser.add_argument("--injectConfigMapName", default="istio-sidecar-injector")
    parser.add_argument("--meshConfigMapName", default="istio")
    parser.add_argument("--webhookConfig", default="", help="accepted; the ConfigMaps are read")
    parser.add_argument("-r", "--revision", default="", help="the control plane revision")
    arguments = parser.parse(argv)
    if not arguments.filename:
        raise CommandError("filename not specified (see --filename or -f)", exit_code=EXIT_USAGE)
    text = _read(arguments.filename)
    config = await _configuration(arguments)
    output = transform(text, arguments.filename, config, arguments.namespace or "default")
    if arguments.output:
        _write(arguments.output, output)
    else:
        print(output, end="")
    return 0


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandError(f"could not read {name}: {reason}") from error


def _write(name: str, text: str) -> None:
    try:
        Path(name).write_text(text)
    except OSError as error:
        raise CommandError(f"could not write {name}: {error.strerror}") from error


async def _configuration(arguments: argparse.Namespace) -> inject.InjectionConfig:
    offline = (arguments.injectConfigFile, arguments.meshConfigFile, arguments.valuesFile)
    injector: Obj
    mesh: Obj
    if all(offline):
        injector = {"data": {"config": _read(arguments.injectConfigFile), "values": _read(arguments.valuesFile)}}
        mesh = {"data": {"mesh": _read(arguments.meshConfigFile)}}
    else:
        suffix = f"-{arguments.revision}" if arguments.revision not in ("", "default") else ""
        async with connect(arguments) as session:
            api, namespace = session.api, session.istio_namespace
            injector = await _config_map(api, namespace, arguments.injectConfigMapName + suffix, "--injectConfigFile")
            mesh = await _config_map(api, namespace, arguments.meshConfigMapName + suffix, "--meshConfigFile")
        for path, config_map, key in zip(
            offline, (injector, mesh, injector), ("config", "mesh", "values"), strict=True
        ):
            if path:
                config_map["data"] = {**(config_map.get("data") or {}), key: _read(path)}
    try:
        return inject.InjectionConfig.from_config_maps(injector, mesh)
    except ValueError as error:
        raise CommandError(str(error)) from error


async def _config_map(api: Any, namespace: str, name: str, flag: str) -> Obj:
    try:
        found: Obj = await api.get("configmaps", name, namespace)
    except StatusError as error:
        if error.code != 404:
            raise
        raise CommandError(
            f'could not read valid configmap "{name}" from namespace "{namespace}": {error.message} - '
            f"Use {flag} or re-run kube-inject with -i <istioSystemNamespace> and ensure valid MeshConfig exists",
            hint="istioctl install --set profile=demo -y  installs Istio into the lab.",
        ) from error
    return found


def transform(text: str, name: str, config: inject.InjectionConfig, default_namespace: str) -> str:
    """The manifest with sidecars, documents separated by ``---``; what is skipped is said on stderr.

    Raises:
        CommandError: the manifest cannot be read, or asks for an unknown template.
    """
    output = []
    try:
        for value, _ in documents(text, name):
            if value is None:
                continue
            if not isinstance(value, dict):
                raise CommandError(f"{name} holds a document that is not a Kubernetes object: {str(value)[:60]!r}")
            injected = inject_object(value, config, default_namespace)
            output.append(yaml.dump(injected, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
    except FileError as error:
        raise CommandError(str(error)) from error
    except (inject.UnknownTemplate, ValueError) as error:
        raise CommandError(str(error)) from error
    return "".join(f"{document}---\n" for document in output)


def inject_object(obj: Obj, config: inject.InjectionConfig, default_namespace: str) -> Obj:
    """One object: a workload gets its sidecar, the items of a List are taken one by one, all else stays."""
    kind = str(obj.get("kind", ""))
    if kind.endswith("List") and isinstance(obj.get("items"), list):
        return {**obj, "items": [inject_object(item, config, default_namespace) for item in obj["items"]]}
    path = TEMPLATE_PATHS.get(kind)
    if path is None:
        return obj
    result = copy.deepcopy(obj)
    template: Any = result
    for key in path:
        template = template.get(key) if isinstance(template, dict) else None
    if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        raise CommandError(f'{kind} "{_name(obj)}" has no pod template')
    metadata = obj.get("metadata") or {}
    stated = str(metadata.get("namespace") or "")
    pod = {**template, "metadata": template.get("metadata") or {}}
    for field in ("containers", "initContainers", "volumes"):
        if pod["spec"].get(field) is None:
            pod["spec"].pop(field, None)
    namespace = {"metadata": {"name": stated or default_namespace}}
    owner = None if kind == "Pod" else inject.Owner(_name(obj), kind, str(obj.get("apiVersion", "")))
    outcome = inject.inject(pod, namespace, config, owner=owner)
    if isinstance(outcome, inject.Refusal):
        print(inject.skip_warning(pod, outcome, kind=kind, name=_name(obj), namespace=stated), file=sys.stderr)
        return obj
    if kind == "Pod":
        return outcome
    template.clear()
    template.update(outcome)
    return result


def _name(obj: Obj) -> str:
    metadata = obj.get("metadata") or {}
    return str(metadata.get("name") or metadata.get("generateName") or "")
