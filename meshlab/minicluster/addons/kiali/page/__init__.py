"""The page: one HTML file with its style and program inside, and a policy that allows just those."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from importlib import resources


@dataclass(frozen=True, slots=True)
class Page:
    """The page as it is served."""

    html: str
    policy: str
    """Its Content-Security-Policy: nothing from elsewhere, no program but its own."""


def load_page(web_root: str) -> Page:
    """Put the page together from the files beside this one.

    Args:
        web_root: below which path it is served: ``/kiali``, or nothing.
    """
    here = resources.files(__package__)
    style, script, text = (here.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js", "page.html"))
    text = text.replace("@web-root@", escape(web_root))
    text = text.replace("/* page.css */", style).replace("/* page.js */", script)
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(text, policy)


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
