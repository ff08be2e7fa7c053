"""Cuts a step's Markdown into what a screen draws one after the other: prose, and blocks with a role."""

from __future__ import annotations

from collections.abc import Iterator

from markdown_it import MarkdownIt

from meshlab.course.model import Block, Step

Segment = str | Block
"""Prose as Markdown without fences, or one fenced block."""

HIDDEN = frozenset({"instructor"})
"""Roles that learners do not see."""


def segments(step: Step) -> Iterator[Segment]:
    """The step in order; empty prose and hidden blocks are left out."""
    lines = step.markdown.splitlines()
    blocks = iter(step.blocks)
    begin = 0
    for token in MarkdownIt("commonmark").parse(step.markdown):
        if token.type != "fence" or token.map is None:
            continue
        first, end = token.map
        yield from _prose(lines[begin:first])
        block = next(blocks)
        if block.role not in HIDDEN:
            yield block
        begin = end
    yield from _prose(lines[begin:])


def _prose(lines: list[str]) -> Iterator[str]:
    text = "\n".join(lines).strip("\n")
    if text.strip():
        yield text
