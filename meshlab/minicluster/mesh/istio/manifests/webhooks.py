"""The injector's webhook entries: which namespaces and pods make the API server call istiod.

The table is upstream's (charts istio-discovery and default): four entries for the default revision, two for another,
one more when every namespace is injected unless it says no. Labels only; annotations never take part here.
"""

from __future__ import annotations

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.inject_decision import INJECTION, REVISION

INJECT = "sidecar.istio.io/inject"
IGNORED_NAMESPACES = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"]


def _absent(key: str) -> Obj:
    return {"key": key, "operator": "DoesNotExist"}


def _in(key: str, *values: str) -> Obj:
    return {"key": key, "operator": "In", "values": list(values)}


NOT_REFUSED: Obj = {"key": INJECT, "operator": "NotIn", "values": ["false"]}


def injector_webhooks(
    namespace: str, revision: str, *, tag: str = "", every_namespace: bool, reinvocation: str
) -> list[Obj]:
    """The ``webhooks`` of an injector.

    Args:
        namespace: where istiod runs.
        revision: whose istiod is called; ``default`` is the unnamed one.
        tag: the name by which that one is meant, if it is not its own.
        every_namespace: inject wherever nothing says no; for the default one only.
        reinvocation: the ``reinvocationPolicy``.
    """
    name = tag or revision
    entries = [
        ("rev.namespace", [_in(REVISION, name), _absent(INJECTION)], [NOT_REFUSED]),
        ("rev.object", [_absent(REVISION), _absent(INJECTION)], [NOT_REFUSED, _in(REVISION, name)]),
    ]
    if name == "default":
        entries += [
            ("namespace", [_in(INJECTION, "enabled")], [NOT_REFUSED]),
            ("object", [_absent(INJECTION), _absent(REVISION)], [_in(INJECT, "true"), _absent(REVISION)]),
        ]
        if every_namespace:
            ignored = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": IGNORED_NAMESPACES}
            entries.append(
                ("auto", [_absent(INJECTION), _absent(REVISION), ignored], [_absent(INJECT), _absent(REVISION)])
            )
    service = "istiod" if revision == "default" else f"istiod-{revision}"
    return [
        {
            "name": f"{prefix}.sidecar-injector.istio.io",
            "clientConfig": {"service": {"name": service, "namespace": namespace, "path": "/inject", "port": 443}},
            "sideEffects": "None",
            "rules": [
                {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]},
            ],
            "failurePolicy": "Fail",
            "reinvocationPolicy": reinvocation,
            "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchExpressions": namespaces},
            "objectSelector": {"matchExpressions": pods},
        }
        for prefix, namespaces, pods in entries
    ]


def default_validator(namespace: str, revision: str) -> Obj:
    """``istiod-default-validator``: validates what carries no revision label, on behalf of the default revision."""
    service = "istiod" if revision == "default" else f"istiod-{revision}"
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {
            "name": "istiod-default-validator",
            "labels": {"app": "istiod", "istio": "istiod", "istio.io/rev": revision, "release": "istio"},
        },
        "webhooks": [
            {
                "name": "validation.istio.io",
                "clientConfig": {"service": {"name": service, "namespace": namespace, "path": "/validate"}},
                "rules": [
                    {
                        "operations": ["CREATE", "UPDATE"],
                        "apiGroups": [
                            "security.istio.io",
                            "networking.istio.io",
                            "telemetry.istio.io",
                            "extensions.istio.io",
                        ],
                        "apiVersions": ["*"],
                        "resources": ["*"],
                    }
                ],
                "failurePolicy": "Ignore",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "objectSelector": {"matchExpressions": [_absent(REVISION)]},
            }
        ],
    }
