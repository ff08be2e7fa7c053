"""Whose labels a selector selects: ``metav1.LabelSelector``, and the node selectors that pods carry."""

from __future__ import annotations

from collections.abc import Mapping

from meshlab.minicluster.kubeapi import Obj


def selects(selector: Obj | None, labels: Mapping[str, str] | None) -> bool:
    """Whether a LabelSelector matches; a missing selector matches nothing, an empty one everything."""
    if selector is None:
        return False
    labels = labels or {}
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(_requirement(expression, labels) for expression in selector.get("matchExpressions") or ())


def _requirement(expression: Obj, labels: Mapping[str, str]) -> bool:
    key, values = expression.get("key", ""), expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def node_selector_matches(term_owner: Obj, labels: Mapping[str, str], name: str) -> bool:
    """Whether a ``core/v1 NodeSelector`` (terms are or-ed) matches a node with these labels and this name."""
    return any(_node_term(term, labels, name) for term in term_owner.get("nodeSelectorTerms") or ())


def _node_term(term: Obj, labels: Mapping[str, str], name: str) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_node_requirement(e, labels) for e in expressions) and all(
        _node_requirement(f, {"metadata.name": name}) for f in fields
    )


def _node_requirement(expression: Obj, labels: Mapping[str, str]) -> bool:
    operator = expression["operator"]
    if operator not in ("Gt", "Lt"):
        return _requirement(expression, labels)
    try:
        have, limit = int(labels[expression["key"]]), int(expression["values"][0])
    except (KeyError, IndexError, ValueError):
        return False
    return have > limit if operator == "Gt" else have < limit
