"""``curl`` for hosts without one."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from meshlab.minicluster.images.curl.globbing import BadGlob, expand
from meshlab.minicluster.images.curl.options import Options, UsageError, parse
from meshlab.minicluster.images.curl.transfer import Client, CurlError, Result, form_body
from meshlab.minicluster.images.curl.writeout import Value, render
from meshlab.minicluster.images.dial import PodNetwork
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

VERSION = """curl 8.17.0 (meshlab) built-in
Release-Date: 2025-11-05
Protocols: http https
Features: HTTPS-proxy SSL"""
TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 522, 524})
TRANSIENT_CODES = frozenset({6, 28})
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 600.0


def main(argv: list[str], pod: PodContext) -> int:
    """``curl [options] URL...``: the exit code of the last transfer that failed, as curl's."""
    try:
        operations = parse(argv[1:])
    except UsageError as error:
        print_line(f"curl: {error}\ncurl: try 'curl --help' or 'curl --manual' for more information", error=True)
        return error.code
    if operations[0].version:
        print_line(VERSION)
        return 0
    if operations[0].help:
        print_line("Usage: curl [options...] <url>")
        return 0
    client = Client(PodNetwork(pod))
    code = 0
    try:
        for options in operations:
            if not options.urls:
                print_line("curl: (2) no URL specified", error=True)
                return 2
            code = _operation(client, options) or code
    finally:
        client.close()
    return code


def _operation(client: Client, options: Options) -> int:
    code = 0
    outputs = list(options.outputs)
    for pattern in options.urls:
        output = outputs.pop(0) if outputs else ""
        url = pattern if "://" in pattern else f"http://{pattern}"
        try:
            expanded = list(expand(url)) if options.globbing else [(url, ())]
        except BadGlob as error:
            _complain(options, CurlError(3, str(error)))
            return 3
        for one, parts in expanded:
            name = output
            for number, part in enumerate(parts, 1):
                name = name.replace(f"#{number}", part)
            code = _one(client, options, one, name) or code
    return code


def _one(client: Client, options: Options, url: str, output: str) -> int:
    """One URL with its retries and redirections; the exit code."""
    failure: CurlError | None
    pause = FIRST_RETRY_S
    for attempt in range(options.retries + 1):
        result, failure = _follow(client, options, url)
        if attempt == options.retries or not _is_transient(result, failure, options):
            break
        wait = options.retry_delay_s if options.retry_delay_s is not None else pause
        problem = f"HTTP error {result.status}" if failure is None else str(failure)
        if not options.silent:
            left = options.retries - attempt
            print_line(f"Warning: Problem: {problem}. Will retry in {wait:g} second. {left} retry left.", error=True)
        time.sleep(wait)
        pause = min(pause * 2, LONGEST_RETRY_S)
    if failure is None and result.status >= 400 and (options.fail or options.fail_with_body):
        failure = CurlError(22, f"The requested URL returned error: {result.status}")
    try:
        _deliver(result, options, output, failed=failure is not None and not options.fail_with_body)
    except OSError as error:
        failure = CurlError(23, f"Failure writing output to destination: {error.strerror}")
    if failure is not None:
        _complain(options, failure)
    if options.write_out:
        values = _values(result, failure)
        headers = {name.lower(): value for name, value in result.headers}
        sys.stdout.write(render(options.write_out, values, headers))
        sys.stdout.flush()
    return failure.code if failure else 0


def _is_transient(result: Result, failure: CurlError | None, options: Options) -> bool:
    if failure is None:
        return result.status in TRANSIENT_STATUSES
    if options.retry_all_errors or failure.code in TRANSIENT_CODES:
        return True
    return options.retry_connrefused and failure.code == 7


def _follow(client: Client, options: Options, url: str) -> tuple[Result, CurlError | None]:
    deadline = time.monotonic() + options.max_time_s if options.max_time_s else None
    result = Result(url)
    try:
        method, body = _method_and_body(options)
        if options.get and options.has_data:
            joined = b"&".join(options.data).decode()
            url += ("&" if urlsplit(url).query else "?") + joined
        redirections = 0
        heads = b""
        while True:
            if options.verbose:
                _say(f"* Request to {url}")
            result = client.transfer(url, options, deadline, method=method, body=body)
            if options.verbose:
                _show(result)
            location = result.header("location")
            if not options.follow or result.status not in {301, 302, 303, 307, 308} or not location:
                break
            redirections += 1
            if redirections > options.max_redirections:
                raise CurlError(47, f"Maximum ({options.max_redirections}) redirects followed")
            heads += result.head
            url = urljoin(url, location)
            if result.status == 303 or (result.status in {301, 302} and method == "POST" and not options.method):
                method, body = "HEAD" if method == "HEAD" else "GET", None
        if options.include or options.head:
            result.body = heads + result.head + result.body
        if options.dump_header:
            _write(heads + result.head, options.dump_header, options)
    except CurlError as failure:
        return failure.result or result, failure
    return result, None


def _method_and_body(options: Options) -> tuple[str, bytes | None]:
    body: bytes | None = None
    method = "GET"
    if options.form:
        method, body = "POST", form_body(options.form)
    elif options.has_data and not options.get:
        method, body = "POST", b"&".join(options.data) if not options.json else b"".join(options.data)
    elif options.upload:
        try:
            method, body = "PUT", Path("/dev/stdin" if options.upload == "-" else options.upload).read_bytes()
        except OSError:
            raise CurlError(26, f"Failed to open/read local data from file/application: {options.upload}") from None
    if options.head:
        method = "HEAD"
    return options.method or method, body


def _deliver(result: Result, options: Options, output: str, *, failed: bool) -> None:
    if failed and result.status >= 400:
        return
    if options.remote_name and not output:
        output = Path(urlsplit(result.url).path).name or "index.html"
    _write(result.body, output, options)


def _write(data: bytes, output: str, options: Options) -> None:
    if output in {"", "-"}:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    if options.create_dirs:
        path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _complain(options: Options, failure: CurlError) -> None:
    if not options.silent or options.show_error:
        print_line(f"curl: ({failure.code}) {failure}", error=True)


def _show(result: Result) -> None:
    _say(f"* Connected to {result.remote_ip} port {result.remote_port}")
    for line in result.request_lines:
        _say(f"> {line}")
    _say("> ")
    for line in result.head.decode("latin-1").splitlines():
        _say(f"< {line}")


def _say(line: str) -> None:
    print_line(line, error=True)


def _values(result: Result, failure: CurlError | None) -> dict[str, Value]:
    total = result.times.get("total", 0.0)
    parts = urlsplit(result.url)
    return {
        "http_code": result.status,
        "response_code": result.status,
        "http_version": f"{result.version // 10}.{result.version % 10}" if result.version % 10 else "1",
        "exitcode": failure.code if failure else 0,
        "errormsg": str(failure or ""),
        "method": result.method,
        "scheme": parts.scheme,
        "url": result.url,
        "url_effective": result.url,
        "content_type": result.header("content-type"),
        "redirect_url": urljoin(result.url, result.header("location")) if result.header("location") else "",
        "remote_ip": result.remote_ip,
        "remote_port": result.remote_port,
        "local_ip": result.local_ip,
        "local_port": result.local_port,
        "num_connects": result.connects,
        "num_headers": len(result.headers),
        "size_download": len(result.body),
        "size_header": len(result.head) if result.status else 0,
        "size_upload": result.size_upload,
        "speed_download": len(result.body) / total if total else 0.0,
        **{f"time_{name}": result.times.get(name, 0.0) for name in _TIMES},
    }


_TIMES = ("namelookup", "connect", "appconnect", "pretransfer", "starttransfer", "total")
