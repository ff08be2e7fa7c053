"""Predict, then observe: the learner says what will happen, the lab does it, and the card compares the two."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from meshlab.course.blocks import Predict
from meshlab.course.model import Block
from meshlab.course.reading import Observation


class PredictCard(Vertical):
    """One prediction; it locks with the first answer."""

    DEFAULT_CSS = """
    PredictCard {
        height: auto;
        margin: 0 0 1 0;
        padding: 0 1;
        border: round $warning;
        &.-right { border: round $success; }
        &.-wrong { border: round $error; }
        &:focus-within { background: $boost; }
        Static { height: auto; }
        OptionList { height: auto; max-height: 12; border: none; background: transparent; padding: 0; }
        .predict-said { display: none; margin-top: 1; }
        .predict-said.-some { display: block; }
    }
    """

    @dataclass
    class Predicted(Message):
        """The learner chose."""

        card: PredictCard
        block: Block
        choice: str

        @property
        def control(self) -> PredictCard:
            """The card."""
            return self.card

    def __init__(self, block: Block, question: Predict) -> None:
        super().__init__()
        self.block = block
        self.question = question
        self.choice: str | None = None
        self.is_compared = False
        """Whether the lab's answer is shown already."""

    def focus_choices(self) -> None:
        """Give the keys to the choices."""
        self.query_one(OptionList).focus()

    def compose(self) -> ComposeResult:
        """The question, the choices, and what came of it."""
        yield Static(Content.assemble(("Predict  ", "bold $text-warning"), (self.question.ask.strip(), "bold")))
        yield OptionList(*self._options())
        yield Static(classes="predict-said")

    def show_locked(self, choice: str) -> None:
        """Show the locked prediction and what comes next."""
        self.choice = choice
        options = self.query_one(OptionList)
        options.set_options(self._options())
        options.disabled = True
        self._say(Content.styled("locked; now run the next block and see", "$text-warning"))

    def compare(self, observation: Observation) -> None:
        """Show what this lab did."""
        self.is_compared = True
        right = observation.right
        self.set_class(right, "-right")
        self.set_class(not right, "-wrong")
        verdict = ("✔ as you said", "bold $text-success") if right else ("✘ not as you said", "bold $text-error")
        facts = Content.assemble(("this lab: ", "$text-muted"), (observation.found, "bold"), "  ", verdict)
        self._say(Content.assemble(facts, "\n", observation.because.strip()))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Lock the answer, once."""
        event.stop()
        if self.choice is None and event.option_id is not None:
            self.post_message(self.Predicted(self, self.block, event.option_id))

    def _options(self) -> list[Option]:
        return [
            Option(Content(f"{'●' if key == self.choice else '○'} {key}) {text}"), id=key)
            for key, text in self.question.choices.items()
        ]

    def _say(self, text: Content) -> None:
        said = self.query_one(".predict-said", Static)
        said.update(text)
        said.add_class("-some")
