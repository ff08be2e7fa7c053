"""Counters over time: what grew when, through restarts, new series and forgetting."""

from __future__ import annotations

from meshlab.minicluster.addons.kiali.window import Window, parse_page, parse_series

SERIES = 'istio_requests_total{code="200"}'
OTHER = 'istio_requests_total{code="503"}'


def grown(window: Window, start: float, end: float) -> dict[str, float]:
    return {labels["code"]: value for labels, value in window.increases("istio_requests_total", start, end)}


def test_only_wanted_metrics_are_read_from_a_page() -> None:
    text = f"# TYPE istio_requests_total counter\n{SERIES} 3\nistio_requests_total_x{{}} 1\nenvoy_y{{}} 1\nistio_requests_total{{a}} x\n"
    assert parse_page(text, ["istio_requests_total"]) == {SERIES: 3.0}


def test_labels_are_unescaped() -> None:
    assert parse_series('m{a="x\\"y",b="",c="l\\nm\\\\"}') == ("m", {"a": 'x"y', "b": "", "c": "l\nm\\"})


def test_what_a_proxy_had_counted_before_does_not_count() -> None:
    window = Window(600)
    window.record("a", {SERIES: 100}, 10, from_zero=False)
    window.record("a", {SERIES: 130}, 20, from_zero=False)
    assert grown(window, 0, 20) == {"200": 30}


def test_a_new_proxy_and_a_new_series_count_in_full() -> None:
    window = Window(600)
    window.record("a", {SERIES: 5}, 10, from_zero=True)
    window.record("a", {SERIES: 5, OTHER: 2}, 20, from_zero=False)
    assert grown(window, 0, 20) == {"200": 5, "503": 2}


def test_only_the_asked_time_counts() -> None:
    window = Window(600)
    for now, value in ((10, 1), (20, 4), (30, 9)):
        window.record("a", {SERIES: value}, now, from_zero=True)
    assert grown(window, 10, 30) == {"200": 8}
    assert grown(window, 15, 25) == {"200": 3}
    assert grown(window, 30, 60) == {"200": 0}


def test_a_restarted_proxy_counts_from_zero_again() -> None:
    window = Window(600)
    window.record("a", {SERIES: 50}, 10, from_zero=True)
    window.record("a", {SERIES: 3}, 20, from_zero=False)
    assert grown(window, 0, 20) == {"200": 53}


def test_proxies_that_are_gone_count_until_their_time_is_over() -> None:
    window = Window(60)
    window.record("a", {SERIES: 5}, 10, from_zero=True)
    window.retain([], 20)
    assert grown(window, 0, 20) == {"200": 5}
    window.retain([], 71)
    assert grown(window, 0, 71) == {}


def test_old_values_are_dropped_but_not_the_last_before() -> None:
    window = Window(10)
    for now in range(100):
        window.record("a", {SERIES: now + 1}, float(now), from_zero=True)
    assert grown(window, 89, 99) == {"200": 10}
