"""The live check on a whole lab: green without a key, and through the death of the lab."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshlab.cluster.facade import Cluster
from meshlab.course.catalogue import find_course
from meshlab.course.progress import Progress
from meshlab.errors import ClusterUnreachable, LabError
from meshlab.grading import scripts
from meshlab.grading.live import LiveCheck, LiveStatus
from meshlab.grading.session import Session
from tests.support.lab import TIMEOUT_S, Lab


class Statuses:
    """Waits for the status that a test wants."""

    def __init__(self) -> None:
        self.last: LiveStatus | None = None
        self._news = threading.Condition()

    def hear(self, status: LiveStatus) -> None:
        with self._news:
            self.last = status
            self._news.notify_all()

    def until(self, wanted: Callable[[LiveStatus], bool]) -> LiveStatus:
        with self._news:
            assert self._news.wait_for(lambda: self.last is not None and wanted(self.last), TIMEOUT_S), self.last
            assert self.last is not None
            return self.last


@pytest.fixture
def open_session(mesh: Lab, tmp_path: Path) -> Iterator[Callable[[], Session]]:
    kubeconfig = Path(mesh.status()["kubeconfig"])

    def make() -> Session:
        progress = Progress(tmp_path / "progress.db", lab="lab", course=lambda: "default")
        return Session(find_course(None), Cluster(kubeconfig), progress)

    yield make


def test_a_verdict_turns_green_without_a_key_and_survives_the_lab(
    mesh: Lab, open_session: Callable[[], Session]
) -> None:
    mesh.meshlab("start", "canary")
    session = open_session()
    exercise, _ = session.resume("canary")
    solution = [file.text for file in scripts.files(exercise, exercise.solutions[0]) if file.name.endswith(".yaml")]
    statuses = Statuses()
    live = LiveCheck(open_session, "canary", statuses.hear)
    live.start()
    try:
        status = statuses.until(lambda status: bool(status.tasks) and not status.looking)
        assert [task.verdict.code for task in status.tasks if task.verdict] == ["http.all-succeed", "split.no-weights"]

        mesh.kubectl("apply", "-f", "-", stdin="\n---\n".join(solution))
        status = statuses.until(lambda status: status.done)
        assert status.earned == 10
        assert any("Scale myapp-v2" in text for text in status.debrief)
        runs = [event for event in session.progress.events() if event.record["kind"] == "check.ran"]
        assert [run.record["data"]["done"] for run in runs] == [True]

        live.nudge()
        statuses.until(lambda status: status.looking)
        os.kill(mesh.status()["pid"], signal.SIGKILL)
        status = statuses.until(lambda status: isinstance(status.error, ClusterUnreachable))
        assert [task.verdict.outcome for task in status.tasks if task.verdict] == ["PASS", "PASS"]
        mesh.up()
        statuses.until(lambda status: status.error is None and status.done and not status.looking)
    finally:
        live.stop()
        session.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("live", "watch"))]


def test_services_and_pods_answer_through_the_seam(mesh: Lab, open_session: Callable[[], Session]) -> None:
    mesh.meshlab("start", "canary")
    session = open_session()
    cluster = session.cluster
    try:
        status, body = cluster.service_get("default", "myapp", 80)
        assert (status, body.split()[0][:1]) == (200, "v")
        assert cluster.service_get("default", "nobody", 80)[0] == 404
        [pod] = [
            pod["metadata"]["name"]
            for pod in cluster.list_objects("pods", "default", label_selector="app=myapp")
            if pod["metadata"]["name"].startswith("myapp-v1")
        ]
        assert cluster.pod_get("default", pod, 5678) == (200, "v1 of myapp\n")
        [client] = cluster.list_objects("pods", "default", label_selector="app=client")
        impatient = cluster.interruptible(lambda: True)
        with pytest.raises(LabError, match="not waited for any longer"):
            impatient.exec("default", client["metadata"]["name"], "curl", ["sleep", "60"])
    finally:
        session.close()
