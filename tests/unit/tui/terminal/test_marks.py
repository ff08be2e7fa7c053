"""Semantic prompts: found wherever the stream is cut, and folded into commands."""

from __future__ import annotations

from meshlab.tui.terminal.marks import CommandTracker, Finished, Mark, MarkKind, MarkScanner

STREAM = b"hi\x1b[1m\x1b]133;D;3\x07\x1b]133;A;redraw=last\x1b\\$ \x1b]133;B\x07ls\r\n\x1b]133;C\x07out\x1b]2;t\x07\x1b"
MARKS = [Mark(MarkKind.ENDED, 3), Mark(MarkKind.PROMPT), Mark(MarkKind.INPUT), Mark(MarkKind.STARTED)]

A, B, C = Mark(MarkKind.PROMPT), Mark(MarkKind.INPUT), Mark(MarkKind.STARTED)


def test_marks_are_found_wherever_the_stream_is_cut() -> None:
    for size in range(1, len(STREAM) + 1):
        scanner = MarkScanner()
        pieces = [piece for at in range(0, len(STREAM), size) for piece in scanner.split(STREAM[at : at + size])]
        assert [mark for _, mark in pieces if mark] == MARKS, size
        # Nothing is lost but the escape at the end, which may begin something.
        assert b"".join(data for data, _ in pieces) == STREAM[:-1], size


def test_a_piece_ends_with_its_mark() -> None:
    pieces = list(MarkScanner().split(b"a\x1b]133;B\x07b"))
    assert pieces == [(b"a\x1b]133;B\x07", B), (b"b", None)]


def test_a_mark_without_an_end_is_not_waited_for() -> None:
    scanner = MarkScanner()
    endless = b"\x1b]133;" + b"x" * 1000
    assert b"".join(data for data, _ in scanner.split(endless)) == endless


def test_a_strange_status_is_no_status() -> None:
    for status in (b"", b";", b";many", b";99999", b";-1"):
        [(_, mark)] = MarkScanner().split(b"\x1b]133;D" + status + b"\x07")
        assert mark == Mark(MarkKind.ENDED, None)


def test_a_command_starts_and_ends() -> None:
    tracker = CommandTracker()
    assert not tracker.prompted
    tracker.mark(B, "")
    assert tracker.at_prompt
    tracker.mark(C, "false")
    assert tracker.busy
    assert not tracker.at_prompt
    assert tracker.mark(Mark(MarkKind.ENDED, 1), "") == Finished("false", 1)
    assert not tracker.busy


def test_an_end_without_a_start_is_nothing() -> None:
    tracker = CommandTracker()
    assert tracker.mark(Mark(MarkKind.ENDED, 0), "") is None


def test_a_shell_that_announces_no_start_is_helped() -> None:
    tracker = CommandTracker()
    tracker.mark(B, "")
    tracker.entered("")
    assert not tracker.busy
    tracker.entered("ls")
    assert tracker.busy
    assert tracker.mark(Mark(MarkKind.ENDED, 0), "") == Finished("ls", 0)


def test_a_shell_that_announces_starts_is_believed() -> None:
    tracker = CommandTracker()
    tracker.mark(B, "")
    tracker.mark(C, "ls")
    tracker.mark(Mark(MarkKind.ENDED, 0), "")
    tracker.mark(B, "")
    tracker.entered("# a comment starts nothing")
    assert not tracker.busy
