"""The images of upstream's samples: Bookinfo, tcp-echo and Fortio, without a mesh."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable

import pytest

from meshlab.minicluster.pod import PodContext

from .conftest import Lab, listening, stop

FreePort = Callable[[], int]
CURL = "curlimages/curl"
BOOKINFO = "docker.io/istio/examples-bookinfo"


async def bookinfo(lab: Lab, reviews: str) -> PodContext:
    """All of Bookinfo with one version of reviews; productpage's pod."""
    pods = {name: lab.pod(name=f"{name}-v1") for name in ("productpage", "details", "ratings", "reviews")}
    lab.services(**{name: f"{pod.pod_ip}:9080" for name, pod in pods.items()})
    for name, pod in pods.items():
        image = f"{BOOKINFO}-{name}-{reviews if name == 'reviews' else 'v1'}"
        await listening(pod, 9080, await lab.start(image, pod=pod))
    return pods["productpage"]


async def page(lab: Lab, pod: PodContext, *arguments: str) -> str:
    code, out, err = await lab.run(
        CURL, "curl", "-s", *arguments, f"http://{pod.pod_ip}:9080/productpage", pod=lab.pod()
    )
    assert code == 0, err
    return out


@pytest.mark.full
async def test_the_page_shows_what_the_services_say(lab: Lab) -> None:
    pod = await bookinfo(lab, "v3")
    text = await page(lab, pod)
    assert "<title>Simple Bookstore App</title>" in text
    assert "<dt>ISBN-10:</dt>1234567890" in text
    assert text.count('<font color="red">') == 2
    assert text.count('"glyphicon glyphicon-star"') == 9
    assert text.count('"glyphicon glyphicon-star-empty"') == 1
    assert "<u>reviews-v1</u>" in text
    _, out, _ = await lab.run(CURL, "curl", "-s", f"http://{pod.pod_ip}:9080/api/v1/products/0/reviews", pod=lab.pod())
    reviews = json.loads(out)
    assert [r["rating"] for r in reviews["reviews"]] == [{"stars": 5, "color": "red"}, {"stars": 4, "color": "red"}]


@pytest.mark.full
async def test_reviews_of_version_1_have_no_stars(lab: Lab) -> None:
    assert "glyphicon glyphicon-star" not in await page(lab, await bookinfo(lab, "v1"))


async def test_ratings_take_posts_and_say_what_is_wrong(lab: Lab) -> None:
    pod = lab.pod()
    await listening(pod, 9080, await lab.start(f"{BOOKINFO}-ratings-v1", pod=pod))
    url = f"http://{pod.pod_ip}:9080/ratings"
    _, out, _ = await lab.run(CURL, "curl", "-s", f"{url}/7", "-d", '{"Reviewer1":1}', pod=lab.pod())
    assert out == '{"id":7,"ratings":{"Reviewer1":1}}'
    _, out, _ = await lab.run(CURL, "curl", "-sw", "%{http_code}", f"{url}/x", pod=lab.pod())
    assert out == '{"error":"please provide numeric product ID"}400'


async def test_tcp_echo_repeats_lines_behind_its_prefix(lab: Lab, free_port: FreePort) -> None:
    pod, port = lab.pod(), free_port()
    process = await lab.start("docker.io/istio/tcp-echo-server:1.3", str(port), "hello", pod=pod)
    await listening(pod, port, process)
    reader, writer = await asyncio.open_connection(pod.pod_ip, port)
    writer.write(b"world\nand all\n")
    writer.write_eof()
    assert await reader.read() == b"hello world\nhello and all\n"
    writer.close()
    _, out, _ = await stop(process)
    assert f"listening on [::]:{port}, prefix: hello" in out
    assert "request: world\nresponse: hello world" in out


@pytest.mark.full
async def test_fortio_loads_its_own_server(lab: Lab, free_port: FreePort) -> None:
    pod, port = lab.pod(), free_port()
    process = await lab.start("fortio/fortio", "server", "-http-port", str(port), pod=pod)
    await listening(pod, port, process)
    url = f"http://{pod.pod_ip}:{port}/"
    command = ("/usr/bin/fortio", "load", "-c", "3", "-qps", "0", "-n", "31", "-loglevel", "Warning")
    code, out, err = await lab.run("fortio/fortio", *command, url, pod=lab.pod())
    assert code == 0, err
    assert "Starting at max qps with 3 thread(s)" in out
    assert "for exactly 31 calls (10 per thread + 1)" in out
    assert "Sockets used: 3 (for perfect keepalive, would be 3)" in out
    assert "Code 200 : 31 (100.0 %)" in out
    assert re.search(r"All done 31 calls \(plus 0 warmup\) [\d.]+ ms avg, [\d.]+ qps", out)
    _, out, err = await lab.run("fortio/fortio", *command, f"{url}?status=503", pod=lab.pod())
    assert "Code 503 : 31 (100.0 %)" in out
    assert '"msg":"Non ok http code","code":503,"status":"HTTP/1.1 503"' in err
    assert "Sockets used: 31 " in out, "a bad answer costs the connection"


async def test_fortio_says_how_it_is_used(lab: Lab) -> None:
    code, _, err = await lab.run("fortio/fortio", "/usr/bin/fortio", "fly", pod=lab.pod())
    assert code == 1
    assert "Unknown command 'fly'" in err
    code, _, err = await lab.run("fortio/fortio", "/usr/bin/fortio", "load", "-c", "x", "http://a", pod=lab.pod())
    assert code == 1
    assert 'invalid value "x" for flag -c' in err


async def test_the_older_httpbin_tells_texts_and_hides_what_proxies_add(lab: Lab) -> None:
    pod, client = lab.pod(), lab.pod()
    arguments = ("gunicorn", "-b", "0.0.0.0:8080", "httpbin:app", "-k", "gevent")
    await listening(pod, 8080, await lab.start("docker.io/kong/httpbin", *arguments, pod=pod))
    url = f"http://{pod.pod_ip}:8080"
    headers = ("-H", "X-One: 1", "-H", "X-Forwarded-For: 56.5.6.7")
    _, out, _ = await lab.run(CURL, "curl", "-s", *headers, f"{url}/get?a=b&show_env=", pod=client)
    told = json.loads(out)
    assert (told["args"]["a"], told["headers"]["X-One"], told["origin"]) == ("b", "1", "56.5.6.7")
    assert "X-Forwarded-For" not in told["headers"]
    _, out, _ = await lab.run(CURL, "curl", "-s", *headers, f"{url}/get?show_env=true", pod=client)
    assert json.loads(out)["headers"]["X-Forwarded-For"] == "56.5.6.7"
    _, out, _ = await lab.run(CURL, "curl", "-si", f"{url}/status/418", pod=client)
    assert "-=[ teapot ]=-" in out and "Server: gunicorn/" in out


async def test_health_has_a_port_for_traffic_and_one_for_probes(lab: Lab) -> None:
    pod, client = lab.pod(), lab.pod()
    await listening(pod, 8002, await lab.start("docker.io/istio/health:example", pod=pod))
    for port in (8001, 8002):
        _, out, _ = await lab.run(CURL, "curl", "-s", f"http://{pod.pod_ip}:{port}/foo", pod=client)
        assert out == f"Listening on {port}: foo "


async def test_jwt_server_gives_its_key_set_whatever_is_asked(lab: Lab) -> None:
    pod = lab.pod()
    await listening(pod, 8000, await lab.start("registry.istio.io/testing/jwt-server:0.8", pod=pod))
    _, out, _ = await lab.run(CURL, "curl", "-s", f"http://{pod.pod_ip}:8000/jwtkeys", pod=lab.pod())
    assert [key["kty"] for key in json.loads(out)["keys"]] == ["RSA"]


async def test_tornado_tells_its_readers(lab: Lab) -> None:
    pod = lab.pod()
    await listening(pod, 8888, await lab.start("hiroakis/tornado-websocket-example", pod=pod))
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{pod.pod_ip}:{pod.ports.real(8888)}/ws") as socket,
    ):
        async with session.get(f"http://{pod.pod_ip}:{pod.ports.real(8888)}/api?id=1&value=7") as answer:
            assert answer.status == 200
        assert json.loads((await socket.receive(timeout=5)).data) == {"id": "1", "value": "7"}
