"""The host's curl and the built-in one side by side: TLS, proxies, addresses given by hand, and servers that break off."""

from __future__ import annotations

import asyncio
import datetime
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshlab.minicluster.pod import PodContext

from .conftest import Lab, listening

FreePort = Callable[[], int]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]
_RUN = "import sys; from meshlab.minicluster.images.launch import run; sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3:]))"


@dataclass
class Curl:
    """One of the two, in a pod."""

    lab: Lab
    which: str
    pod: PodContext

    async def __call__(self, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
        if self.which == "host":
            return await self.lab.run("curlimages/curl", "curl", *arguments, pod=self.pod, env=env)
        context = Path(self.pod.container_dir) / "context.json"
        self.pod.save(context)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _RUN, "meshlab.minicluster.images.curl.command:main"),
            *(str(context), "curl", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.pod.container_dir,
            env={"PYTHONPATH": ":".join(sys.path), **(env or {})},
        )
        async with asyncio.timeout(30):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest.fixture(params=["host", "builtin"])
def curl(request: pytest.FixtureRequest, lab: Lab) -> Curl:
    return Curl(lab, request.param, lab.pod())


@asynccontextmanager
async def answering(pod: PodContext, answer: Answer, seen: list[str] | None = None) -> AsyncIterator[str]:
    """A server that reads one request's head and does as it is told; ``ip:port``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(head.decode().partition("\r\n")[0])
        answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, pod.pod_ip, 0)
    async with server:
        yield "{}:{}".format(*server.sockets[0].getsockname())


def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close with RST, as the forwarder does when it passes an abort on."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def write(data: bytes) -> Answer:
    return lambda _, writer: writer.write(data)


UNAVAILABLE = write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Files of a self-signed certificate for ``web`` and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("web")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(files[0]), str(files[1])


async def test_tls_is_checked(curl: Curl, free_port: FreePort, certificate: tuple[str, str]) -> None:
    cert, key = certificate
    pod, port = curl.lab.pod(), free_port()
    command = ["/bin/go-httpbin", "-port", str(port), "-https-cert-file", cert, "-https-key-file", key]
    process = await curl.lab.start("mccutchen/go-httpbin", pod=pod, command=command)
    await listening(pod, port, process)
    curl.lab.services(web=f"{pod.pod_ip}:{port}", other=f"{pod.pod_ip}:{port}")
    shown = ("-sS", "-o", "/dev/null", "-w", "%{http_code} %{exitcode}")
    code, out, err = await curl(*shown, f"https://web:{port}/get")
    assert (code, out) == (60, "000 60")
    assert err.startswith("curl: (60) SSL certificate problem: self-signed certificate\n")
    assert (await curl(*shown, "-k", f"https://web:{port}/get"))[:2] == (0, "200 0")
    assert (await curl(*shown, "--cacert", cert, f"https://web:{port}/get"))[:2] == (0, "200 0")
    assert (await curl(*shown, "--cacert", cert, f"https://other:{port}/get"))[:2] == (60, "000 60")
    assert (await curl(*shown, "-k", "--cert", "/nonexistent", f"https://web:{port}/get"))[0] == 58


async def test_plain_text_where_tls_was_expected(curl: Curl) -> None:
    pod = curl.lab.pod()
    server = await asyncio.start_server(lambda _, writer: writer.write(b"no TLS here\r\n\r\n"), pod.pod_ip, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        code, _, err = await curl("-sS", f"https://{pod.pod_ip}:{port}/")
    assert (code, err.startswith("curl: (35) ")) == (35, True)


async def test_servers_that_break_off(curl: Curl) -> None:
    pod = curl.lab.pod()
    async with answering(pod, reset) as address:
        code, _, err = await curl("-sS", f"http://{address}/")
        assert (code, err) == (56, "curl: (56) Recv failure: Connection reset by peer\n")
    async with answering(pod, write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")) as address:
        code, out, _ = await curl("-sS", f"http://{address}/")
        assert (code, out) == (18, "abc")


async def test_proxies(curl: Curl) -> None:
    seen: list[str] = []
    async with answering(curl.lab.pod(), UNAVAILABLE, seen) as proxy:
        env = {"http_proxy": f"http://{proxy}", "no_proxy": "localhost,127.0.0.1"}
        assert (await curl("-sS", "-w", "%{http_code}", "http://nosuch/x?y", env=env))[:2] == (0, "503")
        code, _, err = await curl("-sS", "-x", f"http://{proxy}", "https://nosuch/")
        assert (code, err) == (56, "curl: (56) CONNECT tunnel failed, response 503\n")
    assert seen == ["GET http://nosuch/x?y HTTP/1.1", "CONNECT nosuch:443 HTTP/1.1"]
    code, _, err = await curl("-sS", "-x", "http://nosuch:1", "http://web/")
    assert (code, err) == (5, "curl: (5) Could not resolve proxy: nosuch\n")


async def test_addresses_given_by_hand(curl: Curl) -> None:
    async with answering(curl.lab.pod(), UNAVAILABLE) as address:
        ip, _, port = address.partition(":")
        shown = ("-sS", "-o", "/dev/null", "-w", "%{http_code} %{remote_ip}")
        _, out, _ = await curl(*shown, "--resolve", f"foo:{port}:{ip}", f"http://foo:{port}/")
        assert out == f"503 {ip}"
        _, out, _ = await curl(*shown, "--connect-to", f"foo:80:{address}", "http://foo/")
        assert out == f"503 {ip}"


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://web/[5-1]", "bad range"), ("http://web/{a", "unmatched brace"), ("http:///", "bad/illegal format")],
)
async def test_urls_that_make_no_sense(curl: Curl, url: str, words: str) -> None:
    code, _, err = await curl("-sS", url)
    assert (code, words in err) == (3, True)
