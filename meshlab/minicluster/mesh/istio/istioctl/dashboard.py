"""``istioctl dashboard``: forward a port to a web interface of the mesh, and print its URL."""

from __future__ import annotations

import os
import shutil
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
from meshlab.minicluster.mesh.istio.istioctl.session import Session, connect, kubeconfig


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One web interface: how its pods are labelled, its port and its path."""

    label: str
    port: int
    path: str = ""


DASHBOARDS = {
    "grafana": Dashboard("app.kubernetes.io/name=grafana", 3000),
    "jaeger": Dashboard("app=jaeger", 16686, "/jaeger"),
    "kiali": Dashboard("app=kiali", 20001, "/kiali"),
    "prometheus": Dashboard("app.kubernetes.io/name=prometheus", 9090),
    "skywalking": Dashboard("app=skywalking-ui", 8080),
    "zipkin": Dashboard("app=zipkin", 9411),
    "istiod-debug": Dashboard("app=istiod", 15014, "/debug"),
}
LACKING = {
    "envoy": "the lab's Envoys have no admin port; use  istioctl proxy-config all POD.NAMESPACE",
    "proxy": "the lab's Envoys have no admin port; use  istioctl proxy-config all POD.NAMESPACE",
    "controlz": "use  kubectl -n istio-system logs deploy/istiod",
}


async def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("dashboard", "Access to Istio web UIs: " + ", ".join(DASHBOARDS))
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("-p", "--port", type=int, default=0, help="local port")
    parser.add_argument("--address", default="localhost")
    parser.add_boolean("--browser", default=True, help="false only prints the URL")
    parser.add_argument("-l", "--selector", default="", help="label selector of the pods")
    arguments = parser.parse(argv)
    if arguments.name in LACKING:
        raise LackingError(f"the lab has no dashboard {arguments.name}", hint=f"Instead: {LACKING[arguments.name]}.")
    dashboard = DASHBOARDS.get(arguments.name)
    if dashboard is None:
        raise CommandError(
            f'unknown dashboard "{arguments.name}"', hint=f"there are {', '.join(DASHBOARDS)}", exit_code=EXIT_USAGE
        )
    async with connect(arguments) as session:
        namespace = arguments.namespace or session.istio_namespace
        pod = await _running_pod(session, namespace, arguments.selector or dashboard.label, arguments.name)
    return _forward(
        ["-n", namespace, "port-forward", f"pod/{pod}", f"{arguments.port or dashboard.port}:{dashboard.port}"],
        arguments.address,
        f"http://{arguments.address}:{arguments.port or dashboard.port}{dashboard.path}",
        config=str(kubeconfig(arguments.kubeconfig, os.environ)),
        context=arguments.context,
        browser=arguments.browser,
    )


async def _running_pod(session: Session, namespace: str, selector: str, name: str) -> str:
    pods = (await session.api.list("pods", namespace, label_selector=selector)).items
    for pod in pods:
        if (pod.get("status") or {}).get("phase") == "Running":
            return str(pod["metadata"]["name"])
    raise CommandError(
        f"no {name} pods found",
        hint=f"add-ons are not part of a profile: kubectl apply -f $MESHLAB_SAMPLES/addons/{name}.yaml",
    )


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
        if browser and os.environ.get("DISPLAY"):
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _answers(url: str, process: subprocess.Popen[bytes], timeout_s: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.1)
    return False
