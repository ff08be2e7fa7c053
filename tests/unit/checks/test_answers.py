from __future__ import annotations

import pytest

from checks import answers
from meshlab.grading.registry import Registry
from tests.fakes.cluster import ObjectCluster, deployment, named
from tests.unit.checks.support import SHOP, brief, context, verdict

OFFERED = ["istiod", "istio-ingressgateway", "istio-egressgateway", "kiali", "prometheus"]
DEMO = ("istiod", "istio-ingressgateway", "istio-egressgateway")


def cluster(answer: str, *present: str) -> ObjectCluster:
    return ObjectCluster(
        {
            "deployments.apps": [deployment(name, "istio-system") for name in (*present, "something-else")],
            "configmaps": [named("meshlab-answers-canary", SHOP, data={"brings": answer})] if answer else [],
        }
    )


@pytest.mark.parametrize(
    ("answer", "present", "expected"),
    [
        ("", DEMO, ("FAIL", "answer.missing", "declared")),
        ("istiod istio-ingressgateway istio-egressgateway", DEMO, ("PASS", "answer.right", "observed")),
        ("Istio-egressgateway,istiod;\nistio-ingressgateway.", DEMO, ("PASS", "answer.right", "observed")),
        ("deployment/istiod", ("istiod",), ("PASS", "answer.right", "observed")),
        (" ".join(OFFERED), DEMO, ("FAIL", "answer.not-there", "observed")),
        ("istiod", DEMO, ("FAIL", "answer.incomplete", "observed")),
        ("istiod pilot", DEMO, ("FAIL", "answer.not-offered", "declared")),
        ("istiod", (), ("FAIL", "answer.too-early", "declared")),
        # What is there now decides: the same answer with add-ons applied meanwhile.
        ("istiod", ("istiod", "kiali"), ("FAIL", "answer.incomplete", "observed")),
    ],
)
def test_an_answer_is_compared_with_what_is_there_now(
    registry: Registry, answer: str, present: tuple[str, ...], expected: tuple[str, str, str]
) -> None:
    params = {"task": "brings", "namespace": "istio-system", "among": OFFERED}
    assert brief(verdict(registry, "answer.deployments", cluster(answer, *present), **params)) == expected


def test_an_answer_is_taken_without_its_wrapping_and_not_at_any_length() -> None:
    assert answers.given(context(cluster("  `istiod`. \n")), "brings") == "istiod"
    assert len(answers.given(context(cluster("x" * 10_000)), "brings")) == answers.MAX_LENGTH
    assert answers.given(context(cluster("istiod")), "other") == ""
