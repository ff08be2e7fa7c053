"""What the cluster remembers of an attempt: one ConfigMap in the exercise's first namespace, and one for answers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from meshlab.cluster.facade import Obj
from meshlab.errors import LabError


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What the cluster remembers of an attempt."""

    attempt: str
    exercise: str
    version: int
    round: int
    learner: str
    variables: dict[str, str]
    namespaces: dict[str, str]
    started_at: str
    before: dict[str, list[str]] = field(default_factory=dict)
    """Per namespace, ``resource/name`` of every object that was there already."""
    namespace_labels: dict[str, dict[str, str]] = field(default_factory=dict)
    created_namespaces: list[str] = field(default_factory=list)
    pods: list[str] = field(default_factory=list)
    """``namespace/name`` of the exercise's own pods as they began; one of another name is the learner's doing."""

    @staticmethod
    def name_for(exercise_id: str) -> str:
        """The name of the ConfigMap that holds it."""
        return f"meshlab-{exercise_id}"

    def to_data(self) -> dict[str, str]:
        """The ConfigMap's data."""
        return {"attempt": json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def from_config_map(cls, found: Obj, exercise_id: str) -> AttemptRecord:
        """Read it back.

        Raises:
            LabError: somebody changed it.
        """
        try:
            return cls(**json.loads(found["data"]["attempt"]))
        except (KeyError, ValueError, TypeError) as error:
            raise LabError(
                f"ConfigMap {cls.name_for(exercise_id)} was changed and cannot be read: {error}",
                hint=f"meshlab reset {exercise_id} --remove, then meshlab start {exercise_id}",
            ) from error


def answers_name(exercise_id: str) -> str:
    """The ConfigMap that holds a learner's answers, one key per task."""
    return f"meshlab-answers-{exercise_id}"
