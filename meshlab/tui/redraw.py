"""Draw a text anew at the least cost: nothing if it is the same, and no layout of the screen if its height is.

A live check reports several times a second. A layout costs tens of milliseconds, in which no key is answered.
"""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


def redraw(widget: Static, content: Content) -> None:
    """Show a text in a widget that is as wide as its place (``width: 1fr``) and as high as its text.

    Args:
        widget: where.
        content: the text.
    """
    before = widget.content
    if isinstance(before, Content) and before.is_same(content):
        return
    width, height = widget.content_size
    same_height = width > 0 and content.get_height({}, width) == height
    widget.update(content, layout=not same_height)
