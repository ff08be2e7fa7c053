from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meshlab.minicluster.images.catalogue import BuiltIn, HostBinary, HostCurl, Image
from meshlab.minicluster.images.curl.config import config_text
from meshlab.minicluster.images.launch import (
    EmptyCommand,
    builtin_script,
    call,
    curl_launcher,
    find_program,
    resolve_entrypoint,
    write_programs,
)
from meshlab.minicluster.pod import PodContext

IMAGE = Image(
    names=("x",),
    entrypoint=("/entry.sh",),
    command=("serve", "-v"),
    directory="/opt/x",
    programs={
        "entry.sh": BuiltIn("a.b:c"),
        "sh": HostBinary(("sh",)),
        "gone": HostBinary(("no-such-program-anywhere",)),
        "stands-in": HostBinary(("no-such-program-anywhere",), fallback=BuiltIn("d.e:f")),
    },
)


@pytest.fixture
def pod(tmp_path: Path) -> PodContext:
    return PodContext(
        namespace="default",
        name="p",
        container="c",
        uid="u",
        service_account="default",
        node_name="meshlab",
        pod_ip="127.77.1.1",
        bind_ip="127.77.1.1",
        app_ip="127.77.1.1",
        proxy_url="",
        api_server="",
        names_file=str(tmp_path / "names.json"),
        ports_file=str(tmp_path / "ports.json"),
        runtime_dir=str(tmp_path),
        container_dir=str(tmp_path),
    )


@pytest.mark.parametrize(
    ("command", "args", "argv"),
    [
        (None, None, ["/entry.sh", "serve", "-v"]),
        (None, ["other"], ["/entry.sh", "other"]),
        (["sh"], None, ["sh"]),
        (["sh"], ["-c", "true"], ["sh", "-c", "true"]),
        ([], [], ["/entry.sh", "serve", "-v"]),
    ],
)
def test_command_and_args_replace_what_they_replace(
    command: list[str] | None, args: list[str] | None, argv: list[str]
) -> None:
    assert resolve_entrypoint(IMAGE, command, args) == argv


def test_nothing_to_run_is_an_error() -> None:
    with pytest.raises(EmptyCommand):
        resolve_entrypoint(Image(names=("x",)), None, None)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("entry.sh", BuiltIn("a.b:c")),
        ("/entry.sh", BuiltIn("a.b:c")),
        ("/bin/sh", HostBinary(("sh",))),
        ("/usr/local/bin/stands-in", BuiltIn("d.e:f")),
        ("gone", None),
        ("ls", None),
        ("/opt/x/entry.sh", BuiltIn("a.b:c")),
        ("/opt/y/entry.sh", None),
        ("/tmp/sh", None),
        ("bin/sh", None),
    ],
)
def test_words_are_found_where_the_image_has_them(word: str, found: object) -> None:
    assert find_program(IMAGE, word) == found


def test_the_bin_directory_has_links_and_scripts(pod: PodContext, tmp_path: Path) -> None:
    context = tmp_path / "context.json"
    pod.save(context)
    for _ in range(2):  # again, as after a restart
        write_programs(IMAGE, tmp_path / "bin", context)
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["entry.sh", "sh", "stands-in"]
    assert (tmp_path / "bin" / "sh").is_symlink()
    assert os.access(tmp_path / "bin" / "entry.sh", os.X_OK)
    assert "'a.b:c'" in (tmp_path / "bin" / "entry.sh").read_text().replace("'\"'\"'", "'")


def test_scripts_survive_odd_paths(pod: PodContext) -> None:
    text = builtin_script("it's", BuiltIn("a:b"), Path("/with space/and 'quote'/context.json"))
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0


def _stub_curl(tmp_path: Path, pod: PodContext) -> Path:
    """A launcher whose curl prints its arguments and whose Python writes an empty configuration."""
    stub = tmp_path / "curl"
    stub.write_text('#!/bin/sh\nfor a do echo "$a"; done\n')
    stub.chmod(0o755)
    launcher = tmp_path / "launcher"
    launcher.write_text(curl_launcher(stub, pod, tmp_path / "context.json"))
    return launcher


def test_the_curl_launcher_passes_arguments_through(pod: PodContext, tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text("{}")
    config = tmp_path / "curl.conf"
    config.write_text("")
    os.utime(config, ns=(2**62, 2**62))
    launcher = _stub_curl(tmp_path, pod)
    arguments = ["-s", "a b", "--next", "", "*", "-:", "x"]
    result = subprocess.run(["sh", str(launcher), *arguments], capture_output=True, text=True, check=True)
    options = ["-K", str(config)]
    expected = ["-q", *options, "-s", "a b", "--next", *options, "", "*", "-:", *options, "x"]
    assert result.stdout.splitlines() == expected


def test_curls_configuration_of_a_meshed_pod_leaves_names_to_the_proxy(pod: PodContext) -> None:
    lines = ["localhost::127.77.129.1:", "127.0.0.1:80:127.77.129.1:20080", "web::127.77.64.9:"]
    assert config_text(pod, lines).count("connect-to") == 3
    meshed = PodContext(
        **{**{name: getattr(pod, name) for name in pod.__slots__}, "proxy_url": "http://127.77.1.1:15001"}
    )
    text = config_text(meshed, lines)
    assert text.startswith("interface = 127.77.1.1\n")
    assert "web" not in text
    assert text.count("connect-to") == 2


def test_the_hosts_curl_is_a_host_binary_for_everybody_else() -> None:
    assert isinstance(HostCurl(("curl",)), HostBinary)


@pytest.fixture
def kept_signals() -> Iterator[None]:
    import signal

    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("kept_signals")
@pytest.mark.parametrize(("leaving", "code"), [(None, 0), (3, 3), ("words", 1)])
def test_a_program_may_leave_by_sys_exit(
    pod: PodContext, leaving: object, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    import types

    module = types.ModuleType("leaver")

    def main(argv: list[str], pod: PodContext) -> int:
        sys.exit(leaving)  # type: ignore[arg-type]

    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "leaver", module)
    assert call(BuiltIn("leaver:main"), ["x"], pod) == code


def test_curl_goes_past_the_sidecar_where_the_pod_is_told_so(pod: PodContext, tmp_path: Path) -> None:
    services = {"default/web": {"ip": "127.77.64.9", "endpoints": [], "externalName": "", "ports": [], "hosts": {}}}
    (tmp_path / "names.json").write_text(json.dumps({"services": services, "pods": {}}))
    meshed = replace(pod, proxy_url="http://127.77.1.1:15001", capture={"excludeOutboundPorts": "8000"})
    meshed.save(tmp_path / "context.json")
    launcher = _stub_curl(tmp_path, meshed)

    def options(*arguments: str) -> list[str]:
        done = subprocess.run(["sh", str(launcher), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert "--noproxy" in options("-s", "http://web:8000/x")
    assert "--noproxy" in options("-sS", "web:8000")
    assert "--noproxy" not in options("http://web:8001/x")
    assert "web::127.77.64.9:" in (tmp_path / "curl-direct.conf").read_text()
    assert 'connect-to = "web' not in (tmp_path / "curl.conf").read_text()
