"""Telemetry rules of several levels, laid over each other as upstream does."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.observation import LoggingRule, Observation, access_logs, applying
from meshlab.minicluster.mesh.providers import AccessLogSink

SINKS = tuple(AccessLogSink(name, "FILE") for name in ("envoy", "json"))


def level(*rules: LoggingRule, namespace: str = "", created: str = "1", **labels: str) -> Observation:
    return Observation(namespace, labels, ConfigRef("", "", "Telemetry", namespace, created), rules, created=created)


def test_the_oldest_of_mesh_and_namespace_apply_and_all_that_select() -> None:
    mesh, newer = level(), level(created="2")
    own, other = level(namespace="default"), level(namespace="other")
    selecting, second = level(namespace="default", app="web"), level(namespace="default", created="3", app="web")
    found = applying([newer, second, selecting, own, other, mesh], "default", {"app": "web"})
    assert found == [mesh, own, selecting, second]
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


def test_a_condition_belongs_to_the_provider_that_its_rule_names() -> None:
    rules = level(LoggingRule(("envoy",), condition="a"), LoggingRule(condition="b"), LoggingRule(("json",)))
    logs = access_logs([rules], SINKS, (), "CLIENT")
    assert logs is not None
    assert [(log.sink.name, log.condition) for log in logs] == [("envoy", "a"), ("json", "")]


def test_providers_of_one_side_are_no_business_of_the_other() -> None:
    rules = [level(LoggingRule(("envoy",))), level(LoggingRule(("json",), side="SERVER"))]
    for side, names in (("CLIENT", ["envoy"]), ("SERVER", ["json"])):
        logs = access_logs(rules, SINKS, (), side)  # type: ignore[arg-type]
        assert logs is not None
        assert [log.sink.name for log in logs] == names
