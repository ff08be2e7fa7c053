"""curl through its launcher, the built-in curl, and BusyBox's clients, against real servers of the lab."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from meshlab.minicluster.images.catalogue import lookup
from meshlab.minicluster.images.launch import write_programs
from meshlab.minicluster.pod import PodContext

from .conftest import Lab, listening

CURL = "curlimages/curl"
BUSYBOX = "busybox:1.37"
FreePort = Callable[[], int]


@dataclass
class Web:
    """A go-httpbin behind the Service ``web``, and a client pod."""

    lab: Lab
    server: PodContext
    client: PodContext
    port: int

    async def curl(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        return await self.lab.run(CURL, "curl", *arguments, pod=self.client, stdin=stdin)

    async def builtin_curl(self, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
        """The curl of hosts without one."""
        self.client.save(Path(self.client.container_dir) / "context.json")
        import sys

        code = "import sys; from meshlab.minicluster.images.launch import run; sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3:]))"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, "meshlab.minicluster.images.curl.command:main"),
            *(str(Path(self.client.container_dir) / "context.json"), "curl", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.client.container_dir,
            env={"PYTHONPATH": os.pathsep.join(sys.path), **(env or {})},
        )
        async with asyncio.timeout(30):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(errors="replace"), err.decode()

    async def busybox(
        self, *command: str, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        return await self.lab.run(BUSYBOX, *command, pod=self.client, stdin=stdin, env=env)


@pytest.fixture
async def web(lab: Lab, free_port: FreePort) -> AsyncIterator[Web]:
    server, port = lab.pod(), free_port()
    lab.remap(p80=port, p81=free_port())
    lab.services(web=f"{server.pod_ip}:80")
    process = await lab.start("mccutchen/go-httpbin", pod=server, env={"PORT": "80"})
    await listening(server, 80, process)
    yield Web(lab, server, lab.pod(), port)


@pytest.mark.parametrize("which", [pytest.param("curl", marks=pytest.mark.full), "builtin_curl"])
class TestCurl:
    async def test_names_ports_and_source_address(self, web: Web, which: str) -> None:
        curl = getattr(web, which)
        for host in ("web", "web.default", "web.default.svc.cluster.local"):
            code, out, err = await curl("-sS", f"http://{host}/ip")
            assert code == 0, err
            assert json.loads(out) == {"origin": web.client.pod_ip}

    async def test_globs_reuse_one_connection(self, web: Web, which: str) -> None:
        code, out, _ = await getattr(web, which)(
            "-s", "-o", "/dev/null", "-w", "%{num_connects} %{http_code}\\n", "http://web/get?n=[1-20]"
        )
        assert code == 0
        assert out.splitlines() == ["1 200", *["0 200"] * 19]

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (("-sS", "http://nosuch/"), 6, "Could not resolve host: nosuch"),
            (("-sS", "http://web:81/"), 7, "Failed to connect to"),
            (("-sSf", "http://web/status/503"), 22, "The requested URL returned error: 503"),
            (("-sS", "-m", "0.3", "http://web/delay/3"), 28, "Operation timed out after"),
            (("-sS", "ftp2://web/"), 1, "rotocol"),
            (("-s", "http://nosuch/"), 6, ""),
        ],
    )
    async def test_exit_codes(self, web: Web, which: str, arguments: tuple[str, ...], code: int, words: str) -> None:
        found, _, err = await getattr(web, which)(*arguments)
        assert found == code
        assert words in err
        assert bool(err) is bool(words)

    async def test_what_it_sends(self, web: Web, which: str) -> None:
        curl = getattr(web, which)
        _, out, _ = await curl("-s", "-H", "X-Group: beta", "-A", "me", "-u", "u:p", "-b", "k=v", "http://web/headers")
        headers = json.loads(out)["headers"]
        assert headers["X-Group"] == ["beta"]
        assert headers["User-Agent"] == ["me"]
        assert headers["Authorization"] == ["Basic dTpw"]
        assert headers["Cookie"] == ["k=v"]
        assert headers["Host"] == ["web"]
        _, out, _ = await curl("-s", "-d", "a=1", "--data-urlencode", "b=x y", "http://web/post")
        assert json.loads(out)["form"] == {"a": ["1"], "b": ["x y"]}
        _, out, _ = await curl("-s", "--json", '{"a":1}', "http://web/anything")
        assert json.loads(out)["json"] == {"a": 1}
        _, out, _ = await curl("-s", "-X", "DELETE", "http://web/delete")
        assert json.loads(out)["method"] == "DELETE"
        _, out, _ = await curl("-sG", "-d", "q=1", "http://web/get")
        assert json.loads(out)["args"] == {"q": ["1"]}

    async def test_what_it_shows(self, web: Web, which: str) -> None:
        curl = getattr(web, which)
        _, out, _ = await curl("-sI", "http://web/get")
        assert out.startswith("HTTP/1.1 200 OK\r\n")
        assert out.endswith("\r\n\r\n")
        _, out, err = await curl("-sv", "-o", "/dev/null", "http://web/get")
        assert "> GET /get HTTP/1.1" in err
        assert "< HTTP/1.1 200 OK" in err
        _, out, _ = await curl(
            *(
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{remote_ip} %{url_effective} %{size_download} %header{date}",
            ),
            "http://web/bytes/7",
        )
        assert out.startswith(f"200 {web.server.pod_ip} http://web/bytes/7 7 ")
        _, out, _ = await curl("-sL", "-o", "/dev/null", "-w", "%{http_code} %{url_effective}", "http://web/redirect/2")
        assert out == "200 http://web/get"

    async def test_localhost_is_the_pod_itself(self, web: Web, which: str) -> None:
        inside = replace(web.client, app_ip=web.server.pod_ip)
        web.client = inside
        code, out, err = await getattr(web, which)("-sS", "http://localhost/get")
        assert code == 0, err
        assert json.loads(out)["headers"]["Host"] == ["localhost"]

    async def test_empty_replies_and_resets(self, web: Web, which: str) -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        listener = await asyncio.start_server(hang_up, web.server.pod_ip, 0)
        port = listener.sockets[0].getsockname()[1]
        code, _, err = await getattr(web, which)("-sS", f"http://{web.server.pod_ip}:{port}/")
        listener.close()
        assert (code, "Empty reply from server" in err) == (52, True)

    async def test_retries(self, web: Web, which: str) -> None:
        started = time.monotonic()
        code, out, err = await getattr(web, which)(
            "-S", "--retry", "1", "--retry-delay", "1", "-w", "%{http_code}", "-o", "/dev/null", "http://web/status/503"
        )
        assert (code, out) == (0, "503")
        assert "Will retry in 1 second" in err
        assert time.monotonic() - started >= 1


async def test_the_launcher_sees_new_services_at_once(web: Web) -> None:
    assert (await web.curl("-s", "http://later/ip"))[0] == 6
    web.lab.services(web=f"{web.server.pod_ip}:80", later=f"{web.server.pod_ip}:80")
    assert (await web.curl("-s", "http://later/ip"))[0] == 0
    web.lab.services(web=f"{web.server.pod_ip}:80")
    assert (await web.curl("-s", "http://later/ip"))[0] == 6


async def test_the_launcher_makes_its_configuration_only_when_something_changed(web: Web) -> None:
    await web.curl("-s", "http://web/ip")
    config = Path(web.client.container_dir) / "curl.conf"
    stamp = config.stat().st_mtime_ns
    config.write_text(f"{config.read_text()}# still the same\n")
    os.utime(config, ns=(stamp, stamp))
    assert (await web.curl("-s", "http://web/ip"))[0] == 0
    assert config.read_text().endswith("# still the same\n")


async def test_next_keeps_the_pods_network(web: Web) -> None:
    code, out, _ = await web.curl("-s", "http://web/ip", "--next", "-s", "http://web/ip")
    assert code == 0
    assert out.count(web.client.pod_ip) == 2


async def test_a_pod_behind_a_sidecar_uses_the_proxy(web: Web) -> None:
    """Names are the proxy's business then, so an unknown one gets the proxy's answer and not exit code 6."""
    seen = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(proxy, web.client.pod_ip, 0)
    proxy_url = f"http://{web.client.pod_ip}:{listener.sockets[0].getsockname()[1]}"
    pod = replace(web.client, proxy_url=proxy_url, app_ip=web.server.pod_ip)
    env = {"http_proxy": proxy_url, "HTTP_PROXY": proxy_url, "no_proxy": "localhost,127.0.0.1"}
    for name in ("web", "nosuch"):
        code, out, _ = await web.lab.run(CURL, "curl", "-sw", "%{http_code}", f"http://{name}/x", pod=pod, env=env)
        assert (code, out) == (0, "no503")
    code, _, err = await web.lab.run(BUSYBOX, "wget", "-qO-", "http://nosuch/y", pod=pod, env=env)
    assert (code, err) == (1, "wget: server returned error: HTTP/1.1 503 Service Unavailable\n")
    code, out, err = await web.lab.run(CURL, "curl", "-sS", "http://localhost/status/200", pod=pod, env=env)
    assert code == 0, err
    listener.close()
    assert seen == [b"GET http://web/x HTTP/1.1", b"GET http://nosuch/x HTTP/1.1", b"GET http://nosuch/y HTTP/1.1"]


async def test_the_entrypoint_takes_programs_and_arguments(web: Web) -> None:
    pod = web.client
    for arguments in (("curl", "-s", "http://web/hostname"), ("-s", "http://web/hostname")):
        process = await web.lab.start(CURL, *arguments, pod=pod)
        out, err = await process.communicate()
        assert b"go-httpbin" in out, err
    process = await web.lab.start(CURL, "sleep", "0", pod=pod)
    assert await process.wait() == 0


class TestBusybox:
    async def test_wget_prints_or_saves(self, web: Web) -> None:
        code, out, err = await web.busybox("wget", "-qO-", "http://web/ip")
        assert (code, json.loads(out), err) == (0, {"origin": web.client.pod_ip}, "")
        code, _, err = await web.busybox("wget", "http://web/json")
        assert code == 0
        assert err.startswith(f"Connecting to web ({web.server.pod_ip}:80)\n")
        assert "slideshow" in (Path(web.client.container_dir) / "json").read_text()
        code, out, _ = await web.busybox(
            "wget", "-q", "-O", "-", "--header", "x-a: b", "--post-data", "k=v", "web/post"
        )
        assert json.loads(out)["form"] == {"k": ["v"]}

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("-qO-", "http://web/status/503"), "wget: server returned error: HTTP/1.1 503 Service Unavailable\n"),
            (("-qO-", "http://nosuch:8080/"), "wget: bad address 'nosuch:8080'\n"),
            (("-qO-", "http://nosuch/"), "wget: bad address 'nosuch'\n"),
            (("-q", "-T", "0.3", "-O-", "http://web/delay/3"), "wget: download timed out\n"),
        ],
    )
    async def test_wget_fails_in_busyboxs_words(self, web: Web, arguments: tuple[str, ...], words: str) -> None:
        assert await web.busybox("wget", *arguments) == (1, "", words)

    async def test_wget_of_a_closed_port(self, web: Web) -> None:
        code, _, err = await web.busybox("wget", "-qO-", "http://web:81/")
        assert (code, err) == (1, f"wget: can't connect to remote host ({web.server.pod_ip}): Connection refused\n")

    async def test_nc_scans_and_talks(self, web: Web) -> None:
        assert (await web.busybox("nc", "-z", "web", "80"))[0] == 0
        assert (await web.busybox("nc", "-z", "-w", "1", "web", "81"))[0] == 1
        code, _, err = await web.busybox("nc", "-zv", "web", "80")
        assert (code, err) == (0, f"web ({web.server.pod_ip}:80) open\n")
        code, _, err = await web.busybox("nc", "-zv", "web", "81")
        assert (code, err) == (1, f"nc: web ({web.server.pod_ip}:81): Connection refused\n")
        request = b"GET /hostname HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
        code, out, _ = await web.busybox("nc", "web", "80", stdin=request)
        assert code == 0
        assert '"hostname": "go-httpbin"' in out

    async def test_nc_listens(self, web: Web, free_port: FreePort) -> None:
        port = free_port()
        listener = await web.lab.start(
            BUSYBOX, pod=web.server, command=["nc", "-lv", "-p", str(port)], stdin=asyncio.subprocess.PIPE
        )
        assert listener.stderr is not None
        assert await listener.stderr.readline() == f"listening on 0.0.0.0:{port} ...\n".encode()
        code, _, _ = await web.busybox("nc", web.server.pod_ip, str(port), stdin=b"over here\n")
        assert listener.stdout is not None
        assert (code, await listener.stdout.read()) == (0, b"over here\n")
        err = await listener.stderr.read()
        assert f"from {web.client.pod_ip}:".encode() in err

    async def test_nslookup(self, web: Web) -> None:
        code, out, _ = await web.busybox("nslookup", "web")
        assert code == 0
        assert f"Name:\tweb.default.svc.cluster.local\nAddress: {web.server.pod_ip}\n" in out
        code, out, _ = await web.busybox("nslookup", "nosuch")
        assert code == 1
        assert "** server can't find nosuch" in out

    async def test_a_shell_with_the_images_programs_only(self, web: Web) -> None:
        script = "hostname; echo a b | awk '{print $2}'; wget -qO- http://web/hostname | grep -c go-httpbin; command -v python3 || echo none"
        code, out, _ = await web.busybox("sh", "-c", script)
        assert code == 0
        assert out.split() == [web.client.name, "b", "1", "none"]

    async def test_ping_says_why_not(self, web: Web) -> None:
        code, out, err = await web.busybox("ping", "web")
        assert code == 1
        assert out.startswith(f"PING web ({web.server.pod_ip})")
        assert "permission denied" in err

    async def test_httpd_serves_a_directory(self, web: Web, tmp_path: Path, free_port: FreePort) -> None:
        (tmp_path / "www").mkdir()
        (tmp_path / "www" / "index.html").write_text("served")
        port, pod = free_port(), web.lab.pod()
        process = await web.lab.start(
            BUSYBOX, pod=pod, command=["httpd", "-f", "-p", str(port), "-h", str(tmp_path / "www")]
        )
        await listening(pod, port, process)
        assert (await web.busybox("wget", "-qO-", f"http://{pod.pod_ip}:{port}/"))[1] == "served"
        code, _, err = await web.busybox("wget", "-qO-", f"http://{pod.pod_ip}:{port}/../secret")
        assert (code, "404 Not Found" in err) == (1, True)


async def test_scripts_start_fast(web: Web) -> None:
    """A built-in on PATH must not cost a shell loop more than the interpreter does."""
    image = lookup(BUSYBOX)
    assert image is not None
    bin_dir = Path(web.client.container_dir) / "bin"
    web.client.save(Path(web.client.container_dir) / "context.json")
    write_programs(image, bin_dir, Path(web.client.container_dir) / "context.json")
    best = 9.0
    for _ in range(5):
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(bin_dir / "hostname", stdout=asyncio.subprocess.PIPE)
        await process.communicate()
        best = min(best, time.perf_counter() - started)
    assert best < 0.25
