"""The configuration that makes the host's curl a program of a pod."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from meshlab.minicluster.network.names import NameTable
from meshlab.minicluster.pod import PodContext


def config_text(pod: PodContext, connect_to: Sequence[str]) -> str:
    """The lines of a curl configuration file.

    Args:
        pod: whose connections come from its own address.
        connect_to: values of ``connect-to``. A pod behind a sidecar keeps only those of ``localhost``: with a proxy any
            other would make curl ask the proxy for a tunnel.
    """
    lines = [f"interface = {pod.pod_ip}"]
    local = ("localhost:", "127.0.0.1:")
    lines += [f'connect-to = "{value}"' for value in connect_to if not pod.proxy_url or value.startswith(local)]
    return "\n".join(lines) + "\n"


def write_config(context: str, config: str) -> None:
    """Write the configuration from the name table as it is now, and date it so that the launcher knows.

    Args:
        context: path of the saved `PodContext`.
        config: where to write.
    """
    pod = PodContext.load(Path(context))
    try:
        stamp = Path(pod.names_file).stat().st_mtime_ns
    except FileNotFoundError:
        stamp = 0
    text = config_text(pod, NameTable(pod.names_file).connect_to_lines(pod.namespace, pod.ports, pod.app_ip))
    temporary = f"{config}.{os.getpid()}"
    Path(temporary).write_text(text)
    os.utime(temporary, ns=(stamp + 1, stamp + 1))
    Path(temporary).replace(config)
