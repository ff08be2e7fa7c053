"""The patch types of the Kubernetes API, as pure functions of plain JSON values.

An object and a patch come in, the patched object comes out; the input is never changed, but the result shares with it
what the patch did not touch. Errors are `StatusError`, worded as upstream words them.
"""

from meshlab.minicluster.apiserver.patch.json_patch import json_patch
from meshlab.minicluster.apiserver.patch.merge_patch import merge_patch
from meshlab.minicluster.apiserver.patch.strategic import strategic_merge_patch

__all__ = ["json_patch", "merge_patch", "strategic_merge_patch"]
