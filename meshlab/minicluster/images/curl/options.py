"""curl's command line, as far as the built-in knows it: one table of options."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus


class UsageError(Exception):
    """The command line is wrong: exit code 2, or 26 for a file that cannot be read."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Options:
    """What one operation (the part of a command line up to ``--next``) asks for."""

    urls: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    silent: bool = False
    show_error: bool = False
    fail: bool = False
    fail_with_body: bool = False
    include: bool = False
    head: bool = False
    verbose: bool = False
    follow: bool = False
    insecure: bool = False
    globbing: bool = True
    get: bool = False
    remote_name: bool = False
    compressed: bool = False
    retry_all_errors: bool = False
    retry_connrefused: bool = False
    http10: bool = False
    create_dirs: bool = False
    path_as_is: bool = False
    method: str = ""
    headers: list[str] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    has_data: bool = False
    json: bool = False
    form: list[str] = field(default_factory=list)
    user: str = ""
    bearer: str = ""
    agent: str = "curl/8.17.0"
    referer: str = ""
    cookie: list[str] = field(default_factory=list)
    write_out: str = ""
    dump_header: str = ""
    upload: str = ""
    range: str = ""
    ca_file: str = ""
    cert: str = ""
    key: str = ""
    proxy: str | None = None
    no_proxy: str | None = None
    resolve: list[str] = field(default_factory=list)
    connect_to: list[str] = field(default_factory=list)
    max_time_s: float | None = None
    connect_timeout_s: float | None = None
    max_redirections: int = 50
    retries: int = 0
    retry_delay_s: float | None = None
    help: bool = False
    version: bool = False


Setter = Callable[[Options, str], None]


def _flag(name: str, value: bool = True) -> Setter:
    return lambda options, _: setattr(options, name, value)


def _text(name: str) -> Setter:
    return lambda options, text: setattr(options, name, text)


def _seconds(name: str) -> Setter:
    return lambda options, text: setattr(options, name, float(text))


def _number(name: str) -> Setter:
    return lambda options, text: setattr(options, name, int(text))


def _append(name: str) -> Setter:
    return lambda options, text: getattr(options, name).append(text)


def _data(*, strip_newlines: bool = True, files: bool = True, encode: bool = False, json: bool = False) -> Setter:
    def add(options: Options, text: str) -> None:
        if encode:
            name, _, content = text.partition("=") if "=" in text else ("", "", text)
            data = (f"{name}=" if name else "").encode() + quote_plus(content).replace("+", "%20").encode()
        elif files and text.startswith("@"):
            data = _read(text[1:])
            if strip_newlines:
                data = data.replace(b"\r", b"").replace(b"\n", b"")
        else:
            data = text.encode()
        options.data.append(data)
        options.has_data = True
        options.json = options.json or json

    return add


def _read(name: str) -> bytes:
    try:
        return Path("/dev/stdin" if name == "-" else name).read_bytes()
    except OSError:
        raise UsageError(f"option --data: error encountered when reading a file: {name}", 26) from None


def _ignore(options: Options, text: str) -> None:
    """The option changes nothing that the built-in does."""


FLAGS: dict[str, Setter] = {
    "-s --silent": _flag("silent"),
    "--no-silent": _flag("silent", False),
    "-S --show-error": _flag("show_error"),
    "-f --fail": _flag("fail"),
    "--fail-with-body": _flag("fail_with_body"),
    "-i --include --show-headers": _flag("include"),
    "-I --head": _flag("head"),
    "-v --verbose": _flag("verbose"),
    "-L --location": _flag("follow"),
    "-k --insecure": _flag("insecure"),
    "-g --globoff": _flag("globbing", False),
    "-G --get": _flag("get"),
    "-O --remote-name": _flag("remote_name"),
    "--compressed": _flag("compressed"),
    "--retry-all-errors": _flag("retry_all_errors"),
    "--retry-connrefused": _flag("retry_connrefused"),
    "-0 --http1.0": _flag("http10"),
    "--path-as-is": _flag("path_as_is"),
    "-h --help": _flag("help"),
    "-V --version": _flag("version"),
    "-q --disable": _ignore,
    "--http1.1": _ignore,
    "--http2": _ignore,
    "--no-keepalive": _ignore,
    "--tcp-nodelay": _ignore,
    "-N --no-buffer": _ignore,
    "-4 --ipv4": _ignore,
    "-# --progress-bar": _ignore,
    "--no-progress-meter": _flag("silent"),
    "--create-dirs": _flag("create_dirs"),
}
VALUES: dict[str, Setter] = {
    "-o --output": _append("outputs"),
    "--url": _append("urls"),
    "-w --write-out": lambda options, text: setattr(
        options, "write_out", _read(text[1:]).decode() if text.startswith("@") else text
    ),
    "-H --header": _append("headers"),
    "-X --request": _text("method"),
    "-d --data --data-ascii": _data(),
    "--data-raw": _data(files=False),
    "--data-binary": _data(strip_newlines=False),
    "--data-urlencode": _data(encode=True),
    "--json": _data(strip_newlines=False, json=True),
    "-F --form": _append("form"),
    "-u --user": _text("user"),
    "--oauth2-bearer": _text("bearer"),
    "-A --user-agent": _text("agent"),
    "-e --referer": _text("referer"),
    "-b --cookie": _append("cookie"),
    "-D --dump-header": _text("dump_header"),
    "-T --upload-file": _text("upload"),
    "-r --range": _text("range"),
    "--cacert": _text("ca_file"),
    "-E --cert": _text("cert"),
    "--key": _text("key"),
    "-x --proxy": _text("proxy"),
    "--noproxy": _text("no_proxy"),
    "--resolve": _append("resolve"),
    "--connect-to": _append("connect_to"),
    "-m --max-time": _seconds("max_time_s"),
    "--connect-timeout": _seconds("connect_timeout_s"),
    "--max-redirs": _number("max_redirections"),
    "--retry": _number("retries"),
    "--retry-delay": _seconds("retry_delay_s"),
    "--retry-max-time": _ignore,
    "--keepalive-time": _ignore,
    "--interface": _ignore,
    "--stderr": _ignore,
}
_BY_NAME = {name: setter for names, setter in (*FLAGS.items(), *VALUES.items()) for name in names.split()}
_TAKES_VALUE = {name for names in VALUES for name in names.split()}


def parse(arguments: list[str]) -> list[Options]:
    """The operations of a command line; there is always one.

    Raises:
        UsageError: an option that the built-in does not have, a missing value, a file that cannot be read.
    """
    operations = [Options()]
    literal = False
    rest = iter(arguments)
    for argument in rest:
        if literal or argument == "-" or not argument.startswith("-"):
            operations[-1].urls.append(argument)
        elif argument == "--":
            literal = True
        elif argument in {"-:", "--next"}:
            previous = operations[-1]
            operations.append(Options(silent=previous.silent, show_error=previous.show_error, verbose=previous.verbose))
        elif argument.startswith("--"):
            _apply(argument, operations[-1], rest)
        else:
            _short(argument[1:], operations[-1], rest)
    return operations


def _short(group: str, options: Options, rest: Iterator[str]) -> None:
    """``-sSfo FILE`` and ``-ofile``."""
    while group:
        name, group = f"-{group[0]}", group[1:]
        if (name in _TAKES_VALUE or name == "-K") and group:
            _apply(name, options, iter([group]))
            return
        _apply(name, options, rest)


def _apply(name: str, options: Options, rest: Iterator[str]) -> None:
    setter = _BY_NAME.get(name)
    takes_value = name in _TAKES_VALUE or name in {"-K", "--config"}
    if setter is None and not takes_value:
        if name.startswith("--no-") and f"--{name[5:]}" in _BY_NAME:
            return
        raise UsageError(f"option {name}: is unknown")
    value = next(rest, None) if takes_value else ""
    if value is None:
        raise UsageError(f"option {name}: requires parameter")
    try:
        if setter is None:
            _config(value, options)
        else:
            setter(options, value)
    except ValueError:
        raise UsageError(f"option {name}: expected a proper numerical parameter") from None


def _config(name: str, options: Options) -> None:
    """A configuration file: an option and its value on each line, with or without ``=``."""
    for line in _read(name).decode().splitlines():
        words = shlex.split(line, comments=True, posix=True)
        if not words:
            continue
        if len(words) > 1 and words[1] in {"=", ":"}:
            del words[1]
        elif words[0].endswith(("=", ":")):
            words[0] = words[0][:-1]
        elif "=" in words[0] and len(words) == 1:
            words = list(words[0].partition("=")[::2])
        option = words[0] if words[0].startswith("-") else f"--{words[0]}"
        _apply(option, options, iter(words[1:]))
