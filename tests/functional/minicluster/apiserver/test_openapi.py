"""The generated OpenAPI documents, read by kubectl."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from meshlab.minicluster.apiserver.resources import Resource, builtin_resources
from meshlab.minicluster.apiserver.schema import SchemaSet
from meshlab.minicluster.kubeapi import Obj

KUBECTL = Path(sys.executable).parent / "kubectl"
GADGET = Resource(
    group="lab.example.io",
    version="v1",
    kind="Gadget",
    plural="gadgets",
    singular="gadget",
    namespaced=True,
    verbs=("create", "get", "list", "patch"),
    storage="lab.example.io/gadgets",
)
GADGET_SCHEMA = {
    "type": "object",
    "description": "A Gadget turns wheels.",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["wheels"],
            "properties": {"wheels": {"type": "integer", "description": "How many wheels it turns."}},
        }
    },
}
SERVED = (*builtin_resources(), GADGET)
SCHEMAS = SchemaSet()


def discovery(path: str) -> Obj | None:
    """The unaggregated discovery documents."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    groups: dict[str, list[str]] = {}
    for resource in SERVED:
        if resource.group and resource.api_version not in groups.setdefault(resource.group, []):
            groups[resource.group].append(resource.api_version)
    if path == "/apis":
        listed = []
        for group, served in groups.items():
            versions = [{"groupVersion": item, "version": item.rpartition("/")[2]} for item in served]
            listed.append({"name": group, "versions": versions, "preferredVersion": versions[0]})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    api_version = path.removeprefix("/apis/").removeprefix("/api/")
    rows = [item for item in SERVED if item.api_version == api_version]
    if not rows:
        return None
    resources = [
        {
            "name": item.plural,
            "singularName": item.singular,
            "namespaced": item.namespaced,
            "kind": item.kind,
            "verbs": list(item.verbs),
            "shortNames": list(item.short_names),
        }
        for item in rows
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources}


def openapi(path: str) -> Obj:
    if path == "/openapi/v3":
        return SCHEMAS.openapi_v3_index(SERVED)
    api_version = path.removeprefix("/openapi/v3/").removeprefix("apis/").removeprefix("api/")
    custom = {"Gadget": GADGET_SCHEMA} if api_version == GADGET.api_version else None
    return SCHEMAS.openapi_v3(api_version, SERVED, custom)


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Discovery and OpenAPI; every other request is noted and refused."""
    requests: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self, code: int, document: Obj) -> None:
            data = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            document = openapi(path) if path.startswith("/openapi/v3") else discovery(path)
            self.answer(200 if document else 404, document or {"kind": "Status", "code": 404, "reason": "NotFound"})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.command, self.path))
            self.answer(403, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "message": "no"})

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}", requests
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def kubectl(address: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(KUBECTL), f"--server={address}", *arguments],
        env={"HOME": str(folder), "KUBECONFIG": str(folder / "none")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.full
def test_explain_a_field_of_a_built_in_kind(server: tuple[str, list[tuple[str, str]]], tmp_path: Path) -> None:
    done = kubectl(server[0], tmp_path, "explain", "deployments.spec.template.spec.containers.ports")
    assert done.returncode == 0, done.stderr
    assert "GROUP:      apps" in done.stdout
    assert "FIELD: ports <[]ContainerPort>" in done.stdout
    assert "containerPort\t<integer> -required-" in done.stdout


@pytest.mark.full
def test_explain_recursive(server: tuple[str, list[tuple[str, str]]], tmp_path: Path) -> None:
    done = kubectl(server[0], tmp_path, "explain", "service.spec", "--recursive")
    assert done.returncode == 0, done.stderr
    assert "targetPort\t<IntOrString>" in done.stdout


def test_explain_a_custom_resource(server: tuple[str, list[tuple[str, str]]], tmp_path: Path) -> None:
    done = kubectl(server[0], tmp_path, "explain", "gadget")
    assert done.returncode == 0, done.stderr
    assert "A Gadget turns wheels." in done.stdout
    assert "metadata\t<ObjectMeta>" in done.stdout
    done = kubectl(server[0], tmp_path, "explain", "gadget.spec.wheels")
    assert "FIELD: wheels <integer>" in done.stdout
    assert "How many wheels it turns." in done.stdout


@pytest.mark.full
@pytest.mark.parametrize(
    "manifest",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dta": {}},
        {"apiVersion": "lab.example.io/v1", "kind": "Gadget", "metadata": {"name": "x"}, "spec": {"weels": 4}},
    ],
)
def test_validation_is_left_to_the_server(
    server: tuple[str, list[tuple[str, str]]], tmp_path: Path, manifest: Obj
) -> None:
    """kubectl would judge unknown fields itself if the documents did not declare ``fieldValidation``."""
    address, requests = server
    path = tmp_path / "object.json"
    path.write_text(json.dumps(manifest))
    kubectl(address, tmp_path, "create", "-f", str(path))
    ((_, url),) = requests
    assert parse_qs(urlsplit(url).query)["fieldValidation"] == ["Strict"]
