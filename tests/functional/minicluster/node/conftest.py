"""A node in a lab of its own, against an API that is only a dictionary with watches."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from meshlab.minicluster.images.catalogue import BuiltIn, HostBinary, Image
from meshlab.minicluster.kubeapi import KubeApi, Obj, ObjectList, PatchType, StatusError, WatchEvent
from meshlab.minicluster.network.addresses import LabNetwork, PortMap
from meshlab.minicluster.node import Node
from tests.support.addresses import random_prefix

HOST_TOOLS = ("sh", "bash", "sleep", "cat", "ls", "tar", "env", "id", "touch", "test", "yes", "stty", "tty")
SELF = "meshlab_node_test_programs"


class DictionaryApi(KubeApi):
    """Enough of the API for one node: versions, conflicts, watches, deletion with grace."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Obj] = {}
        self.version = 0
        self.history: list[tuple[str, Literal["ADDED", "MODIFIED", "DELETED"], Obj]] = []
        self.status_writes = 0
        self._changed = asyncio.Event()

    async def get(self, resource: str, name: str, namespace: str | None = None) -> Obj:
        try:
            return self.objects[resource, namespace or "", name]
        except KeyError:
            raise StatusError(404, "NotFound", f'{resource} "{name}" not found') from None

    async def list(
        self, resource: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> ObjectList:
        items = [obj for (kind, ns, _), obj in self.objects.items() if kind == resource and namespace in (None, ns)]
        return ObjectList(items, str(self.version))

    async def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        position = int(resource_version)
        while True:
            while position < len(self.history):
                kind, type_, obj = self.history[position]
                position += 1
                if kind == resource:
                    yield WatchEvent(type_, obj)
            await self._changed.wait()

    async def create(
        self, resource: str, obj: Obj, namespace: str | None = None, *, subresource: str = "", dry_run: bool = False
    ) -> Obj:
        metadata = obj["metadata"]
        namespace = namespace or metadata.get("namespace") or ""
        if (resource, namespace, metadata["name"]) in self.objects:
            raise StatusError(409, "AlreadyExists", "exists")
        metadata = {"uid": str(uuid.uuid4()), "generation": 1, **metadata}
        if namespace:
            metadata["namespace"] = namespace
        return self._put(resource, {**obj, "metadata": metadata}, "ADDED")

    async def update(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        metadata = obj["metadata"]
        present = await self.get(resource, metadata["name"], metadata.get("namespace"))
        if present["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise StatusError(409, "Conflict", "the object has been modified")
        self.status_writes += subresource == "status"
        part = "status" if subresource else "spec"
        return self._put(resource, {**present, **({part: obj[part]} if part in obj else {})}, "MODIFIED")

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
        present = await self.get(resource, name, namespace)
        assert isinstance(patch, dict)
        return self._put(resource, _merge(present, patch), "MODIFIED")

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
        grace_period_s: int | None = None,
        uid: str | None = None,
    ) -> Obj:
        present = await self.get(resource, name, namespace)
        if uid is not None and present["metadata"]["uid"] != uid:
            raise StatusError(409, "Conflict", "uid")
        if resource == "pods" and grace_period_s != 0:
            seconds = present["spec"].get("terminationGracePeriodSeconds", 30)
            seconds = grace_period_s if grace_period_s is not None else seconds
            marks = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": seconds}
            return self._put(resource, {**present, "metadata": {**present["metadata"], **marks}}, "MODIFIED")
        del self.objects[resource, namespace or "", name]
        self._tell(resource, "DELETED", present)
        return present

    def _put(self, resource: str, obj: Obj, type_: Literal["ADDED", "MODIFIED"]) -> Obj:
        metadata = {**obj["metadata"], "resourceVersion": str(len(self.history) + 1)}
        obj = {**obj, "metadata": metadata}
        self.objects[resource, metadata.get("namespace") or "", metadata["name"]] = obj
        self._tell(resource, type_, obj)
        return obj

    def _tell(self, resource: str, type_: Literal["ADDED", "MODIFIED", "DELETED"], obj: Obj) -> None:
        self.history.append((resource, type_, obj))
        self.version = len(self.history)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Recorder:
    """Remembers events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def event(self, obj: Obj, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.events.append((obj["metadata"]["name"], reason, message))

    def of(self, pod: str, reason: str) -> list[str]:
        return [message for name, what, message in self.events if name == pod and what == reason]


class Images:
    """A catalogue of test images."""

    def __init__(self) -> None:
        tools = {name: HostBinary((name,)) for name in HOST_TOOLS}
        programs = {
            "web": BuiltIn(f"{SELF}:web"),
            "crash": BuiltIn(f"{SELF}:crash"),
            "orphan": BuiltIn(f"{SELF}:orphan"),
            "where": BuiltIn(f"{SELF}:where"),
        }
        self.images = {
            "box": Image(("box",), command=("sleep", "1000"), programs={**tools, **programs}),
            "web": Image(("web",), entrypoint=("web",), programs={"web": programs["web"], "sh": tools["sh"]}),
            "proxy": Image(("proxy",), entrypoint=("web", "15021"), programs={**tools, **programs}, sidecar=True),
        }

    def lookup(self, image_ref: str) -> Image | None:
        return self.images.get(image_ref)

    def known_images(self) -> list[str]:
        return sorted(self.images)


class Lab:
    """One node and what surrounds it."""

    def __init__(self, directory: Path, network: LabNetwork) -> None:
        self.directory = directory
        self.api = DictionaryApi()
        self.recorder = Recorder()
        self.network = network
        (directory / "tables").mkdir()
        self.names_file = directory / "tables" / "names.json"
        self.names_file.write_text("{}")
        self.ports = PortMap(directory / "tables" / "ports.json", network.node_address)
        self.ports.path.write_text("{}")
        self.tokens = 0
        self.node = self.new_node()

    def new_node(self, **options: Any) -> Node:
        return Node(
            self.api,
            network=self.network,
            ports=self.ports,
            state_dir=self.directory / "state",
            runtime_dir=self.directory / "run",
            api_server=f"https://{self.network.node_address}:6443",
            names_file=self.names_file,
            issue_token=self._issue_token,
            recorder=self.recorder,
            catalogue=Images(),
            preload=(SELF,),
            **options,
        )

    async def _issue_token(self, pod: Obj, audience: str, seconds: int) -> str:
        self.tokens += 1
        return f"token-{audience or 'api'}-{self.tokens}"

    async def run(self, name: str, *containers: Obj, namespace: str = "default", **spec: Any) -> Obj:
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": "meshlab", "terminationGracePeriodSeconds": 5, "containers": list(containers), **spec},
        }
        return await self.api.create("pods", manifest, namespace)

    async def until(self, condition: Callable[[], Any], what: str = "", timeout_s: float = 10.0) -> Any:
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < deadline, f"{what or 'condition'}: {self.recorder.events[-5:]}"
            await asyncio.sleep(0.01)
        return value

    def pod(self, name: str, namespace: str = "default") -> Obj:
        return self.api.objects.get(("pods", namespace, name)) or {}

    def status(self, name: str, container: str = "") -> Obj:
        status: Obj = self.pod(name).get("status") or {}
        if not container:
            return status
        fields = ("containerStatuses", "initContainerStatuses")
        return next((one for f in fields for one in status.get(f) or [] if one["name"] == container), {})

    def is_ready(self, name: str) -> bool:
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.status(name).get("conditions") or [])

    async def ready(self, name: str) -> None:
        await self.until(lambda: self.is_ready(name), f"{name} ready: {self.status(name)}")

    async def command(
        self, pod: str, *command: str, container: str = "", stdin: bytes | None = None
    ) -> tuple[int, str]:
        session = await self.node.exec("default", pod, container, list(command), tty=False, stdin=stdin is not None)
        if stdin is not None:
            await session.write(stdin)
            await session.close_stdin()
        output = b""
        while (item := await session.read()) is not None:
            output += item[1]
        return await session.wait(), output.decode()

    async def logs(self, pod: str, container: str = "", **options: Any) -> str:
        wanted: dict[str, Any] = {
            "follow": False,
            "previous": False,
            "since_s": None,
            "since_time": None,
            "tail_lines": None,
            "timestamps": False,
            "limit_bytes": None,
        }
        wanted |= options
        return b"".join([part async for part in self.node.logs("default", pod, container, **wanted)]).decode()


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return patch
    merged = {key: value for key, value in target.items() if patch.get(key, "") is not None}
    return merged | {key: _merge(target.get(key), value) for key, value in patch.items() if value is not None}


@pytest.fixture
def lab_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ml", dir="/tmp") as directory:
        yield Path(directory)


@asynccontextmanager
async def running_lab(directory: Path, **options: Any) -> AsyncIterator[Lab]:
    lab = Lab(directory, LabNetwork(random_prefix()))
    lab.node = lab.new_node(**options)
    await lab.node.start()
    try:
        yield lab
    finally:
        await lab.node.stop()


@pytest.fixture(params=["private root", pytest.param("no private root", marks=pytest.mark.full)])
async def lab(
    request: pytest.FixtureRequest, lab_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Lab]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "programs"))
    async with running_lab(lab_directory, private_root=request.param == "private root") as lab:
        if request.param == "private root" and not lab.node.private_root:
            pytest.skip(f"no private root here: {lab.node.processes.reason}")
        yield lab
