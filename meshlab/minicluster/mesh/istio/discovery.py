"""``pilot-discovery``: the program of the istiod pod. What it does is in `pilot`; here is its command line.

gRPC is imported only after the process has forked, and without its own handling of forks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from meshlab.minicluster.garbage import collect_seldom
from meshlab.minicluster.mesh.istio import logs
from meshlab.minicluster.mesh.istio.pilot.options import MONITORING_PORT, VERSION, Options, parse
from meshlab.minicluster.pod import PodContext

logger = logging.getLogger(__name__)

USAGE = "usage: pilot-discovery discovery [flags] | request GET|POST PATH | version"


def main(argv: list[str], pod: PodContext) -> int:
    """Run ``pilot-discovery discovery``, ``request`` or ``version``; the exit code."""
    command, arguments = (argv[1], argv[2:]) if len(argv) > 1 else ("", [])
    match command:
        case "discovery":
            # Before grpc is imported: a fork handler would print a warning in every process that forks.
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
            logs.configure()
            return asyncio.run(_run(parse(arguments, os.environ, namespace=pod.namespace), pod))
        case "request":
            return _request(arguments, pod)
        case "version":
            print(f"version.BuildInfo{{Version:{VERSION!r}, GitRevision:'meshlab', BuildStatus:'Clean'}}")
            return 0
    print(USAGE, file=sys.stderr)
    return 1


async def _run(options: Options, pod: PodContext) -> int:
    from meshlab.minicluster.client import SERVICE_ACCOUNT_DIR, RemoteApi
    from meshlab.minicluster.mesh.istio.pilot.istiod import Istiod

    collect_seldom()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    logger.info("Starting istiod %s in namespace %s, revision %s", VERSION, options.namespace, options.revision)
    account = Path(pod.host_path(str(SERVICE_ACCOUNT_DIR)))
    async with RemoteApi.in_cluster(pod, account) as api:
        try:
            await Istiod(api, options, pod).run(stop)
        except OSError as error:
            logger.critical("istiod cannot go on: %s", error)
            return 1
    logger.info("istiod stopped")
    return 0


def _request(arguments: list[str], pod: PodContext) -> int:
    """``pilot-discovery request GET /debug/syncz``: ask the istiod in this pod, print what it says."""
    import http.client

    if len(arguments) != 2:
        print("usage: pilot-discovery request <method> <path>", file=sys.stderr)
        return 1
    method, path = arguments[0].upper(), "/" + arguments[1].removeprefix("/")
    connection = http.client.HTTPConnection(pod.bind_ip, pod.ports.real(MONITORING_PORT), timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
    except OSError as error:
        print(f"error: istiod does not answer: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    sys.stdout.buffer.write(body)
    if response.status >= 400:
        print(f"error: received response code {response.status}", file=sys.stderr)
        return 1
    return 0
