"""All exercises in the course's order by somebody who reads, types and looks, from an empty home to full marks."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.lab import Lab
from tests.support.person import Person
from tests.support.split import SPLIT

AtScreen = Callable[..., Person]

POSSIBLE = 60


class Learner:
    """A person who takes the course.

    Args:
        person: at its screen.
    """

    def __init__(self, person: Person) -> None:
        self.person = person
        self.points = 0

    def reads(self, title: str, *, at: str = "", then: str = "") -> None:
        """Read a lesson to its end; at one step press a key."""
        self.person.sees(title)
        step, steps = 1, 0
        while step != steps:
            found = self.person.finds(rf"\b({step})/(\d+) · {re.escape(title[:12])}")
            steps = int(found[2])
            # The footer tells whose the keys are.
            self.person.sees("→ Next")
            if at and at in self.person.screen:
                self.person.press(then)
                self.person.sees("saved")
                at = ""
            if step < steps:
                step += 1
                self.person.press("n")

    def goes_on(self, key: str, title: str) -> None:
        """To the exercise that comes next."""
        self.person.press(key)
        self.person.sees(title, "press s to start it")

    def is_told(self, pattern: str) -> re.Match[str]:
        """Read something in the exercise's text."""
        return self.person.browses(pattern, pane="Tasks")

    def starts(self, first_task: str) -> None:
        """Set the exercise up; its first verdicts come by themselves."""
        self.person.press("s")
        self.person.browses(rf"[✔✘◌] {first_task}", pane="Tasks")
        self.person.press("f6")
        self.person.sees("f6 Leave the terminal")

    def answers(self, value: str) -> None:
        """Hand an answer in."""
        self.person.press("f6")
        self.person.sees_no_more("f6 Leave the terminal")
        self.person.press("a")
        self.person.sees("your answer, then enter", "esc Leave the line")
        self.person.types(value)
        self.person.finds(r"(?<!was )handed in")

    def is_done(self, *tasks: str) -> None:
        """See the points come, and every mark; no key asks for a check."""
        self.points += 10
        self.person.sees(f"{self.points}/{POSSIBLE} points", within_s=120)
        if "f6 Leave the terminal" in self.person.screen:
            self.person.press("f6")
            self.person.sees_no_more("f6 Leave the terminal")
        self.person.press("3")
        for task in tasks:
            self.person.browses(f"✔ {task}", pane="Tasks")
        self.person.browses("✔ done: g goes on", pane="Tasks")


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
def test_the_whole_course_by_hand(make_lab: Callable[[], Lab], at_screen: AtScreen, size: tuple[int, int]) -> None:
    person = at_screen(make_lab(), size)
    learner = Learner(person)
    learner.reads("Why a mesh")
    person.sees("no mesh yet")

    person.press("n")
    learner.reads("Install Istio")
    learner.goes_on("n", "Install Istio with the demo profile")
    learner.starts("control-plane")
    person.types("istioctl install --set profile=demo -y")
    person.sees("Installation complete")
    learner.answers("istiod istio-ingressgateway istio-egressgateway")
    learner.is_done("control-plane", "gateways", "works", "brings")

    person.press("g")
    learner.reads("Injection, or how")
    learner.goes_on("n", "Give a namespace its sidecars")
    learner.starts("serves")
    person.types("kubectl label namespace mesh-inject-namespace istio-injection=enabled")
    person.types("kubectl rollout restart -n mesh-inject-namespace deployment")
    learner.is_done("serves", "label", "pods", "identity")

    learner.goes_on("g", "Inject by hand, once in your life")
    relic = learner.is_told(r"Deployment (\w+) in namespace")[1]
    learner.starts("serves")
    person.types(
        f"kubectl get deployment {relic} -n mesh-kube-inject -o yaml | istioctl kube-inject -f - | kubectl apply -f -"
    )
    learner.is_done("serves", "template", "identity")

    person.press("g")
    learner.reads("Metrics, and the graph")
    learner.goes_on("n", "Reach Kiali and find yourself in the graph")
    caller, one, two = learner.is_told(r"let (\w+) call http://(\w+)/, http://(\w+)/ and").groups()
    learner.starts("kiali")
    person.types('kubectl apply -f "$MESHLAB_SAMPLES/addons/kiali.yaml"')
    person.types("kubectl rollout status -n istio-system deployment/kiali --timeout=90s")
    person.types(
        f"kubectl exec -n mesh-kiali-graph deploy/{caller} -c curl -- curl -s"
        + "".join(f' -o /dev/null "http://{name}/?n=[1-60]"' for name in (one, two, "prices"))
    )
    learner.answers(two)
    learner.is_done("kiali", "edges", "plain")

    person.press("g")
    learner.reads("A canary, and the 503 on the way")
    learner.goes_on("n", "Send a fifth of the traffic to v2")
    key = learner.is_told(r"\((\w+)=v1\)")[1]
    learner.starts("serves")
    person.types(SPLIT.replace("KEY", key))
    learner.is_done("serves", "split")

    person.press("g")
    learner.reads("Mutual TLS and identity", at="enter saves it as strict.yaml", then="r")
    learner.goes_on("n", "Plaintext stays out")
    service = learner.is_told(r"client calls http://(\w+)/headers")[1]
    learner.starts("served")
    person.types("kubectl apply -n mesh-strict-namespace -f ~/.local/share/meshlab/work/mtls/strict.yaml")
    ask = f"kubectl exec -n mesh-strict-namespace deploy/client -c curl -- curl -s http://{service}/headers"
    person.types(f"{ask} | grep -o 'URI=[^\"]*' | grep -o 'sa/.*'")
    account = person.finds(r"\bsa/(\w+)")[1]
    learner.answers(f"spiffe://cluster.local/ns/mesh-strict-namespace/sa/{account}")
    learner.is_done("served", "neighbours", "refused", "seen")
    person.press("g")
    person.sees("All lessons are read and all exercises done")
    person.press("ctrl+q")
    person.leaves()
