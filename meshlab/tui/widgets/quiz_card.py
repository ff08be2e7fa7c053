"""A question of a lesson: answered on the spot, with the reason for every choice."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from meshlab.course.blocks import Quiz, QuizKind
from meshlab.course.model import Block
from meshlab.course.reading import QuizResult

_HOW: dict[QuizKind, str] = {
    "one": "choose with ↑ ↓ and enter",
    "many": "type all letters that are right, such as: a c",
    "number": "type a number",
    "order": "type the letters in the right order, such as: b a c",
}


class QuizCard(Vertical):
    """One question; it can be answered again."""

    DEFAULT_CSS = """
    QuizCard {
        height: auto;
        margin: 0 0 1 0;
        padding: 0 1;
        border: round $secondary;
        &.-right { border: round $success; }
        &.-wrong { border: round $error; }
        &:focus-within { background: $boost; }
        Static { height: auto; }
        OptionList { height: auto; max-height: 12; border: none; background: transparent; padding: 0; }
        Input { border: round $secondary; height: 3; }
        .quiz-how { color: $text-muted; }
        .quiz-said { display: none; margin-top: 1; }
        .quiz-said.-some { display: block; }
    }
    """

    @dataclass
    class Answered(Message):
        """The learner answered."""

        card: QuizCard
        block: Block
        answer: str

        @property
        def control(self) -> QuizCard:
            """The card."""
            return self.card

    def __init__(self, block: Block, question: Quiz) -> None:
        super().__init__()
        self.block = block
        self.question = question

    def compose(self) -> ComposeResult:
        """The question, a way to answer, and what came of it."""
        yield Static(Content.assemble(("Question  ", "bold $text-secondary"), (self.question.ask.strip(), "bold")))
        yield Static(_HOW[self.question.kind], classes="quiz-how")
        if self.question.kind == "one":
            yield OptionList(
                *(Option(Content(f"{option.key}) {option.say}"), id=option.key) for option in self.question.options)
            )
        else:
            yield Static(Content("\n".join(f"{option.key}) {option.say}" for option in self.question.options)))
            yield Input(placeholder=self.question.unit or "your answer")
        yield Static(classes="quiz-said")

    def show(self, result: QuizResult) -> None:
        """Show whether the answer was right, and why each choice is or is not."""
        self.set_class(result.right, "-right")
        self.set_class(not result.right, "-wrong")
        lines: list[Content | str] = [
            Content.styled("✔ right", "bold $text-success")
            if result.right
            else Content.styled("✘ not right; look again", "bold $text-error")
        ]
        for choice in result.choices:
            if not choice.why or not (result.right or choice.chosen):
                # A wrong answer learns why it is wrong, not yet which one is right.
                continue
            colour = "$text-success" if choice.right else "$text-muted"
            lines += ["\n", Content.assemble((f"{choice.key}) ", colour), choice.why)]
        if result.right and self.question.why:
            lines += ["\n", self.question.why.strip()]
        said = self.query_one(".quiz-said", Static)
        said.update(Content.assemble(*lines))
        said.add_class("-some")

    def show_problem(self, text: str) -> None:
        """Show that the answer could not be read."""
        said = self.query_one(".quiz-said", Static)
        said.update(Content.styled(text, "$text-warning"))
        said.add_class("-some")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer by choosing."""
        event.stop()
        if event.option_id is not None:
            self.post_message(self.Answered(self, self.block, event.option_id))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer by typing."""
        event.stop()
        if event.value.strip():
            self.post_message(self.Answered(self, self.block, event.value))
