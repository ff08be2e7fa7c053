"""The Common Expression Language as far as configuration needs it.

Resources carry expressions over a request, which Envoy evaluates; but it refuses a whole listener for one that it
cannot read. So a text flows in here first, and out flows whether it is an expression (`syntax`), what it asks for, and
the same with other names where a proxy calls things differently (`rewriting`). Types are not checked, as Envoy does not
check them before there is a request either.
"""

from __future__ import annotations

from meshlab.minicluster.mesh.cel.rewriting import calls, path, paths, renamed, results, text_parts, with_known
from meshlab.minicluster.mesh.cel.syntax import fault

__all__ = ["calls", "fault", "path", "paths", "renamed", "results", "text_parts", "with_known"]
