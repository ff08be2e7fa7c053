"""Each HTTP image as a process, asked by the curl image."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from .conftest import Lab, listening, stop

CURL = "curlimages/curl"
FreePort = Callable[[], int]


async def test_http_echo_answers_logs_and_stops(lab: Lab, free_port: FreePort) -> None:
    pod, client, port = lab.pod(), lab.pod(), free_port()
    process = await lab.start("hashicorp/http-echo:1.0", "-text=v1 from here", f"-listen=:{port}", pod=pod)
    await listening(pod, port, process)
    code, out, _ = await lab.run(CURL, "curl", "-si", f"http://{pod.pod_ip}:{port}/any/path", pod=client)
    assert code == 0
    head, _, body = out.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "X-App-Name: http-echo\r\nX-App-Version: 1.0.0" in head
    assert "Server:" not in head
    assert body == "v1 from here\n"
    _, out, _ = await lab.run(CURL, "curl", "-s", f"http://{pod.pod_ip}:{port}/health", pod=client)
    assert out == '{"status":"ok"}\n'
    code, out, err = await stop(process, signal.SIGTERM)
    assert code == 2
    assert '"GET /any/path HTTP/1.1" 200 13 "curl/' in out
    assert client.pod_ip in out
    assert f"[INFO] server is listening on :{port}" in err
    assert "[INFO] received interrupt, shutting down..." in err


async def test_http_echo_has_a_default_text_and_a_status(lab: Lab, free_port: FreePort) -> None:
    pod, port = lab.pod(), free_port()
    process = await lab.start("hashicorp/http-echo", "-status-code", "418", f"-listen=:{port}", pod=pod)
    await listening(pod, port, process)
    _, out, _ = await lab.run(CURL, "curl", "-sw", "%{http_code}", f"{pod.pod_ip}:{port}", pod=lab.pod())
    assert out == "hello-world\n418"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["-nope"], 2, "flag provided but not defined: -nope\nUsage of"),
        (["-version"], 0, "http-echo v1.0.0"),
        (["-text=x", "extra"], 127, "Too many arguments!"),
    ],
)
async def test_http_echo_refuses_bad_arguments(lab: Lab, args: list[str], code: int, words: str) -> None:
    found, _, err = await lab.run("hashicorp/http-echo", "/http-echo", *args, pod=lab.pod())
    assert found == code
    assert words in err


async def test_a_taken_port_is_said_and_exits(lab: Lab, free_port: FreePort) -> None:
    pod, port = lab.pod(), free_port()
    first = await lab.start("hashicorp/http-echo", f"-listen=:{port}", pod=pod)
    await listening(pod, port, first)
    code, _, err = await lab.run("hashicorp/http-echo", "/http-echo", f"-listen=:{port}", "-text=x", pod=pod)
    assert code == 1
    assert f"[ERR] server exited with: listen tcp :{port}: bind: address already in use" in err


async def test_low_ports_stay_nominal_in_what_people_see(lab: Lab, free_port: FreePort) -> None:
    """A pod asks for port 80; behind it is another one, which nobody needs to know."""
    pod, client = lab.pod(), lab.pod()
    lab.remap(p80=free_port())
    lab.services(web=f"{pod.pod_ip}:80")
    process = await lab.start("nginx:1.29", pod=pod)
    await listening(pod, 80, process)
    for target in ("web", "web.default.svc.cluster.local:80", pod.pod_ip):
        code, out, err = await lab.run(CURL, "curl", "-sS", f"http://{target}/", pod=client)
        assert code == 0, err
        assert "<title>Welcome to nginx!</title>" in out


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_helloworld_tells_version_and_pod(lab: Lab, version: str) -> None:
    pod = lab.pod(name=f"helloworld-{version}-5d7f-x2k")
    process = await lab.start(f"docker.io/istio/examples-helloworld-{version}:1.0", pod=pod)
    await listening(pod, 5000, process)
    _, out, _ = await lab.run(CURL, "curl", "-s", f"http://{pod.pod_ip}:5000/hello", pod=lab.pod())
    assert out == f"Hello version: {version}, instance: {pod.name}\n"
    _, out, _ = await lab.run(CURL, "curl", "-si", f"http://{pod.pod_ip}:5000/nope", pod=lab.pod())
    assert out.startswith("HTTP/1.1 404")
    code, _, err = await stop(process)
    assert code == 0
    assert '"GET /hello HTTP/1.1" 200 -' in err


@pytest.mark.full
async def test_a_request_in_flight_survives_the_stop(lab: Lab, free_port: FreePort) -> None:
    pod, port = lab.pod(), free_port()
    process = await lab.start("mccutchen/go-httpbin", pod=pod, env={"PORT": str(port)})
    await listening(pod, port, process)
    slow = asyncio.create_task(
        lab.run(CURL, "curl", "-sw", "%{http_code}", "-o", "/dev/null", f"{pod.pod_ip}:{port}/delay/1", pod=lab.pod())
    )
    assert process.stderr is not None
    assert b"listening on http://0.0.0.0:" in await process.stderr.readline()
    fast = await lab.run(CURL, "curl", "-s", f"{pod.pod_ip}:{port}/get", pod=lab.pod())
    assert fast[0] == 0
    async with asyncio.timeout(10):  # the slow one has been accepted: its connection is there
        while not await _established(pod.pod_ip, port):
            await asyncio.sleep(0.02)
    code, _, err = await stop(process)
    assert code == 0
    assert "shutting down ..." in err
    assert (await slow)[1] == "200"


async def test_a_client_that_has_finished_sending_is_answered(lab: Lab, free_port: FreePort) -> None:
    """``printf ... | nc`` ends its half at once; servers in Go answer, and aiohttp alone would not."""
    pod, port = lab.pod(), free_port()
    process = await lab.start("mccutchen/go-httpbin", pod=pod, env={"PORT": str(port)})
    await listening(pod, port, process)
    for path in ("/delay/0.2", "/bytes/1000000"):
        reader, writer = await asyncio.open_connection(pod.pod_ip, port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read()  # to the end: the server closes although nobody asked it to
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert f"Content-Length: {len(answer.partition(bytes((13, 10, 13, 10)))[2])}".encode() in answer
        writer.close()


async def test_connections_of_clients_that_left_are_given_back(lab: Lab, free_port: FreePort) -> None:
    pod, port = lab.pod(), free_port()
    process = await lab.start("mccutchen/go-httpbin", pod=pod, env={"PORT": str(port)})
    await listening(pod, port, process)

    def open_files() -> int:
        return len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208

    before = open_files()
    for request in (b"", b"GET /get HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /get HT"):
        for _ in range(10):
            reader, writer = await asyncio.open_connection(pod.pod_ip, port)
            writer.write(request)
            if request.endswith(b"\r\n\r\n"):
                await reader.readuntil(b"\r\n\r\n")
            writer.close()
    async with asyncio.timeout(10):
        while open_files() > before:
            await asyncio.sleep(0.05)


async def _established(ip: str, port: int) -> bool:
    """Whether the kernel has an established connection to a server."""
    wanted = "".join(f"{int(part):02X}" for part in reversed(ip.split("."))) + f":{port:04X}"
    table = await asyncio.to_thread(Path("/proc/net/tcp").read_text)
    return any(line.split()[1] == wanted and line.split()[3] == "01" for line in table.splitlines()[1:])


class TestHttpbin:
    @pytest.fixture
    async def url(self, lab: Lab, free_port: FreePort) -> str:
        pod, port = lab.pod(), free_port()
        process = await lab.start("docker.io/mccutchen/go-httpbin:v2.15.0", pod=pod, env={"PORT": str(port)})
        await listening(pod, port, process)
        return f"http://{pod.pod_ip}:{port}"

    async def test_it_tells_requests_back(self, lab: Lab, url: str) -> None:
        client = lab.pod()
        _, out, _ = await lab.run(
            CURL, "curl", "-s", "-H", "x-test: a", "-H", "x-test: b", f"{url}/get?q=1&q=2", pod=client
        )
        document = json.loads(out)
        assert document["args"] == {"q": ["1", "2"]}
        assert document["headers"]["X-Test"] == ["a", "b"]
        assert document["origin"] == client.pod_ip
        assert document["url"] == f"{url}/get?q=1&q=2"
        assert list(document) == ["args", "headers", "method", "origin", "url"]

    async def test_it_reads_bodies(self, lab: Lab, url: str) -> None:
        _, out, _ = await lab.run(CURL, "curl", "-s", "-d", "a=1&b=2", f"{url}/post", pod=lab.pod())
        assert json.loads(out)["form"] == {"a": ["1"], "b": ["2"]}
        arguments = ("-s", "-H", "content-type: application/json", "-d", '{"x": [1]}', f"{url}/anything/else")
        _, out, _ = await lab.run(CURL, "curl", *arguments, pod=lab.pod())
        document = json.loads(out)
        assert (document["json"], document["data"], document["method"]) == ({"x": [1]}, '{"x": [1]}', "POST")
        _, out, _ = await lab.run(
            CURL, "curl", "-s", "-F", "f=@-;filename=n", f"{url}/post", pod=lab.pod(), stdin=b"in"
        )
        assert json.loads(out)["files"] == {"f": ["in"]}

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/status/503", 503),
            ("/status/200:1,200:5", 200),
            ("/status/600", 400),
            ("/status/abc", 400),
            ("/redirect/2", 302),
            ("/basic-auth/u/p", 401),
            ("/hidden-basic-auth/u/p", 404),
            ("/bearer", 401),
            ("/nope", 404),
            ("/post", 405),
            ("/delay/11", 400),
            ("/bytes/-1", 400),
            ("/cache/60", 200),
            ("/etag/x", 200),
            ("/image/png", 200),
            ("/image/gif", 404),
            ("/unstable?failure_rate=1", 500),
            ("/websocket/echo", 400),
            ("/uuid", 200),
            ("/deny", 200),
            ("/xml", 200),
            ("/encoding/utf8", 200),
        ],
    )
    async def test_statuses(self, lab: Lab, url: str, path: str, status: int) -> None:
        arguments = ("-s", "-o", "/dev/null", "-w", "%{http_code}", f"{url}{path}")
        _, out, _ = await lab.run(CURL, "curl", *arguments, pod=lab.pod())
        assert out == str(status)

    async def test_websockets_echo(self, url: str) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/websocket/echo") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            await socket.send_bytes(b"\0\1")
            assert await socket.receive_bytes() == b"\0\1"

    async def test_redirects_are_followed_and_cookies_kept(self, lab: Lab, url: str) -> None:
        _, out, _ = await lab.run(CURL, "curl", "-sL", f"{url}/absolute-redirect/3", pod=lab.pod())
        assert json.loads(out)["url"] == f"{url}/get"
        arguments = ("-sL", "-c", "jar", "-b", "jar", f"{url}/cookies/set?k=v")
        _, out, _ = await lab.run(CURL, "curl", *arguments, pod=lab.pod())
        assert json.loads(out) == {"k": "v"}

    async def test_streams_and_ranges(self, lab: Lab, url: str) -> None:
        _, out, _ = await lab.run(CURL, "curl", "-s", f"{url}/stream/3", pod=lab.pod())
        assert [json.loads(line)["id"] for line in out.splitlines()] == [0, 1, 2]
        _, out, _ = await lab.run(CURL, "curl", "-s", "-r", "2-4", f"{url}/range/26", pod=lab.pod())
        assert out == "cde"
        _, out, _ = await lab.run(CURL, "curl", "-s", "--compressed", f"{url}/gzip", pod=lab.pod())
        assert json.loads(out)["gzipped"] is True
        arguments = ("-s", "-w", "%{time_total}", f"{url}/drip?duration=0.2&delay=0.1&numbytes=4")
        _, out, _ = await lab.run(CURL, "curl", *arguments, pod=lab.pod())
        assert out.startswith("****")
        assert float(out[4:]) >= 0.29


class TestNginx:
    async def test_pages_headers_and_log(self, lab: Lab, free_port: FreePort) -> None:
        lab.remap(p80=free_port())
        pod, client = lab.pod(), lab.pod()
        lab.services(web=f"{pod.pod_ip}:80")
        process = await lab.start("nginx", pod=pod)
        await listening(pod, 80, process)
        url = "http://web"
        _, out, _ = await lab.run(CURL, "curl", "-si", f"{url}/", pod=client)
        assert "Server: nginx/1.29." in out
        assert "Content-Type: text/html\r\n" in out
        _, out, _ = await lab.run(CURL, "curl", "-si", f"{url}/missing", pod=client)
        assert out.startswith("HTTP/1.1 404 Not Found")
        assert "<center><h1>404 Not Found</h1></center>" in out
        code, out, err = await stop(process)
        assert code == 0
        assert f"{client.pod_ip} - - [" in out
        assert '"GET /missing HTTP/1.1" 404 ' in out
        assert "/docker-entrypoint.sh" in out or "docker-entrypoint.sh: Configuration complete" in out
        assert "start worker processes" in err

    async def test_configuration_and_content_from_volumes(self, lab: Lab, tmp_path: Path, free_port: FreePort) -> None:
        port = free_port()
        conf, content = tmp_path / "conf", tmp_path / "html"
        conf.mkdir()
        content.mkdir()
        (content / "index.html").write_text("own page")
        (content / "a.json").write_text("{}")
        (conf / "site.conf").write_text(
            f"""
            server {{
                listen {port};  # not 80
                location / {{ root /usr/share/nginx/html; }}
                location = /ping {{ default_type text/plain; return 200 "pong from $hostname\\n"; }}
                location /old/ {{ return 301 /new/; }}
                location ~ \\.php$ {{ return 403; }}
                location /app/ {{ root /usr/share/nginx/html; try_files $uri /index.html; add_header X-App yes; }}
            }}
            """
        )
        pod = lab.pod(mounts={"/etc/nginx/conf.d": str(conf), "/usr/share/nginx/html": str(content)})
        process = await lab.start("nginx", pod=pod)
        await listening(pod, port, process)
        url, client = f"http://{pod.pod_ip}:{port}", lab.pod()

        async def get(path: str) -> str:
            return (await lab.run(CURL, "curl", "-si", f"{url}{path}", pod=client))[1]

        assert (await get("/")).endswith("own page")
        assert "Content-Type: application/json" in await get("/a.json")
        assert (await get("/ping")).endswith(f"pong from {pod.name}\n")
        assert f"Location: {url}/new/" in await get("/old/x")
        assert (await get("/x.php")).startswith("HTTP/1.1 403")
        answer = await get("/app/anything")
        assert answer.endswith("own page")
        assert "X-App: yes" in answer
        assert (await get("/../../etc/passwd%00")).startswith("HTTP/1.1 4")

    async def test_a_bad_configuration_ends_it_with_nginxs_words(self, lab: Lab, tmp_path: Path) -> None:
        (tmp_path / "bad.conf").write_text("server {\n    listen 80;\n    proxy_cache zone;\n}\n")
        pod = lab.pod(mounts={"/etc/nginx/conf.d": str(tmp_path)})
        code, _, err = await lab.run("nginx", "nginx", "-g", "daemon off;", pod=pod)
        assert code == 1
        assert 'nginx: [emerg] unknown directive "proxy_cache" in /etc/nginx/conf.d/bad.conf:3' in err
