"""One lab's daemon: API server, controllers and node in one asyncio loop, from the lock to the last process.

It reports on a pipe while it comes up (see ``cluster.providers.embedded``), then lives until SIGTERM. Objects are in
the store, so what a start finds there comes back; processes are not, so the node starts every pod anew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from meshlab import __version__
from meshlab.errors import MeshlabError
from meshlab.labs import LAB_LABEL, LabInfo, LabPaths
from meshlab.minicluster.garbage import collect_seldom
from meshlab.minicluster.kubeapi import KubeApi, StatusError
from meshlab.minicluster.network.addresses import LabNetwork, PortMap
from meshlab.minicluster.network.allocation import Claim, NoAddressesError, claim

logger = logging.getLogger(__name__)

READY_TIMEOUT_S = 45
POLL_S = 0.01
EXIT_SUPERVISOR_LOST = 70


class Reporter:
    """The pipe to whoever started the daemon; silent once that one is gone."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def send(self, **report: object) -> None:
        """Write one line, if somebody still listens."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            os.write(self._descriptor, json.dumps(report).encode() + b"\n")

    def close(self) -> None:
        """Tell the starter that no more will come."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon of one lab in the foreground."""
    parser = argparse.ArgumentParser(prog="python -m meshlab.minicluster", description=__doc__)
    parser.add_argument("--lab", default="default", help="name of the lab")
    parser.add_argument("--ready-fd", type=int, help="descriptor on which to report readiness")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    reporter = Reporter(arguments.ready_fd)
    if arguments.ready_fd is not None:
        os.set_inheritable(arguments.ready_fd, False)
    try:
        lab = LabPaths(arguments.lab)
        if not lab.acquire():
            reporter.send(error=f"lab {lab.name} is being started by somebody else", hint="meshlab status shows it")
            return 2
        return asyncio.run(_serve(lab, reporter))
    except (MeshlabError, NoAddressesError) as error:
        logger.error("%s", error)
        reporter.send(error=str(error), hint=getattr(error, "hint", ""))
        return 3
    finally:
        reporter.close()


async def _serve(lab: LabPaths, reporter: Reporter) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    lost = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    collect_seldom()
    async with _running(lab, reporter, lost):
        if not stopping.is_set():
            reporter.send(ready=True)
            reporter.close()
            logger.info("lab %s is ready", lab.name)
        waiters = [asyncio.create_task(event.wait()) for event in (stopping, lost)]
        await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        for waiter in waiters:
            waiter.cancel()
        logger.info("lab %s stops", lab.name)
    if lost.is_set():
        logger.error("the supervisor of the lab's processes died; start the lab again with meshlab up")
        return EXIT_SUPERVISOR_LOST
    return 0


@asynccontextmanager
async def _running(lab: LabPaths, reporter: Reporter, lost: asyncio.Event) -> AsyncIterator[None]:
    """Everything up inside, everything down after, in the reverse order."""
    from meshlab.minicluster.apiserver import ApiServer
    from meshlab.minicluster.controllers import ControllerManager
    from meshlab.minicluster.events import EventRecorder
    from meshlab.minicluster.network.l4 import Forwarder
    from meshlab.minicluster.network.names import NameTableWriter
    from meshlab.minicluster.node import Node

    reporter.send(stage="addresses")
    claimed = claim(lab.name, lab.state_dir / "network.json")
    network = LabNetwork(claimed.prefix)
    runtime = _fresh_runtime_dir(lab)
    # The port map is decided anew at each start: what host processes hold may have changed.
    # Containers see the folder of these two files read-only: nothing else may lie in it, above all no pod's sockets.
    tables = runtime / "tables"
    tables.mkdir(mode=0o700)
    ports = PortMap(tables / "ports.json", network.node_address)
    names_file = tables / "names.json"
    async with AsyncExitStack() as stack:
        reporter.send(stage="API server")
        server = ApiServer(lab.state_dir, network, ports, listener=claimed.listener)
        await server.start()
        stack.push_async_callback(server.stop)
        server.write_kubeconfig(lab.kubeconfig)
        api: KubeApi = server.local("system:kube-controller-manager")
        await _mark(api, lab)
        await _serve_gateway_api(api)

        reporter.send(stage="controllers")
        recorder = EventRecorder(api, "kubelet")
        names = NameTableWriter(api, names_file)
        await names.start()
        stack.push_async_callback(names.stop)
        forwarder = Forwarder(api, network, ports)
        await forwarder.start()
        stack.push_async_callback(forwarder.stop)
        controllers = ControllerManager(
            api,
            network=network,
            recorder=recorder,
            ca_pem=server.ca_pem,
            served_resources=server.served_resources,
        )
        await controllers.start()
        stack.push_async_callback(controllers.stop)

        reporter.send(stage="node")
        node = Node(
            server.local("system:node:meshlab"),
            network=network,
            ports=ports,
            state_dir=lab.state_dir / "node",
            runtime_dir=runtime,
            api_server=server.url,
            ca_pem=server.ca_pem,
            names_file=names_file,
            issue_token=server.issue_token,
            recorder=recorder,
            on_supervisor_lost=lost.set,
        )
        await node.start()
        stack.push_async_callback(node.stop)
        server.set_pod_backend(node)

        await _wait_ready(api)
        lab.write_info(_info(lab, claimed, server.url))
        yield


async def _mark(api: KubeApi, lab: LabPaths) -> None:
    """Put the marker on ``kube-system`` by which the lab's istioctl knows an embedded lab."""
    await api.patch("namespaces", "kube-system", {"metadata": {"labels": {LAB_LABEL: lab.name}}})


async def _serve_gateway_api(api: KubeApi) -> None:
    """Serve the standard channel of the Gateway API from the start; an installed version is left alone."""
    from meshlab.minicluster.gatewayapi import gateway_api_crds

    for crd in gateway_api_crds():
        try:
            await api.create("customresourcedefinitions.apiextensions.k8s.io", crd)
        except StatusError as error:
            if error.code != 409:
                raise


async def _wait_ready(api: KubeApi) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    missing = "the node"
    while time.monotonic() < deadline:
        try:
            missing = "the node"
            node = await api.get("nodes", "meshlab")
            conditions = {entry["type"]: entry["status"] for entry in node.get("status", {}).get("conditions", [])}
            if conditions.get("Ready") == "True":
                missing = "the ServiceAccount of namespace default"
                await api.get("serviceaccounts", "default", "default")
                return
        except StatusError as error:
            if error.code != 404:
                raise
        await asyncio.sleep(POLL_S)
    raise MeshlabError(f"{missing} did not become ready within {READY_TIMEOUT_S} s", title="The lab failed")


def _info(lab: LabPaths, claimed: Claim, url: str) -> LabInfo:
    return LabInfo(
        lab=lab.name,
        pid=os.getpid(),
        server=url,
        prefix=claimed.prefix,
        kubeconfig=str(lab.kubeconfig),
        version=__version__,
        started_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        bin_dir=str(lab.bin_dir),
    )


def _fresh_runtime_dir(lab: LabPaths) -> Path:
    """The runtime directory, without the sockets that a killed daemon left behind."""
    runtime = lab.runtime_dir
    for entry in runtime.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    return runtime


if __name__ == "__main__":
    sys.exit(main())
