"""What a session writes down, and what it knows of the cluster it works on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from meshlab.cluster.facade import Cluster
from meshlab.cluster.providers.choice import EmbeddedProvider
from meshlab.course.catalogue import find_course
from meshlab.course.progress import Progress
from meshlab.grading.attempt import AttemptRecord
from meshlab.grading.session import Session
from meshlab.labs import LabPaths
from tests.fakes.grading import FAIL, PASS, results

RECORD = AttemptRecord("a-1", "canary", 3, 1, "r-1", {}, {}, "now")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    config = {
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [{"name": "lab", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "lab", "user": {}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    provider = EmbeddedProvider(LabPaths("unit"))
    progress = Progress(tmp_path / "progress.db")
    made = Session(find_course(None), Cluster(tmp_path / "config"), progress, lacking=provider.lacking)
    yield made
    made.close()


def test_a_run_is_written_down_with_its_verdicts_and_evidence(session: Session) -> None:
    judged = results(one=PASS, two=FAIL)
    session.record_run(judged, RECORD)
    kinds = [event.record["kind"] for event in session.progress.events()]
    assert kinds == ["check.ran", "task.passed"]
    assert "live" not in session.progress.events()[0].record["data"]
    evidence = judged.tasks[0].checks[0].evidence[0]
    assert session.progress.evidence(evidence.content_id()) == evidence.to_json()


def test_a_live_run_says_that_nobody_asked_and_counts_like_any(session: Session) -> None:
    session.record_run(results(one=PASS), RECORD, live=True)
    session.record_run(results(one=FAIL), RECORD, live=True)
    assert session.progress.events(exercise="canary")[0].record["data"]["live"] is True
    [summary] = session.progress.summary()
    assert (summary["done"], summary["changed_since"]) == (True, True)


def test_the_last_run_of_all_tasks_is_known(session: Session) -> None:
    assert session.last_recorded(RECORD) is None
    session.record_run(results(one=PASS, two=FAIL), RECORD)
    session.record_run(results(one=FAIL), RECORD, task="one")
    assert session.last_recorded(RECORD) == {
        "one": {"verdict": "PASS", "code": "a.right"},
        "two": {"verdict": "FAIL", "code": "a.wrong"},
    }
    other = AttemptRecord("a-2", "canary", 3, 2, "r-1", {}, {}, "now")
    assert session.last_recorded(other) is None


def test_it_knows_what_the_provider_lacks(session: Session) -> None:
    assert session.lacking(["proxy.http", "wasm"]) == ("wasm",)
