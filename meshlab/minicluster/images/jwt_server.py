"""``istio/jwt-server``: a key set by HTTP, and by HTTPS if it is given a certificate.

The public key is the one that upstream's image serves; the tokens of Istio's own tests are signed by its other half.
Whatever path is asked for, the answer is the key set.
"""

from __future__ import annotations

import ssl
import time

from aiohttp import web

from meshlab.minicluster.images.go_flags import Flag, FlagError, parse_flags, usage
from meshlab.minicluster.images.http_server import BindError, HttpServer, catch_all, serve
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

FLAGS = {
    "http": Flag("HTTP server port", "8000"),
    "https": Flag("HTTPS server port", "8443"),
    "cert": Flag("Optional, the name of server's certificate file"),
    "key": Flag("Optional, the name of server's private key"),
}
KEY_SET = (
    '{ "keys":[ {"e":"AQAB","kid":"tT_w9LRNrY7wJalGsTYSt7rutZi86Gvyc0EKR4CaQAw","kty":"RSA","n":"'
    "raJ7ZEhMfrBUo2werGKOow9an1B6Ukc6dKY2hNi10eaQe9ehJCjLpmJpePxoqaCi2VYt6gncLfhEV71JDGsodbfYMlaxwWTt6lXBcjlVXHWDXLC45"
    "rHVfi9FjSSXloHqmSStpjv3mrW3R6fx2VeVVP_mrA6ZHtcynq6ecJqO11STvVoeeM3lEsASVSWsUrKltC1Crfo0sI7YG34QjophVTEi8B9gVepAJZ"
    "V-Bso5sinRABnxfLUM7DU5c8MO114uvXThgSIuAOM9PbViSC3X6Y9Gsjsy881HGO-EJaUCrwSWnwQW5sp0TktrYL70-M4_ug-X51Yt_PErmncKupx"
    '8Hw"}]}'
)


def main(argv: list[str], pod: PodContext) -> int:
    """``jwt-server [-http PORT] [-https PORT -cert FILE -key FILE]``."""
    try:
        values, _ = parse_flags(FLAGS, argv[1:])
    except FlagError as error:
        print_line(usage("jwt-server", FLAGS) if error.help_wanted else f"{error}", error=True)
        return 0 if error.help_wanted else 2
    ports, tls = [int(values["http"])], {}
    if values["cert"] and values["key"]:
        secure = int(values["https"])
        ports.append(secure)
        tls[secure] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            tls[secure].load_cert_chain(pod.host_path(str(values["cert"])), pod.host_path(str(values["key"])))
        except OSError as error:
            _log(f"Failed to start HTTPS server: {error}")
            return 1
    server = HttpServer(catch_all(_answer), ports, tls_ports=tls, on_listening=lambda: _started(ports))
    try:
        serve(server, pod)
    except BindError as error:
        _log(f"Failed to create HTTP server: listen tcp :{error.port}: bind: {error.reason.lower()}")
        return 1
    return 0


def _started(ports: list[int]) -> None:
    for scheme, port in zip(("HTTP", "HTTPS"), ports, strict=False):
        _log(f"Starting {scheme} server at [::]:{port}")


def _log(message: str) -> None:
    print_line(f"{time.strftime('%Y/%m/%d %H:%M:%S', time.gmtime())} {message}", error=True)


async def _answer(_: web.Request) -> web.Response:
    return web.Response(text=KEY_SET, content_type="text/plain")
