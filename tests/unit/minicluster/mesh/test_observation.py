"""Telemetry rules of several levels, laid over each other as upstream does."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.observation import (
    LoggingRule,
    MetricRule,
    Observation,
    access_logs,
    applying,
    disabled_metrics,
)
from meshlab.minicluster.mesh.providers import AccessLogSink

SINKS = tuple(AccessLogSink(name, "FILE") for name in ("envoy", "json"))


def level(*rules: LoggingRule, namespace: str = "", created: str = "1", **labels: str) -> Observation:
    return Observation(namespace, labels, ConfigRef("", "", "Telemetry", namespace, created), rules, created=created)


def test_one_level_of_each_kind_applies_the_oldest_first() -> None:
    mesh, newer = level(), level(created="2")
    own, other = level(namespace="default"), level(namespace="other")
    selecting = level(namespace="default", app="web")
    found = applying([newer, selecting, own, other, mesh], "default", {"app": "web"})
    assert found == [mesh, own, selecting]
    assert applying([selecting, mesh], "default", {"app": "other"}) == [mesh]


@pytest.mark.parametrize(
    ("levels", "defaults", "names"),
    [
        ([], (), None),
        ([], ("envoy",), ["envoy"]),
        ([level(LoggingRule(("envoy",)))], (), ["envoy"]),
        ([level(LoggingRule(("envoy",))), level(LoggingRule(disabled=True))], (), []),
        ([level(LoggingRule(("envoy",))), level(LoggingRule(disabled=True, side="SERVER"))], (), ["envoy"]),
        ([level(LoggingRule(("envoy",))), level(LoggingRule(("json",)))], (), ["json"]),
        ([level(LoggingRule(disabled=True)), level(LoggingRule())], ("envoy",), ["envoy"]),
        ([level(LoggingRule(("unknown",)))], (), []),
        ([level(LoggingRule(("envoy",)), LoggingRule(("json",)))], (), ["envoy", "json"]),
    ],
)
def test_narrower_rules_are_laid_over_wider_ones(
    levels: list[Observation], defaults: tuple[str, ...], names: list[str] | None
) -> None:
    logs = access_logs(levels, SINKS, defaults, "CLIENT")
    assert (None if logs is None else [log.sink.name for log in logs]) == names


def test_metrics_are_switched_off_by_side() -> None:
    rules = (
        MetricRule("ALL_METRICS", "CLIENT", disabled=True),
        MetricRule("REQUEST_COUNT", disabled=True),
        MetricRule("REQUEST_SIZE", disabled=True),
        MetricRule("REQUEST_SIZE", disabled=False),
    )
    found = [Observation("", {}, ConfigRef("", "", "Telemetry", "", ""), metrics=rules[:2])]
    assert disabled_metrics(found, "CLIENT") == {"ALL_METRICS", "REQUEST_COUNT"}
    assert disabled_metrics(found, "SERVER") == {"REQUEST_COUNT"}
    found = [Observation("", {}, ConfigRef("", "", "Telemetry", "", ""), metrics=rules[2:])]
    assert disabled_metrics(found, "CLIENT") == frozenset()
