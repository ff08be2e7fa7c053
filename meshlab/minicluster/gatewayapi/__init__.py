"""The Gateway API: its CustomResourceDefinitions, which every lab serves from ``up`` on.

`gateway_api_crds` builds them from ``crds.yaml``, which is written by hand, and the CEL rules of `rules`.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from meshlab.minicluster.gatewayapi.rules import RULES
from meshlab.minicluster.kubeapi import Obj

GROUP = "gateway.networking.k8s.io"
BUNDLE_VERSION = "v1.6.1"
APPROVAL = "https://github.com/kubernetes-sigs/gateway-api/pull/4530"

__all__ = ["BUNDLE_VERSION", "GROUP", "gateway_api_crds"]


def gateway_api_crds() -> list[Obj]:
    """The kinds of the standard channel that Istio acts on, fresh objects.

    The alpha versions of TCPRoute and TLSRoute are served as well, as in the experimental channel, which Istio's tasks
    have one install.
    """
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # The parser shares what an anchor names; copies keep every definition independent of the others.
    document = yaml.load((files(__name__) / "crds.yaml").read_text(), loader)
    return [_definition(kind) for kind in document["kinds"]]


def _definition(row: Obj) -> Obj:
    kind: str = row["kind"]
    names: Obj = {
        "categories": ["gateway-api"],
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": row["plural"],
        "singular": kind.lower(),
    }
    if "shortNames" in row:
        names["shortNames"] = row["shortNames"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{row['plural']}.{GROUP}",
            "annotations": {
                "api-approved.kubernetes.io": APPROVAL,
                "gateway.networking.k8s.io/bundle-version": BUNDLE_VERSION,
                "gateway.networking.k8s.io/channel": "standard",
            },
        },
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": row["scope"],
            "versions": [_version(row, version) for version in row["versions"]],
        },
    }


def _version(row: Obj, version: str) -> Obj:
    properties = {"spec": _copy(row["spec"])}
    entry: Obj = {
        "name": version,
        "served": True,
        "storage": version == row["versions"][0],
        "additionalPrinterColumns": _copy(row["columns"]),
        "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": properties}},
    }
    if "alpha" in version:
        entry["deprecated"] = True
        entry["deprecationWarning"] = (
            f"The {version} version of {row['kind']} has been deprecated and will be removed in a future release of "
            f"the API. Please upgrade to {row['versions'][0]}."
        )
    if "status" in row:
        properties["status"] = _copy(row["status"])
        entry["subresources"] = {"status": {}}
    return entry


def _copy(value: Any) -> Any:
    """A copy without shared parts (``copy.deepcopy`` would keep what an anchor shares), its rules written out."""
    if isinstance(value, dict):
        copy = {key: _copy(item) for key, item in value.items() if key != "x-rules"}
        if "x-rules" in value:
            copy["x-kubernetes-validations"] = [dict(rule) for rule in RULES[value["x-rules"]]]
        return copy
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
