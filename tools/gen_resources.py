"""Generate ``meshlab/minicluster/apiserver/data/resources.json``: every built-in resource the API server serves.

The source is the package ``lightkube-models`` (MIT), whose modules name group, version, kind, plural, scope, verbs and
subresources of each built-in. They are read as syntax, so nothing of the package is imported. What it does not know
(short names, categories, streaming subresources) stands in the tables below.

    pip install --no-deps --target build/lightkube 'lightkube-models==1.37.*'
    python tools/gen_resources.py build/lightkube
"""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent.parent / "meshlab/minicluster/apiserver/data/resources.json"

# In the order in which discovery lists them. Beta and alpha versions are off, as in a default cluster.
GROUP_VERSIONS = [
    ("", "v1"),
    ("apiregistration.k8s.io", "v1"),
    ("apps", "v1"),
    ("events.k8s.io", "v1"),
    ("authentication.k8s.io", "v1"),
    ("authorization.k8s.io", "v1"),
    ("autoscaling", "v2"),
    ("autoscaling", "v1"),
    ("batch", "v1"),
    ("certificates.k8s.io", "v1"),
    ("networking.k8s.io", "v1"),
    ("policy", "v1"),
    ("rbac.authorization.k8s.io", "v1"),
    ("storage.k8s.io", "v1"),
    ("admissionregistration.k8s.io", "v1"),
    ("apiextensions.k8s.io", "v1"),
    ("scheduling.k8s.io", "v1"),
    ("coordination.k8s.io", "v1"),
    ("node.k8s.io", "v1"),
    ("discovery.k8s.io", "v1"),
]

# Served upstream, but nothing here would act on them: better absent than accepted and ignored.
LEFT_OUT = {
    "clustertrustbundles",
    "componentstatuses",
    "ipaddresses",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "podcertificaterequests",
    "servicecidrs",
}

SHORT_NAMES = {
    "certificatesigningrequests": ["csr"],
    "configmaps": ["cm"],
    "cronjobs": ["cj"],
    "customresourcedefinitions": ["crd", "crds"],
    "daemonsets": ["ds"],
    "deployments": ["deploy"],
    "endpoints": ["ep"],
    "events": ["ev"],
    "horizontalpodautoscalers": ["hpa"],
    "ingresses": ["ing"],
    "limitranges": ["limits"],
    "namespaces": ["ns"],
    "networkpolicies": ["netpol"],
    "nodes": ["no"],
    "persistentvolumeclaims": ["pvc"],
    "persistentvolumes": ["pv"],
    "poddisruptionbudgets": ["pdb"],
    "pods": ["po"],
    "priorityclasses": ["pc"],
    "replicasets": ["rs"],
    "replicationcontrollers": ["rc"],
    "resourcequotas": ["quota"],
    "serviceaccounts": ["sa"],
    "services": ["svc"],
    "statefulsets": ["sts"],
    "storageclasses": ["sc"],
    "volumeattributesclasses": ["vac"],
}

CATEGORIES = {
    "all": {
        "cronjobs",
        "daemonsets",
        "deployments",
        "horizontalpodautoscalers",
        "jobs",
        "pods",
        "replicasets",
        "replicationcontrollers",
        "services",
        "statefulsets",
    },
    "api-extensions": {
        "apiservices",
        "customresourcedefinitions",
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    },
}

PROXY_VERBS = ["create", "delete", "get", "patch", "update"]

# resource -> subresource -> (group, version, kind, verbs): what the package lacks or names otherwise than discovery.
SUBRESOURCES: dict[str, dict[str, tuple[str, str, str, list[str]]]] = {
    "pods": {
        "log": ("", "v1", "Pod", ["get"]),
        "exec": ("", "v1", "PodExecOptions", ["create", "get"]),
        "attach": ("", "v1", "PodAttachOptions", ["create", "get"]),
        "portforward": ("", "v1", "PodPortForwardOptions", ["create", "get"]),
        "proxy": ("", "v1", "PodProxyOptions", PROXY_VERBS),
        "eviction": ("policy", "v1", "Eviction", ["create"]),
    },
    "services": {"proxy": ("", "v1", "ServiceProxyOptions", PROXY_VERBS)},
    "nodes": {"proxy": ("", "v1", "NodeProxyOptions", PROXY_VERBS)},
}

# Two APIs over one set of objects.
SHARED_STORAGE = {("events.k8s.io", "events"): "events"}

VERBS = {"post": "create", "put": "update", "global_list": "list", "global_watch": "watch"}


@dataclass(frozen=True)
class Declaration:
    """One ``_api_info`` of the package."""

    group: str
    version: str
    kind: str
    plural: str
    verbs: list[str]
    scope: str
    parent: tuple[str, str, str] | None
    action: str


def resource_def(node: ast.expr | None) -> tuple[str, str, str] | None:
    """``res.ResourceDef('apps', 'v1', 'Deployment')`` as a tuple."""
    if not isinstance(node, ast.Call):
        return None
    group, version, kind = (ast.literal_eval(argument) for argument in node.args)
    return group, version, kind


def declarations(module: Path) -> Iterator[Declaration]:
    """The API declarations in one module of ``lightkube.resources``."""
    for node in ast.parse(module.read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        info = next((item for item in node.body if isinstance(item, ast.Assign)), None)
        if info is None or not isinstance(info.value, ast.Call):
            continue
        values = {keyword.arg: keyword.value for keyword in info.value.keywords}
        definition = resource_def(values["resource"])
        assert definition is not None
        base = node.bases[0]
        assert isinstance(base, ast.Attribute)
        yield Declaration(
            *definition,
            plural=ast.literal_eval(values["plural"]),
            verbs=sorted({VERBS.get(verb, verb) for verb in ast.literal_eval(values["verbs"])}),
            scope=base.attr,
            parent=resource_def(values.get("parent")),
            action=ast.literal_eval(values["action"]) if "action" in values else "",
        )


def subresource(name: str, group: str, version: str, kind: str, verbs: list[str]) -> dict[str, Any]:
    return {"name": name, "group": group, "version": version, "kind": kind, "verbs": verbs}


def build(source: Path) -> list[dict[str, Any]]:
    """The table, in discovery order."""
    everything = [item for path in sorted((source / "lightkube/resources").glob("*.py")) for item in declarations(path)]
    table = []
    for group, version in GROUP_VERSIONS:
        own = [item for item in everything if not item.action and (item.group, item.version) == (group, version)]
        for item in sorted(own, key=lambda item: item.plural):
            if item.plural in LEFT_OUT:
                continue
            subresources = {
                child.action: subresource(child.action, child.group, child.version, child.kind, child.verbs)
                for child in everything
                if child.action
                and child.plural == item.plural
                and child.parent is not None
                and child.parent[:2] == (group, version)
            }
            if not group:
                for name, row in SUBRESOURCES.get(item.plural, {}).items():
                    subresources[name] = subresource(name, *row)
            storage = f"{group}/{item.plural}" if group else item.plural
            table.append(
                {
                    "group": group,
                    "version": version,
                    "kind": item.kind,
                    "plural": item.plural,
                    "singular": item.kind.lower(),
                    "namespaced": item.scope.startswith("Namespaced"),
                    "verbs": item.verbs,
                    "shortNames": SHORT_NAMES.get(item.plural, []),
                    "categories": [name for name, members in CATEGORIES.items() if item.plural in members],
                    "subresources": [subresources[name] for name in sorted(subresources)],
                    "storage": SHARED_STORAGE.get((group, item.plural), storage),
                }
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="folder into which lightkube-models was installed")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    lines = [json.dumps(row, separators=(",", ":")) for row in build(arguments.source)]
    arguments.output.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(lines)} resources -> {arguments.output}")


if __name__ == "__main__":
    main()
