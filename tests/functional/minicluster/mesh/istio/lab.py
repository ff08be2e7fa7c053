"""A lab in a test: a fake API, a real istiod in the test's loop, real agents with real Envoys."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml
from aiohttp import web

from meshlab.minicluster.apiserver.patch.json_patch import json_patch
from meshlab.minicluster.kubeapi import Obj, PatchType, StatusError
from meshlab.minicluster.mesh.istio.manifests import istio_crds
from meshlab.minicluster.mesh.istio.pilot.istiod import Istiod
from meshlab.minicluster.mesh.istio.pilot.options import Options
from meshlab.minicluster.network.addresses import PortMap, hidden_address
from meshlab.minicluster.pod import PodContext
from tests.fakes.istio_world import PLURALS, World
from tests.fakes.kube_api import FakeKubeApi, copy
from tests.support.addresses import random_prefix

NAMESPACE = "istio-system"
MUTATING = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
VALIDATING = "validatingwebhookconfigurations.admissionregistration.k8s.io"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class IstioFakeApi(FakeKubeApi):
    """The fake with JSON patches, and token reviews: the token of a pod is ``token:namespace/account/pod``."""

    async def create(
        self, resource: str, obj: Obj, namespace: str | None = None, *, subresource: str = "", dry_run: bool = False
    ) -> Obj:
        if resource == "tokenreviews.authentication.k8s.io":
            kind, _, name = obj["spec"]["token"].partition(":")
            if kind != "token" or "istio-ca" not in obj["spec"]["audiences"]:
                return {**obj, "status": {"authenticated": False}}
            ns, account, pod = name.split("/")
            user = {
                "username": f"system:serviceaccount:{ns}:{account}",
                "extra": {"authentication.kubernetes.io/pod-name": [pod]},
            }
            return {**obj, "status": {"authenticated": True, "user": user, "audiences": ["istio-ca"]}}
        return await super().create(resource, obj, namespace, subresource=subresource, dry_run=dry_run)

    async def patch(
        self,
        resource: str,
        name: str,
        patch: Obj | Sequence[Obj],
        namespace: str | None = None,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Obj:
        if isinstance(patch, dict):
            return await super().patch(resource, name, patch, namespace, patch_type=patch_type, subresource=subresource)
        return await self.update(resource, json_patch(copy(await self.get(resource, name, namespace)), patch))


async def eventually(condition: Callable[[], Any], timeout_s: float = 10) -> Any:
    """Wait until the condition is truthy (it may be a coroutine function); its value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, "the condition did not become true in time"
        await asyncio.sleep(0.01)


class Agent:
    """A `pilot-agent` in a process of its own."""

    def __init__(self, pod: PodContext, context_file: Path, log: Path, environment: dict[str, str]) -> None:
        self.pod = pod
        self.log = log
        self._context_file = context_file
        self._environment = environment
        self.process: asyncio.subprocess.Process

    async def start(self, role: str) -> None:
        with self.log.open("wb") as log:
            self.process = await self._spawn(["proxy", role, "--proxyLogLevel=warning"], stdout=log, stderr=log)

    async def run(self, *arguments: str) -> tuple[int, bytes]:
        """Another command in the same container: its exit code and output."""
        process = await self._spawn(list(arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        return process.returncode or 0, output

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(how)
        return await self.process.wait()

    async def _spawn(self, arguments: list[str], **streams: Any) -> asyncio.subprocess.Process:
        code = (
            "import sys; from pathlib import Path; from meshlab.minicluster.pod import PodContext; "
            "from meshlab.minicluster.mesh.istio.agent import main; "
            f"sys.exit(main(['pilot-agent', *sys.argv[1:]], PodContext.load(Path({str(self._context_file)!r}))))"
        )
        environment = {**os.environ, **self._environment}
        return await asyncio.create_subprocess_exec(sys.executable, "-c", code, *arguments, env=environment, **streams)


class Lab:
    """One mesh. Use as an async context manager; it starts with istiod running and ready."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.world = World(random_prefix())
        self.api = IstioFakeApi()
        self.ports = PortMap(directory / "ports.json", "127.0.0.1")
        self.names: Obj = {"services": {}, "pods": {}}
        self.agents: list[Agent] = []
        self.istiod: Istiod
        self.options = Options(NAMESPACE)
        self._stack = contextlib.AsyncExitStack()
        self._stop_istiod: asyncio.Event
        self._istiod_task: asyncio.Task[None]

    async def __aenter__(self) -> Lab:
        for name in ("default", NAMESPACE):
            await self.api.create("namespaces", {"kind": "Namespace", "metadata": {"name": name}})
        mesh = yaml.safe_dump({"accessLogFile": "/dev/stdout", "rootNamespace": NAMESPACE})
        await self._config_map("istio", {"mesh": mesh})
        await self._config_map("istio-sidecar-injector", {"config": "policy: enabled", "values": "{}"})
        for kind, resource in (("Mutating", MUTATING), ("Validating", VALIDATING)):
            webhooks = [
                {
                    "name": f"{service}.istio.io",
                    "clientConfig": {"service": {"name": service, "namespace": NAMESPACE, "path": "/x"}},
                    "failurePolicy": "Ignore",
                }
                for service in ("istiod", "other")
            ]
            configuration = {"kind": f"{kind}WebhookConfiguration", "metadata": {"name": "istio"}, "webhooks": webhooks}
            await self.api.create(resource, configuration)
        for definition in istio_crds():
            conditions = [{"type": "Established", "status": "True"}]
            await self.api.create(DEFINITIONS, {**definition, "status": {"conditions": conditions}})
        self.istiod_pod = self.context("istiod-1", f"{self.world.prefix}.1.1", namespace=NAMESPACE)
        await self.start_istiod()
        return self

    async def __aexit__(self, *error: object) -> None:
        for agent in self.agents:
            await agent.stop(signal.SIGKILL)
        await self.stop_istiod()
        await self._stack.aclose()

    async def _config_map(self, name: str, data: dict[str, str]) -> None:
        config_map = {"kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}
        await self.api.create("configmaps", config_map, NAMESPACE)

    async def start_istiod(self) -> None:
        """Start (another) istiod and wait until it is ready."""
        self.istiod = Istiod(self.api, self.options, self.istiod_pod)
        self._stop_istiod = asyncio.Event()
        self._istiod_task = asyncio.create_task(self.istiod.run(self._stop_istiod))
        await eventually(lambda: self.istiod.ready or self._istiod_task.done())
        if self._istiod_task.done():
            await self._istiod_task

    async def stop_istiod(self) -> None:
        self._stop_istiod.set()
        await self._istiod_task

    def context(self, name: str, ip: str, *, namespace: str = "default", account: str = "default") -> PodContext:
        """A pod's context; its volumes lie in the pod's directory."""
        directory = self.directory / name
        runtime = directory / "r"
        runtime.mkdir(parents=True)
        mounts = {}
        for path in ("/var/run/secrets/tokens", "/var/run/secrets/istio", "/etc/istio/proxy", "/etc/istio/pod"):
            mounts[path] = str(directory / path.strip("/").replace("/", "-"))
            Path(mounts[path]).mkdir()
        return PodContext(
            namespace=namespace, name=name, container="istio-proxy", uid=name, service_account=account,
            node_name="meshlab", pod_ip=ip, bind_ip=ip, app_ip=hidden_address(ip), proxy_url="", api_server="",
            names_file=str(self.directory / "names.json"), ports_file=str(self.ports.path),
            runtime_dir=str(runtime), container_dir=str(directory), mounts=mounts,
        )  # fmt: skip

    async def publish(self) -> None:
        """Bring the API up to what the world has, and the name table with it."""
        for resource, objects in self.world.objects.items():
            for obj in objects:
                metadata = obj["metadata"]
                try:
                    known = await self.api.get(resource, metadata["name"], metadata["namespace"])
                except StatusError:
                    await self.api.create(resource, copy(obj), metadata["namespace"])
                else:
                    fresh = {**copy(obj), "metadata": {**known["metadata"], **metadata}}
                    if {k: v for k, v in fresh.items() if k != "status"} != {
                        k: v for k, v in known.items() if k != "status"
                    }:
                        await self.api.update(resource, fresh)
                if obj.get("status"):
                    await self.api.set_status(resource, metadata["name"], metadata["namespace"], **copy(obj["status"]))
        record = {"ip": self.istiod_pod.pod_ip, "headless": False, "ports": [], "endpoints": [], "hosts": {}}
        self.names["services"][f"{NAMESPACE}/istiod"] = {**record, "externalName": ""}
        (self.directory / "names.json").write_bytes(orjson.dumps(self.names))

    async def apply(self, manifests: str) -> None:
        """Create or replace the objects of a YAML stream, in the default namespace unless they say otherwise."""
        for obj in yaml.safe_load_all(manifests):
            metadata = obj["metadata"]
            group = self.world.objects[PLURALS[obj["kind"]]]
            namespace = metadata.get("namespace", "default")
            for known in group:
                if (known["metadata"]["name"], known["metadata"]["namespace"]) == (metadata["name"], namespace):
                    group.remove(known)
                    break
            self.world.add(obj)
        await self.publish()

    async def serve(self, pod: Obj, port: int, text: str) -> None:
        """What a pod's application answers, where its programs listen."""

        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=text)

        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        ip = pod["status"]["podIP"]
        injected = bool(pod["spec"].get("initContainers"))
        await web.TCPSite(runner, hidden_address(ip) if injected else ip, port).start()

    async def inject(self, pod: Obj, role: str = "sidecar", *, token: str = "", wait: bool = True) -> Agent:
        """Start the proxy of a pod and wait until it is ready."""
        metadata, account = pod["metadata"], pod["spec"]["serviceAccountName"]
        name, namespace = metadata["name"], metadata["namespace"]
        context = self.context(name, pod["status"]["podIP"], namespace=namespace, account=account)
        root = (await self.api.get("configmaps", "istio-ca-root-cert", namespace))["data"]["root-cert.pem"]
        _write_volumes(context, root, token or f"token:{namespace}/{account}/{name}", metadata["labels"])
        context_file = self.directory / name / "context.json"
        context.save(context_file)
        agent = Agent(context, context_file, self.directory / name / "log", {"ISTIO_META_WORKLOAD_NAME": name})
        self.agents.append(agent)
        await agent.start(role)
        if wait:
            code, _ = await agent.run("wait", "--timeoutSeconds=10", "--periodMillis=20")
            assert code == 0, agent.log.read_text()
        return agent

    async def get(self, client: Obj | Agent, url: str, session: aiohttp.ClientSession) -> tuple[int, str]:
        """A request through a pod's sidecar."""
        ip = client.pod.pod_ip if isinstance(client, Agent) else client["status"]["podIP"]
        async with session.get(url, proxy=f"http://{ip}:15001") as response:
            return response.status, await response.text()


def _write_volumes(context: PodContext, root: str, token: str, labels: dict[str, str]) -> None:
    Path(context.mounts["/var/run/secrets/istio"], "root-cert.pem").write_text(root)
    Path(context.mounts["/var/run/secrets/tokens"], "istio-token").write_text(token)
    text = "".join(f"{key}={json.dumps(value)}\n" for key, value in labels.items())
    Path(context.mounts["/etc/istio/pod"], "labels").write_text(text)
