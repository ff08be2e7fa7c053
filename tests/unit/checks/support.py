"""Collecting and judging a check against a cluster that is a dictionary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from meshlab.course.model import Client
from meshlab.grading.registry import CheckContext, Registry
from meshlab.grading.verdicts import Verdict
from tests.fakes.cluster import ObjectCluster
from tests.fakes.grading import exercise

SHOP = "shop"


def context(cluster: ObjectCluster) -> CheckContext:
    """The context of an exercise in namespace ``shop``, with the clients ``client`` and ``legacy`` in it."""
    clients = {name: Client(SHOP, name) for name in ("client", "legacy")}
    return CheckContext(cluster.facade, replace(exercise(), namespaces={"app": SHOP}, clients=clients))


def verdict(registry: Registry, name: str, cluster: ObjectCluster, **params: Any) -> Verdict:
    """What a check says of a cluster."""
    check = registry.get(name)
    evidence = check.collect(context(cluster), params, None)
    judged = check.judge(evidence, params)
    assert isinstance(judged, Verdict)
    # Whatever is stored must be judged alike.
    assert check.judge(type(evidence).from_json(evidence.to_json()), params) == judged
    return judged


def brief(judged: Verdict) -> tuple[str, str, str]:
    """What a table of cases names."""
    return judged.outcome, judged.code, judged.rung


def curl_replies(command: list[str], replies: dict[str, tuple[str, str, str]]) -> str:
    """What curl prints for its URLs, by the part of the URL that stands in the table: body, status, exit code."""
    mark = command[command.index("--write-out") + 1].replace("\\n", "\n")
    text = ""
    for url in (word for word in command if word.startswith("http")):
        body, status, exit_code = next(reply for part, reply in replies.items() if part in url)
        text += body + mark.replace("%{http_code}", status).replace("%{exitcode}", exit_code)
    return text
