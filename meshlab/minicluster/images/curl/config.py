"""The configuration that makes the host's curl a program of a pod."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from meshlab.minicluster.images.dial import PodNetwork
from meshlab.minicluster.network.names import NameTable
from meshlab.minicluster.pod import SIDECAR_PORTS, PodContext

PORTS = {"http": 80, "https": 443, "telnet": 23, "ftp": 21}


def config_text(pod: PodContext, connect_to: Sequence[str]) -> str:
    """The lines of a curl configuration file.

    Args:
        pod: whose connections come from its own address.
        connect_to: values of ``connect-to``. A pod behind a sidecar keeps only those of ``localhost``: with a proxy any
            other would make curl ask the proxy for a tunnel.
    """
    lines = [f"interface = {pod.pod_ip}"]
    local = ("localhost:", "127.0.0.1:")
    if pod.app_ip != pod.pod_ip:
        # One loopback for all containers of a pod: there the sidecar's ports are too.
        ports = [(port, pod.ports.real(port)) for port in SIDECAR_PORTS]
        lines += [f'connect-to = "{host}{port}:{pod.pod_ip}:{real}"' for host in local for port, real in ports]
    lines += [f'connect-to = "{value}"' for value in connect_to if not pod.proxy_url or value.startswith(local)]
    return "\n".join(lines) + "\n"


def prepare_direct(context: str, config: str, arguments: Sequence[str]) -> int:
    """Decide whether a command goes past the sidecar, and if so write the configuration that it needs.

    Args:
        context: path of the saved `PodContext`.
        config: where to write.
        arguments: curl's. The first URL decides.

    Returns:
        An exit code: 0 if it does, 1 if it goes through the sidecar.
    """
    pod = PodContext.load(Path(context))
    url = next((argument for argument in arguments if "://" in argument and not argument.startswith("-")), "")
    # Without a scheme a URL is the operand that comes last in most commands.
    parts = urlsplit(url or f"http://{arguments[-1] if arguments else ''}")
    try:
        port = parts.port or PORTS.get(parts.scheme, 80)
    except ValueError:
        return 1
    if not parts.hostname or PodNetwork(pod).captures(parts.hostname, port):
        return 1
    write_config(context, config, direct=True)
    return 0


def write_config(context: str, config: str, *, direct: bool = False) -> None:
    """Write the configuration from the name table as it is now, and date it so that the launcher knows.

    Args:
        context: path of the saved `PodContext`.
        config: where to write.
        direct: as for a pod without a sidecar.
    """
    pod = PodContext.load(Path(context))
    if direct:
        pod = replace(pod, proxy_url="")
    try:
        stamp = Path(pod.names_file).stat().st_mtime_ns
    except FileNotFoundError:
        stamp = 0
    text = config_text(pod, NameTable(pod.names_file).connect_to_lines(pod.namespace, pod.ports, pod.app_ip))
    temporary = f"{config}.{os.getpid()}"
    Path(temporary).write_text(text)
    os.utime(temporary, ns=(stamp + 1, stamp + 1))
    Path(temporary).replace(config)
