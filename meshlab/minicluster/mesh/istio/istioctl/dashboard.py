"""``istioctl dashboard``: forward a port to a web interface of the mesh, and print its URL."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError, LackingError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.pods import find_pod
from meshlab.minicluster.mesh.istio.istioctl.session import Session, connect, kubeconfig


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One web interface: its name, how its pods are labelled, its port and its path."""

    title: str
    label: str
    port: int
    path: str = ""


DASHBOARDS = {
    "grafana": Dashboard("Grafana", "app.kubernetes.io/name=grafana", 3000),
    "jaeger": Dashboard("Jaeger", "app=jaeger", 16686, "/jaeger"),
    "kiali": Dashboard("Kiali", "app=kiali", 20001, "/kiali"),
    "prometheus": Dashboard("Prometheus", "app.kubernetes.io/name=prometheus", 9090),
    "skywalking": Dashboard("SkyWalking UI", "app=skywalking-ui", 8080),
    "zipkin": Dashboard("Zipkin", "app=zipkin", 9411),
    "istiod-debug": Dashboard("Istiod", "app=istiod", 15014, "/debug"),
}
SERVED = ("kiali",)
"""Add-ons whose manifest and image the lab has."""
PROXIES = ("envoy", "proxy")
"""Names of the dashboard of one pod's proxy."""
PROXY_PORT = 15000
LACKING = {
    "controlz": "use  kubectl -n istio-system logs deploy/istiod",
}


async def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("dashboard", "Access to Istio web UIs: " + ", ".join(DASHBOARDS))
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("pod", nargs="?", default="", help="for proxy: TYPE/NAME[.NAMESPACE]")
    parser.add_argument("-p", "--port", type=int, default=0, help="local port")
    parser.add_argument("--address", default="localhost")
    parser.add_boolean("--browser", default=True, help="false only prints the URL")
    parser.add_argument("-l", "--selector", default="", help="label selector of the pods")
    arguments = parser.parse(argv)
    if arguments.name in LACKING:
        raise LackingError(f"the lab has no dashboard {arguments.name}", hint=f"Instead: {LACKING[arguments.name]}.")
    if arguments.name in PROXIES:
        return await _proxy(arguments)
    dashboard = DASHBOARDS.get(arguments.name)
    if dashboard is None:
        names = ", ".join((*DASHBOARDS, *PROXIES))
        raise CommandError(f'unknown dashboard "{arguments.name}"', hint=f"there are {names}", exit_code=EXIT_USAGE)
    async with connect(arguments) as session:
        namespace = arguments.namespace or session.istio_namespace
        pod = await _running_pod(session, namespace, arguments.selector or dashboard.label, arguments.name)
    return _show(namespace, pod, dashboard, arguments)


async def _proxy(arguments: argparse.Namespace) -> int:
    """The administration pages of one pod's Envoy."""
    if not arguments.pod and not arguments.selector:
        raise CommandError("specify a pod or --selector", exit_code=EXIT_USAGE)
    async with connect(arguments) as session:
        if arguments.pod:
            metadata = (await find_pod(session, arguments.pod))["metadata"]
            namespace, pod = metadata["namespace"], metadata["name"]
        else:
            namespace = session.default_namespace
            pod = await _running_pod(session, namespace, arguments.selector, arguments.name)
    return _show(namespace, pod, Dashboard("Envoy", "", PROXY_PORT), arguments)


def _show(namespace: str, pod: str, dashboard: Dashboard, arguments: argparse.Namespace) -> int:
    port = arguments.port or _free_port(arguments.address, dashboard.port)
    return _forward(
        ["-n", namespace, "port-forward", f"pod/{pod}", f"{port}:{dashboard.port}"],
        arguments.address,
        f"http://{arguments.address}:{port}{dashboard.path}",
        config=str(kubeconfig(arguments.kubeconfig, os.environ)),
        context=arguments.context,
        browser=arguments.browser,
    )


async def _running_pod(session: Session, namespace: str, selector: str, name: str) -> str:
    pods = (await session.api.list("pods", namespace, label_selector=selector)).items
    for pod in pods:
        if (pod.get("status") or {}).get("phase") == "Running":
            return str(pod["metadata"]["name"])
    raise CommandError(f"no {DASHBOARDS[name].title} pods found", hint=_hint(name))


def _hint(name: str) -> str:
    """How to come by the pods."""
    if name in SERVED:
        return f"add-ons are not part of a profile: kubectl apply -f $MESHLAB_SAMPLES/addons/{name}.yaml"
    if name == "istiod-debug":
        return "istioctl install"
    return f"the lab has no {DASHBOARDS[name].title} in this version; a real cluster has it from Istio's samples/addons"


def _free_port(address: str, preferred: int) -> int:
    """The interface's own port, or any other if that is taken."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As kubectl does; else a port used a moment ago would seem taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return preferred


def _open(url: str) -> None:
    """Open a browser, as far as there is a screen for it."""
    import webbrowser

    has_screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not has_screen or not webbrowser.open(url):
        print(f"Failed to open browser; open {url} in your browser.", flush=True)


def _forward(command: list[str], address: str, url: str, *, config: str, context: str, browser: bool) -> int:
    """Run kubectl's port-forward until it ends or is interrupted, and print the URL once it answers."""
    beside = os.path.join(os.path.dirname(sys.executable), "kubectl")  # noqa: PTH118, PTH120
    kubectl = beside if os.access(beside, os.X_OK) else shutil.which("kubectl")
    if kubectl is None:
        raise CommandError("kubectl is needed to forward a port and is not there")
    flags = ["--kubeconfig", config, *(["--context", context] if context else []), "--address", address]
    process = subprocess.Popen([kubectl, *flags, *command], stdout=subprocess.DEVNULL)
    try:
        if not _answers(url, process):
            process.wait()
            raise CommandError(f"the port could not be forwarded (kubectl exited with {process.returncode})")
        print(url, flush=True)
        if browser:
            threading.Thread(target=_open, args=(url,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()
        return 0
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _answers(url: str, process: subprocess.Popen[bytes], timeout_s: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                answer.read()  # else the tunnel complains of the rest
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.1)
    return False
