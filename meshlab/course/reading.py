"""One learner reading one course: what is shown to them, what they answer, and the record of it.

A lesson is rendered with the values of the learner's own exercises, so that a command that one copies from it fits
what stands on the cluster. Whatever the learner does is one event; what was answered is read back from the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshlab.course.blocks import Predict, Quiz
from meshlab.course.catalogue import Course
from meshlab.course.lessons import load_lesson
from meshlab.course.model import Block, Lesson, Step
from meshlab.course.outline import lesson_record, place_today
from meshlab.course.progress import Progress
from meshlab.course.projection import LessonRecord, Place
from meshlab.course.variables import values_for_lesson
from meshlab.errors import UsageError


@dataclass(frozen=True, slots=True)
class Observation:
    """What the lab did, against what the learner said it would."""

    found: str
    """What the block's output shows, such as ``503``."""
    choice: str | None
    """Which choice names that; None if none does."""
    predicted: str | None
    """What the learner chose; None if they did not."""
    because: str

    @property
    def right(self) -> bool:
        """Whether the learner foresaw it."""
        return self.predicted is not None and self.predicted == self.choice


@dataclass(frozen=True, slots=True)
class ChoiceResult:
    """One choice of a question that was answered."""

    key: str
    say: str
    chosen: bool
    right: bool
    why: str


@dataclass(frozen=True, slots=True)
class QuizResult:
    """One answer to a question, judged."""

    right: bool
    answer: tuple[str, ...]
    """Keys of choices, in the order given; or the number."""
    choices: tuple[ChoiceResult, ...]
    """Empty for a number; for an order every item is chosen, and right if it stands in its place."""
    expected: str
    """The right answer in words."""
    why: str
    """What the question says about its answer as a whole; may be empty."""
    tries: int
    """How many answers were given up to this one."""


class Reading:
    """A learner (whose the progress file is) and a course.

    Args:
        course: the course.
        progress: where events are kept; one object per thread.
    """

    def __init__(self, course: Course, progress: Progress) -> None:
        self.course = course
        self.progress = progress

    def place(self) -> Place:
        """Where the learner goes on: in the lesson and at the exercise of last time, else in the first lesson.

        No more of the course is read than that takes.
        """
        here = place_today(self.course, self.progress.projection().here)
        return here if here.lesson else Place(next(iter(self.course.lesson_files), ""), here.exercise)

    def resume(self, lesson: Lesson) -> int:
        """The index of the step to open: the last one that was seen; the first one again when all were."""
        record = self._record(lesson)
        seen = [index for index, step in enumerate(lesson.steps) if step.id in record.seen]
        return seen[-1] if seen and len(seen) < len(lesson.steps) else 0

    def lesson(self, lesson_id: str) -> Lesson:
        """A lesson, with the values of its exercises' present draw.

        Those are the values of the attempt that is under way, or else those that the next start will draw.

        Raises:
            UsageError: there is no such lesson.
            CourseError: it is malformed.
        """
        lesson = self.course.lesson(lesson_id)
        drawn = {}
        for identifier in lesson.exercises:
            source = self.course.exercise_files.get(identifier)
            if source is not None:
                drawn[identifier] = (self.variables(identifier), source.namespaces)
        return load_lesson(lesson.path, values_for_lesson(drawn))

    def variables(self, exercise_id: str) -> dict[str, str]:
        """What is drawn for the learner's attempt at an exercise, be it under way or the next one."""
        drawn = self.course.variables(
            exercise_id,
            key=self.progress.course_key,
            learner=self.progress.learner,
            round_=self.progress.next_round(exercise_id),
        )
        attempt = self.progress.open_attempt_of(exercise_id)
        # An attempt at an older version may lack a variable, or have one that is gone.
        return drawn | {name: value for name, value in attempt.variables.items() if name in drawn} if attempt else drawn

    def opened(self, lesson: Lesson) -> None:
        """Record that a lesson was opened."""
        self.progress.append("lesson.opened", lesson=lesson.id)

    def go_to(self, lesson: Lesson, exercise_id: str = "") -> None:
        """Record that the learner was put here, at an exercise of the lesson or at its beginning."""
        self.progress.append("lesson.opened", lesson=lesson.id, **({"exercise": exercise_id} if exercise_id else {}))

    def seen(self, lesson: Lesson, step: Step) -> None:
        """Record that a step was seen; once is enough."""
        if step.id not in self._record(lesson).seen:
            self.progress.append("step.seen", lesson=lesson.id, step=step.id)

    def ran(self, lesson: Lesson, block: Block) -> None:
        """Record that a block was run."""
        self.progress.append("block.run", lesson=lesson.id, block=block.id)

    def predict(self, lesson: Lesson, block: Block, choice: str) -> None:
        """Lock the answer to a ``predict`` block: what was chosen first stays.

        Raises:
            UsageError: the question has no such choice.
        """
        key = _predict_of(block).choice(choice)
        if self.prediction(lesson, block) is None:
            self.progress.append("predict.answered", lesson=lesson.id, block=block.id, choice=key)

    def prediction(self, lesson: Lesson, block: Block) -> str | None:
        """The locked choice, None as long as there is none."""
        choice = self._record(lesson).predictions.get(block.id)
        return choice if choice in _predict_of(block).choices else None

    def observed(self, lesson: Lesson, block: Block, output: str) -> Observation | None:
        """What the lab did, by the output of the block that the question observes.

        Returns:
            None if the output does not show it (yet), or the question observes nothing.
        """
        question = _predict_of(block)
        found = question.observed(output)
        if found is None:
            return None
        value, choice = found
        return Observation(value, choice, self.prediction(lesson, block), question.because)

    def answer_quiz(self, lesson: Lesson, block: Block, answer: str | Sequence[str]) -> QuizResult:
        """Judge and record an answer to a ``quiz`` block; one may answer again.

        Args:
            lesson: the lesson.
            block: the question.
            answer: keys of choices (``b``, ``a c``, a list) or a number.

        Raises:
            UsageError: it does not answer this question.
        """
        quiz = _quiz_of(block)
        keys = quiz.read(answer)
        says = {option.key: option.say for option in quiz.options}
        # What was chosen is kept in words, so that it can be judged again when choices were added or moved.
        self.progress.append(
            "quiz.answered",
            lesson=lesson.id,
            block=block.id,
            answer=[says.get(key, key) for key in keys],
            right=quiz.is_right(keys),
        )
        return _result(quiz, keys, len(self._record(lesson).quiz[block.id]))

    def last_quiz(self, lesson: Lesson, block: Block) -> QuizResult | None:
        """The last answer, judged by the question as it is today; None if there is none that still fits it."""
        quiz = _quiz_of(block)
        answers = self._record(lesson).quiz.get(block.id)
        if not answers:
            return None
        key_of = {option.say: option.key for option in quiz.options}
        try:
            keys = quiz.read([key_of.get(word, word) for word in answers[-1]["answer"]])
        except UsageError:
            return None
        return _result(quiz, keys, len(answers))

    def _record(self, lesson: Lesson) -> LessonRecord:
        return lesson_record(lesson, self.progress.projection())


def _result(quiz: Quiz, keys: tuple[str, ...], tries: int) -> QuizResult:
    places = dict(enumerate(keys)) if quiz.kind == "order" else {}
    in_place = {key for place, key in places.items() if quiz.answer[place] == key}
    choices = tuple(
        ChoiceResult(
            option.key,
            option.say,
            chosen=option.key in keys,
            right=option.key in in_place if quiz.kind == "order" else option.right,
            why=option.why,
        )
        for option in quiz.options
    )
    return QuizResult(quiz.is_right(keys), keys, choices, quiz.answer_text, quiz.why, tries)


def _predict_of(block: Block) -> Predict:
    if not isinstance(block.question, Predict):
        raise UsageError(f"{block.role} block {block.id} is no prediction")
    return block.question


def _quiz_of(block: Block) -> Quiz:
    if not isinstance(block.question, Quiz):
        raise UsageError(f"{block.role} block {block.id} is no quiz")
    return block.question
