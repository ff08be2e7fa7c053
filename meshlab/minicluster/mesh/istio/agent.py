"""``pilot-agent``: the first process of every proxy's container, and the tool that people run in it.

``proxy sidecar|router`` runs Envoy; ``request`` asks Envoy's admin interface; ``wait`` returns when the proxy is ready.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from meshlab.minicluster.pod import PodContext

USAGE = """usage: pilot-agent COMMAND
  proxy sidecar|router [flags]   run Envoy for this pod
  request GET|POST PATH          ask Envoy's admin interface
  wait                           return when the proxy is ready
  version                        print the version"""


def main(argv: list[str], pod: PodContext) -> int:
    """Run one of the commands; the exit code."""
    command, arguments = (argv[1], argv[2:]) if len(argv) > 1 else ("", [])
    match command:
        case "proxy":
            return _proxy(arguments, pod)
        case "request":
            return _request(arguments, pod)
        case "wait":
            return _wait(arguments, pod)
        case "version":
            from meshlab.minicluster.mesh.istio.pilot.options import VERSION

            print(f"version.BuildInfo{{Version:{VERSION!r}, GitRevision:'meshlab', BuildStatus:'Clean'}}")
            return 0
    print(USAGE, file=sys.stderr)
    return 1


def _proxy(arguments: Sequence[str], pod: PodContext) -> int:
    import asyncio

    from meshlab.minicluster.mesh.istio import logs
    from meshlab.minicluster.mesh.istio.agent_options import InvalidOptions, parse
    from meshlab.minicluster.mesh.istio.agent_proxy import ProxyAgent

    logs.configure()
    try:
        options = parse(arguments, os.environ, namespace=pod.namespace)
    except InvalidOptions as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1

    async def run() -> int:
        return await ProxyAgent(options, pod, os.environ).run()

    try:
        return asyncio.run(run())
    except OSError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def _request(arguments: Sequence[str], pod: PodContext) -> int:
    from meshlab.minicluster.mesh.istio.agent_admin import admin_request, admin_socket

    if len(arguments) != 2:
        print("Error: accepts 2 arg(s): pilot-agent request <method> <path>", file=sys.stderr)
        return 1
    try:
        answer = admin_request(admin_socket(pod), arguments[0].upper(), arguments[1])
    except OSError as error:
        print(f"Error: failed to execute command on Envoy: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(answer.body)
    sys.stdout.buffer.flush()
    if answer.status >= 400:
        print(f"Error: received response code {answer.status}", file=sys.stderr)
        return 1
    return 0


def _wait(arguments: Sequence[str], pod: PodContext) -> int:
    import argparse
    import http.client

    from meshlab.minicluster.mesh.istio.inject_templates import READINESS_PORT

    parser = argparse.ArgumentParser(prog="pilot-agent wait", add_help=False, allow_abbrev=False)
    parser.add_argument("--timeoutSeconds", type=float, default=60)
    parser.add_argument("--periodMillis", type=float, default=500)
    parser.add_argument("--requestTimeoutMillis", type=float, default=500)
    known, _ = parser.parse_known_args(list(arguments))
    deadline = time.monotonic() + known.timeoutSeconds
    port = pod.ports.real(READINESS_PORT)
    while True:
        connection = http.client.HTTPConnection(pod.pod_ip, port, timeout=max(known.requestTimeoutMillis / 1000, 1))
        try:
            connection.request("GET", "/healthz/ready")
            if connection.getresponse().status == 200:
                return 0
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        if time.monotonic() >= deadline:
            print(
                f"Error: timeout waiting for Envoy proxy to become ready after {known.timeoutSeconds:g}s",
                file=sys.stderr,
            )
            return 1
        time.sleep(known.periodMillis / 1000)
