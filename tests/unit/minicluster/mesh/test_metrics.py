"""What telemetry rules of several levels make of the standard metrics."""

from __future__ import annotations

from meshlab.minicluster.mesh.metrics import STANDARD, Changes, MetricChange, metric_changes
from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.observation import MetricRule, MetricRules, Observation, Side

PROMETHEUS = ("prometheus",)


def changes(*levels: MetricRules, side: Side = "CLIENT", defaults: tuple[str, ...] = PROMETHEUS) -> Changes | None:
    ref = ConfigRef("", "", "Telemetry", "", "")
    observations = [Observation("", {}, ref, metrics=(rules,)) for rules in levels]
    return metric_changes(observations, frozenset({"prometheus"}), defaults, side)


def rules(*overrides: MetricRule, providers: tuple[str, ...] = PROMETHEUS) -> MetricRules:
    return MetricRules(providers, overrides)


def test_without_rules_the_default_provider_counts_as_usual() -> None:
    assert changes() == {}
    assert changes(defaults=()) is None
    assert changes(defaults=("elsewhere",)) is None


def test_labels_are_added_and_removed_metric_by_metric() -> None:
    found = changes(rules(MetricRule("requests_total", tags=(("b", "request.host"), ("a", None)))))
    assert found == {"requests_total": MetricChange(tags={"a": None, "b": "request.host"})}
    everywhere = changes(rules(MetricRule(tags=(("a", None),))))
    assert everywhere is not None
    assert set(everywhere) == set(STANDARD.values())


def test_later_rules_win_label_by_label() -> None:
    wide = rules(MetricRule("requests_total", tags=(("a", "1"), ("b", "2"))))
    narrow = rules(MetricRule("requests_total", tags=(("a", None),)), providers=())
    assert changes(wide, narrow) == {"requests_total": MetricChange(tags={"a": None, "b": "2"})}


def test_a_metric_is_dropped_on_one_side_and_wanted_again() -> None:
    dropped = rules(MetricRule("requests_total", "CLIENT", disabled=True))
    assert changes(dropped) == {"requests_total": MetricChange(dropped=True)}
    assert changes(dropped, side="SERVER") == {}
    again = rules(MetricRule("requests_total", disabled=False))
    assert changes(dropped, again) == {"requests_total": MetricChange()}


def test_all_metrics_are_dropped_until_a_narrower_rule_speaks_of_any() -> None:
    nothing = rules(MetricRule(disabled=True))
    assert changes(nothing) is None
    assert changes(rules(MetricRule(side="SERVER", disabled=True))) == {}
    assert changes(nothing, rules(MetricRule("requests_total", disabled=False), providers=())) == {
        "requests_total": MetricChange()
    }


def test_who_takes_metrics_is_what_the_last_rule_says_that_names_anybody() -> None:
    assert changes(rules(providers=("elsewhere",))) is None
    assert changes(rules(MetricRule("requests_total", disabled=True)), rules(providers=("elsewhere",))) is None
    back = changes(rules(providers=("elsewhere",)), rules(), rules(MetricRule("x", disabled=True), providers=()))
    assert back == {"x": MetricChange(dropped=True)}
    assert changes(MetricRules(("PROMETHEUS",))) == {}
