"""``/docker-entrypoint.sh`` of the nginx image: runs the hooks that a volume brings, then the command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

HOOKS = "/docker-entrypoint.d"


def main(argv: list[str], pod: PodContext) -> int:
    """Run the hooks, then become the command."""
    command = argv[1:]
    if not command:
        return 0
    if command[0] in {"nginx", "nginx-debug"}:
        for hook in sorted(Path(pod.host_path(HOOKS)).glob("*.sh")):
            if os.access(hook, os.X_OK):
                print_line(f"{argv[0]}: Launching {HOOKS}/{hook.name}")
                code = subprocess.run([str(hook)], check=False).returncode
                if code:
                    return code
        print_line(f"{argv[0]}: Configuration complete; ready for start up")
    if command[0] == "nginx":
        # Staying in this process keeps what the supervisor has loaded already.
        from meshlab.minicluster.images.nginx.server import main as nginx

        return nginx(command, pod)
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        print_line(f"{argv[0]}: exec: {command[0]}: not found", error=True)
        return 127
