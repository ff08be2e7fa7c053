"""The judge of ``traffic.split``: one test for each code, from evidence as `collect_split` stores it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from meshlab.grading.evidence import Evidence
from meshlab.grading.registry import Registry
from meshlab.grading.verdicts import NeedMore, Verdict

PARAMS = {"from": "client", "url": "http://myapp/", "by": "track", "weights": {"v1": 80, "v2": 20}, "zone": 5}
V1 = "outbound|80|v1|myapp.default.svc.cluster.local"
V2 = "outbound|80|v2|myapp.default.svc.cluster.local"
PLAIN = "outbound|80||myapp.default.svc.cluster.local"
VIRTUAL_SERVICE = {"kind": "VirtualService", "name": "default/myapp", "resource_version": "7"}
RULE = {
    "kind": "DestinationRule",
    "name": "default/myapp",
    "resource_version": "8",
    "subsets": {"v1": {"track": "v1"}, "v2": {"track": "v2"}},
}

Data = dict[str, Any]
JudgeSplit = Callable[..., Verdict | NeedMore]


def right() -> Data:
    """Evidence of a right answer, after enough requests."""
    return copy.deepcopy(
        {
            "objects": {
                "virtual_services": [VIRTUAL_SERVICE],
                "destination_rules": [RULE],
                "http_routes": [],
                "notes": ["vs.v1alpha3"],
            },
            "proxy": {
                "present": True,
                "route": {"config": "80", "virtual_host": "myapp", "name": "", "weights": {V1: 80, V2: 20}},
                "endpoints": {V1: ["127.77.1.5"], V2: ["127.77.1.6"]},
            },
            "pods": {"127.77.1.5": "v1", "127.77.1.6": "v2"},
            "requests": answers(v1=960, v2=240),
        }
    )


def answers(**by: int) -> Data:
    return {"url": "http://myapp/", "n": sum(by.values()), "status": {"200": sum(by.values())}, "by": by, "exits": {}}


def failing(status: int, n: int = 20) -> Data:
    return {"url": "http://myapp/", "n": n, "status": {str(status): n}, "by": {}, "exits": {}}


@pytest.fixture
def judge(registry: Registry) -> JudgeSplit:
    check = registry.get("traffic.split")

    def judge_stored(data: Data, **params: Any) -> Verdict | NeedMore:
        # Through JSON, as stored evidence comes back.
        return check.judge(Evidence("requests", json.loads(json.dumps(data))), PARAMS | params)

    return judge_stored


def verdict(judged: Verdict | NeedMore) -> Verdict:
    assert isinstance(judged, Verdict)
    return judged


def test_a_right_answer_passes_on_the_last_rung(judge: JudgeSplit) -> None:
    passed = verdict(judge(right()))
    assert (passed.outcome, passed.code, passed.rung) == ("PASS", "split.agrees", "observed")
    assert passed.notes == ("vs.v1alpha3",)
    assert "v1 80.0%, v2 20.0% of 1200 requests" in passed.found


@pytest.mark.parametrize("weights", [{V1: 4, V2: 1}, {V1: 800, V2: 200}, {V1: 80, V2: 20, PLAIN: 0}])
def test_weights_are_relative(judge: JudgeSplit, weights: dict[str, int]) -> None:
    data = right()
    data["proxy"]["route"]["weights"] = weights
    assert verdict(judge(data)).code == "split.agrees"


def test_two_subsets_of_one_version_add_up(judge: JudgeSplit) -> None:
    data, third = right(), V1.replace("v1", "stable")
    data["proxy"]["route"]["weights"] = {V1: 30, third: 50, V2: 20}
    data["proxy"]["endpoints"][third] = ["127.77.1.5"]
    assert verdict(judge(data)).code == "split.agrees"


def test_plain_services_may_take_the_place_of_subsets(judge: JudgeSplit) -> None:
    data = right()
    one, two = (PLAIN.replace("myapp.", f"myapp-{version}.") for version in ("v1", "v2"))
    data["proxy"]["route"]["weights"] = {one: 80, two: 20}
    data["proxy"]["endpoints"] = {one: ["127.77.1.5"], two: ["127.77.1.6"]}
    data["objects"]["destination_rules"] = []
    assert verdict(judge(data)).code == "split.agrees"


def test_an_http_route_declares_weights_too(judge: JudgeSplit) -> None:
    data = right()
    data["objects"] |= {"virtual_services": [], "http_routes": [VIRTUAL_SERVICE | {"kind": "HTTPRoute"}]}
    assert verdict(judge(data)).code == "split.agrees"


def test_the_answers_alone_do_not_pass_without_a_proxy(judge: JudgeSplit) -> None:
    data = right()
    data["proxy"] = {"present": False, "route": None, "endpoints": {}}
    failed = verdict(judge(data))
    assert (failed.outcome, failed.code, failed.rung) == ("FAIL", "split.no-proxy", "declared")


def test_replicas_that_give_the_right_mix_stop_at_the_first_rung(judge: JudgeSplit) -> None:
    data = right()
    data["objects"] |= {"virtual_services": [], "destination_rules": []}
    data["proxy"] |= {"route": {"weights": {PLAIN: 1}}, "endpoints": {PLAIN: ["127.77.1.5", "127.77.1.6"]}}
    failed = verdict(judge(data))
    assert (failed.code, failed.rung) == ("split.no-weights", "declared")
    assert "the replicas alone give v1 80.0%, v2 20.0%" in failed.found
    assert "replicas" in failed.why


def test_without_a_route_a_failing_service_is_described(judge: JudgeSplit) -> None:
    data = right()
    data["objects"]["virtual_services"] = []
    data["requests"] = failing(503)
    assert "503 on 20 of 20" in verdict(judge(data)).found


def test_a_route_to_undefined_subsets(judge: JudgeSplit) -> None:
    data = right()
    data["objects"]["destination_rules"] = []
    data["proxy"]["endpoints"] = {}
    data["requests"] = failing(503)
    failed = verdict(judge(data))
    assert (failed.code, failed.rung) == ("split.no-cluster", "pushed")
    assert failed.found == "503 on 20 of 20 (flag NC: no such cluster)"
    assert failed.why == "the route names subsets v1 and v2, which no DestinationRule defines"


def test_one_undefined_subset_is_named_alone(judge: JudgeSplit) -> None:
    data = right()
    del data["objects"]["destination_rules"][0]["subsets"]["v2"]
    del data["proxy"]["endpoints"][V2]
    assert verdict(judge(data)).why == "the route names subset v2, which no DestinationRule defines"


def test_a_defined_subset_that_the_proxy_lacks_is_waited_for(judge: JudgeSplit) -> None:
    data = right()
    data["proxy"]["endpoints"] = {}
    waiting = verdict(judge(data))
    assert (waiting.outcome, waiting.code, waiting.rung) == ("PENDING", "split.subset-not-pushed", "accepted")
    assert waiting.blame == "learner"


def test_a_subset_that_selects_no_pod(judge: JudgeSplit) -> None:
    data = right()
    data["objects"]["destination_rules"][0]["subsets"]["v2"] = {"version": "v2"}
    data["proxy"]["endpoints"][V2] = []
    data["requests"] = failing(503)
    failed = verdict(judge(data))
    assert (failed.code, failed.rung) == ("split.no-endpoints", "pushed")
    assert failed.why.startswith("v2 selects version=v2, and no ready pod carries that")
    assert "track" in failed.hint


def test_a_subset_without_labels_mixes_versions(judge: JudgeSplit) -> None:
    data = right()
    data["proxy"]["endpoints"][V1] = ["127.77.1.5", "127.77.1.6"]
    failed = verdict(judge(data))
    assert (failed.code, failed.rung) == ("split.mixed-subset", "pushed")
    assert "track=v1, v2" in failed.found


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ({V1: 20, V2: 80}, "v1 20 %, v2 80 %"),
        ({V1: 81, V2: 19}, "v1 81 %, v2 19 %"),
        ({V1: 1}, "v1 100 %"),
        ({V1: 100, V2: 0}, "v1 100 %"),
    ],
)
def test_other_weights(judge: JudgeSplit, weights: dict[str, int], found: str) -> None:
    data = right()
    data["proxy"]["route"]["weights"] = weights
    failed = verdict(judge(data))
    assert (failed.outcome, failed.code, failed.rung) == ("FAIL", "split.wrong-weights", "pushed")
    assert failed.found == f"weights in the client's proxy: {found}"
    assert failed.wanted == "v1 80 %, v2 20 % of the requests of client, by route weights"


@pytest.mark.parametrize("route", [None, {"weights": {}}, {"weights": {PLAIN: 1}}])
def test_a_route_that_does_not_reach_this_proxy_is_waited_for(judge: JudgeSplit, route: Data | None) -> None:
    data = right()
    data["proxy"] |= {"route": route, "endpoints": {PLAIN: ["127.77.1.5", "127.77.1.6"]}}
    waiting = verdict(judge(data))
    assert (waiting.outcome, waiting.code, waiting.rung) == ("PENDING", "split.not-pushed", "accepted")
    assert "VirtualService default/myapp names the host" in waiting.why


def test_right_weights_with_failing_requests(judge: JudgeSplit) -> None:
    data = right()
    data["requests"] = answers(v1=960, v2=239) | {"n": 1200, "status": {"200": 1199, "500": 1}}
    failed = verdict(judge(data))
    assert (failed.code, failed.rung, failed.found) == ("split.requests-fail", "observed", "500 on 1 of 1200")


def test_pods_that_do_not_run_what_their_label_says(judge: JudgeSplit) -> None:
    data = right()
    data["requests"] = answers(v1=600, v2=600)
    failed = verdict(judge(data))
    assert (failed.outcome, failed.code, failed.rung) == ("FAIL", "split.traffic-differs", "observed")


def test_few_requests_ask_for_more_and_say_what_else_decides(judge: JudgeSplit) -> None:
    data = right()
    data["requests"] = answers(v1=80, v2=20)
    more = judge(data)
    assert isinstance(more, NeedMore)
    assert more.requests == 400
    assert (more.otherwise.outcome, more.otherwise.code, more.otherwise.rung) == (
        "PASS",
        "split.exact-in-proxy",
        "pushed",
    )


def test_everything_to_one_version(judge: JudgeSplit) -> None:
    data = right()
    data["proxy"]["route"]["weights"] = {V2: 100}
    data["requests"] = answers(v2=1200)
    assert verdict(judge(data, weights={"v1": 0, "v2": 100})).code == "split.agrees"


@pytest.mark.parametrize(("outcome", "code"), [("PENDING", "client.missing"), ("FAIL", "client.broken")])
def test_a_client_that_cannot_send_is_the_whole_story(judge: JudgeSplit, outcome: str, code: str) -> None:
    problem = {
        "verdict": outcome, "code": code, "rung": "declared", "found": "f", "wanted": "w", "why": "y", "try": "t",
    }  # fmt: skip
    stopped = verdict(judge({"problem": problem}))
    assert (stopped.outcome, stopped.code, stopped.found, stopped.hint) == (outcome, code, "f", "t")
