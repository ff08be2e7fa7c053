from __future__ import annotations

from typing import Any

import pytest

from checks import clients
from meshlab.grading.evidence import Evidence
from meshlab.grading.registry import Registry
from meshlab.grading.verdicts import Verdict

PARAMS = {"from": "client", "url": "http://myapp/", "want": 200}


def requests(status: dict[str, int], exits: dict[str, int] | None = None) -> Evidence:
    return Evidence("requests", {"requests": {"n": sum(status.values()), "status": status, "exits": exits or {}}})


def judge(registry: Registry, name: str, evidence: Evidence, **params: Any) -> Verdict:
    judged = registry.get(name).judge(evidence, PARAMS | params)
    assert isinstance(judged, Verdict)
    return judged


def test_all_must_succeed(registry: Registry) -> None:
    passed = judge(registry, "http.all_succeed", requests({"200": 200}))
    assert (passed.outcome, passed.code, passed.found) == ("PASS", "http.all-succeed", "200 on 200 of 200")


@pytest.mark.parametrize(
    ("status", "exits", "found"),
    [
        ({"200": 199, "503": 1}, {}, "503 on 1 of 200"),
        ({"000": 200}, {"56": 200}, "connection reset on 200 of 200"),
        (
            {"000": 3, "200": 5, "404": 2},
            {"6": 1, "99": 2},
            "404 on 2 of 10, the name cannot be resolved on 1 of 10, curl exit 99 on 2 of 10",
        ),
    ],
)
def test_one_failure_is_too_many(registry: Registry, status: dict[str, int], exits: dict[str, int], found: str) -> None:
    failed = judge(registry, "http.all_succeed", requests(status, exits))
    assert (failed.outcome, failed.code, failed.rung, failed.found) == ("FAIL", "http.some-fail", "observed", found)
    assert failed.why.endswith("requests of client failed")


def test_the_wanted_status_passes(registry: Registry) -> None:
    assert judge(registry, "http.status", requests({"200": 1})).outcome == "PASS"
    assert judge(registry, "http.status", requests({"403": 1}), want=403).outcome == "PASS"
    # Numbers and words mean the same in YAML that people write.
    assert judge(registry, "http.status", requests({"403": 1}), want="403").outcome == "PASS"


def test_another_status_is_waited_for(registry: Registry) -> None:
    waiting = judge(registry, "http.status", requests({"503": 1}))
    assert (waiting.outcome, waiting.code, waiting.found) == ("PENDING", "http.other-status", "503 on 1 of 1")
    assert waiting.overdue(20).outcome == "FAIL"


@pytest.mark.parametrize("name", ["http.status", "http.all_succeed"])
def test_without_a_client_that_is_the_verdict(registry: Registry, name: str) -> None:
    problem = Verdict("PENDING", "client.missing", "declared", "no pod", "a pod", "it is gone", "bring it back")
    stored = clients.no_client(clients.ClientProblem(problem))
    assert judge(registry, name, stored) == problem


def test_counts_of_several_batches_add_up() -> None:
    data: dict[str, Any] = {"url": "http://myapp/"}
    one, two = clients.Replies(total=2), clients.Replies(total=1)
    one.status.update({"200": 2})
    one.first_words.update({"v1": 1, "v2": 1})
    two.status.update({"000": 1})
    two.exits.update({"7": 1})
    two.samples.append("refused")
    one.add_to(data)
    two.add_to(data)
    assert data == {
        "url": "http://myapp/",
        "n": 3,
        "status": {"000": 1, "200": 2},
        "by": {"v1": 1, "v2": 1},
        "exits": {"7": 1},
        "samples": ["refused"],
    }


def test_nothing_sent_is_said() -> None:
    assert clients.describe_failures({}) == "nothing was sent yet"
    assert clients.describe_failures({"n": 3, "status": {"200": 3}}) == "200 on 3 of 3"
