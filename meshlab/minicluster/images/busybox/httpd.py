"""``httpd`` of BusyBox: static files of one directory."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path

from aiohttp import web

from meshlab.minicluster.images.busybox.options import UsageError, parse
from meshlab.minicluster.images.http_server import BindError, HttpServer, catch_all, serve
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

_ERROR = "<HTML><HEAD><TITLE>{0}</TITLE></HEAD>\n<BODY><H1>{0}</H1>\n{1}\n</BODY></HTML>\n"


def main(argv: list[str], pod: PodContext) -> int:
    """``httpd [-f] [-p [IP:]PORT] [-h HOME]``; without ``-f`` it goes to the background."""
    try:
        options, _ = parse("httpd", argv[1:], "ifvp:h:c:u:r:")
        port = int(options.get("p", ["80"])[-1].rpartition(":")[2])
    except (UsageError, ValueError) as error:
        print_line(f"{error}\nUsage: httpd [-ifv[v]] [-p [IP:]PORT] [-h HOME]", error=True)
        return 1
    home = Path(options.get("h", ["."])[-1])
    if not home.is_dir():
        print_line(f"httpd: can't change directory to '{home}': No such file or directory", error=True)
        return 1
    os.chdir(home)
    if "f" not in options and os.fork():
        return 0
    server = HttpServer(catch_all(_answer), [port], headers={"Connection": ""})
    try:
        serve(server, pod)
    except BindError as error:
        print_line(f"httpd: bind: {error.reason}", error=True)
        return 1
    return 0


async def _answer(request: web.Request) -> web.StreamResponse:
    root = Path.cwd().resolve()
    path = (root / request.path.lstrip("/")).resolve()
    if not path.is_relative_to(root):
        return _error(404, "404 Not Found", "The requested URL was not found")
    if path.is_dir():
        path /= "index.html"
    if not path.is_file():
        return _error(404, "404 Not Found", "The requested URL was not found")
    if request.method not in {"GET", "HEAD"}:
        return _error(501, "501 Not Implemented", "The requested method is not recognized")
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return web.FileResponse(path, headers={"Content-Type": content_type})


def _error(status: int, title: str, text: str) -> web.Response:
    return web.Response(text=_ERROR.format(title, text), status=status, content_type="text/html")
