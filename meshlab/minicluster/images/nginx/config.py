"""From directives to servers and locations."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from meshlab.minicluster.images.nginx.syntax import ConfigError, Directive, parse

MAIN_FILE = "/etc/nginx/nginx.conf"
DEFAULT_ROOT = "/usr/share/nginx/html"
DEFAULT_MAIN = """
user nginx;
worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
"""
DEFAULT_SERVER_FILE = "/etc/nginx/conf.d/default.conf"
DEFAULT_SERVER = """
server {
    listen 80;
    server_name localhost;
    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }
    error_page 500 502 503 504 /50x.html;
    location = /50x.html {
        root /usr/share/nginx/html;
    }
}
"""

ANYWHERE = frozenset({"http", "server", "location"})
DIRECTIVES: dict[str, frozenset[str]] = {
    # Those that change what is served.
    **dict.fromkeys(("root", "index", "return", "add_header", "default_type", "error_page", "access_log"), ANYWHERE),
    "alias": frozenset({"location"}),
    "try_files": frozenset({"server", "location"}),
    "listen": frozenset({"server"}),
    "server_name": frozenset({"server"}),
    "location": frozenset({"server", "location"}),
    "server": frozenset({"http"}),
    "http": frozenset({"main"}),
    "include": frozenset({"main", *ANYWHERE}),
    # Those that may stand there and mean nothing to this nginx.
    "events": frozenset({"main"}),
    **dict.fromkeys(
        ("user", "worker_processes", "pid", "daemon", "master_process", "worker_rlimit_nofile"), frozenset({"main"})
    ),
    "worker_connections": frozenset({"events"}),
    "multi_accept": frozenset({"events"}),
    "use": frozenset({"events"}),
    "error_log": frozenset({"main", *ANYWHERE}),
    "log_format": frozenset({"http"}),
    **dict.fromkeys(
        (
            *("sendfile", "tcp_nopush", "tcp_nodelay", "keepalive_timeout", "gzip", "gzip_types", "charset", "types"),
            *("server_tokens", "client_max_body_size", "etag", "expires", "log_not_found", "absolute_redirect"),
        ),
        ANYWHERE,
    ),
    "autoindex": ANYWHERE,
    **dict.fromkeys(("ssl_certificate", "ssl_certificate_key"), frozenset({"http", "server"})),
    **dict.fromkeys(("ssl_client_certificate", "ssl_verify_client"), frozenset({"http", "server"})),
    **dict.fromkeys(
        ("ssl_protocols", "ssl_ciphers", "ssl_prefer_server_ciphers", "ssl_session_cache", "ssl_session_timeout"),
        frozenset({"http", "server"}),
    ),
}
"""Every directive that this nginx reads, and the contexts it may stand in."""

ReadFile = Callable[[str], str]
"""The text of a file of the container; `FileNotFoundError` if there is none."""
Expand = Callable[[str], list[str]]
"""The files that a pattern of the container matches."""


@dataclass(slots=True)
class Settings:
    """What blocks hand down to the blocks inside."""

    root: str = DEFAULT_ROOT
    alias: str = ""
    index: tuple[str, ...] = ("index.html",)
    answer: tuple[int, str] | None = None
    """The status and the text or URL of ``return``."""
    try_files: tuple[str, ...] = ()
    headers: tuple[tuple[str, str, bool], ...] = ()
    """Name, value, and whether for every status."""
    default_type: str = "text/plain"
    error_pages: dict[int, str] = field(default_factory=dict)
    access_log: bool = True
    tls: tuple[tuple[str, str], ...] = ()
    """The directives of TLS, without their ``ssl_``, and their values."""

    def child(self) -> Settings:
        """What a block inside starts with: everything but the answers of this one."""
        return Settings(
            root=self.root,
            index=self.index,
            headers=self.headers,
            default_type=self.default_type,
            error_pages=dict(self.error_pages),
            access_log=self.access_log,
            tls=self.tls,
        )


@dataclass(frozen=True, slots=True)
class Location:
    """A ``location`` block: how it matches, and its settings."""

    modifier: str
    pattern: str
    settings: Settings
    expression: re.Pattern[str] | None = None


@dataclass(slots=True)
class Server:
    """A ``server`` block."""

    ports: list[int]
    names: list[str]
    settings: Settings
    locations: list[Location]
    default_for: set[int] = field(default_factory=set)
    tls_ports: set[int] = field(default_factory=set)

    def locate(self, path: str) -> Location | None:
        """The location for a path: exact, longest ``^~`` prefix, first regular expression, longest prefix."""
        for location in self.locations:
            if location.modifier == "=" and location.pattern == path:
                return location
        prefixes = [one for one in self.locations if one.modifier in ("", "^~") and path.startswith(one.pattern)]
        longest = max(prefixes, key=lambda one: len(one.pattern), default=None)
        if longest is not None and longest.modifier == "^~":
            return longest
        for location in self.locations:
            if location.expression is not None and location.expression.search(path):
                return location
        return longest


def load(read: ReadFile, expand: Expand, main_file: str = MAIN_FILE, extra: str = "") -> list[Server]:
    """The servers that the configuration describes.

    Args:
        read: gives a file's text.
        expand: gives the files of an ``include``.
        main_file: the file to begin with.
        extra: directives of the command line (``-g``).

    Raises:
        ConfigError: the configuration is wrong.
    """
    servers: list[Server] = []
    _Loader(read, expand, servers).main((*parse(extra, "command line"), *_parsed(read, main_file)))
    return servers


def _parsed(read: ReadFile, file: str) -> tuple[Directive, ...]:
    try:
        return parse(read(file), file)
    except FileNotFoundError:
        raise ConfigError(f'open() "{file}" failed (2: No such file or directory)') from None


class _Loader:
    def __init__(self, read: ReadFile, expand: Expand, servers: list[Server]) -> None:
        self._read = read
        self._expand = expand
        self._servers = servers

    def main(self, directives: Iterable[Directive]) -> None:
        seen_events = False
        for directive in self._walk(directives, "main"):
            if directive.name == "events":
                seen_events = True
                list(self._walk(directive.block or (), "events"))
            elif directive.name == "http":
                self._http(directive)
        if not seen_events:
            raise ConfigError('no "events" section in configuration')

    def _walk(self, directives: Iterable[Directive], context: str) -> Iterable[Directive]:
        """The directives of a block, checked, with those of included files in place."""
        for directive in directives:
            contexts = DIRECTIVES.get(directive.name)
            if contexts is None:
                raise ConfigError(f'unknown directive "{directive.name}" in {directive.place}')
            if context not in contexts:
                raise ConfigError(f'"{directive.name}" directive is not allowed here in {directive.place}')
            if directive.name == "include":
                _count(directive, 1, 1)
                yield from self._included(directive, context)
            else:
                yield directive

    def _included(self, directive: Directive, context: str) -> Iterable[Directive]:
        pattern = directive.args[0]
        if not pattern.startswith("/"):
            pattern = f"/etc/nginx/{pattern}"
        if pattern == "/etc/nginx/mime.types":
            return
        files = sorted(self._expand(pattern)) if glob.has_magic(pattern) else [pattern]
        for file in files:
            try:
                parsed = parse(self._read(file), file)
            except FileNotFoundError:
                raise ConfigError(
                    f'open() "{file}" failed (2: No such file or directory) in {directive.place}'
                ) from None
            yield from self._walk(parsed, context)

    def _http(self, http: Directive) -> None:
        settings = Settings()
        blocks = []
        for directive in self._walk(http.block or (), "http"):
            if directive.name == "server":
                blocks.append(directive)
            else:
                _apply(directive, settings)
        for block in blocks:
            self._server(block, settings)

    def _server(self, block: Directive, inherited: Settings) -> None:
        server = Server([], [], inherited.child(), [])
        locations = []
        for directive in self._walk(block.block or (), "server"):
            match directive.name:
                case "listen":
                    _listen(directive, server)
                case "server_name":
                    server.names += directive.args
                case "location":
                    locations.append(directive)
                case _:
                    _apply(directive, server.settings)
        server.ports = server.ports or [80]
        for missing in ("certificate", "certificate_key"):
            if server.tls_ports and not dict(server.settings.tls).get(missing):
                raise ConfigError(f'no "ssl_{missing}" is defined for the "listen ... ssl" directive in {block.place}')
        for location in locations:
            self._location(location, server, server.settings)
        self._servers.append(server)

    def _location(self, block: Directive, server: Server, inherited: Settings) -> None:
        _count(block, 1, 2)
        modifier, pattern = ("", block.args[0]) if len(block.args) == 1 else block.args
        if modifier not in ("", "=", "^~", "~", "~*"):
            raise ConfigError(f'invalid location modifier "{modifier}" in {block.place}')
        expression = None
        if modifier.startswith("~"):
            try:
                expression = re.compile(pattern, re.IGNORECASE if modifier == "~*" else 0)
            except re.error as error:
                raise ConfigError(f'pcre2_compile() failed: {error} in "{pattern}" in {block.place}') from None
        settings = inherited.child()
        inner = []
        for directive in self._walk(block.block or (), "location"):
            if directive.name == "location":
                inner.append(directive)
            else:
                _apply(directive, settings)
        server.locations.append(Location(modifier, pattern, settings, expression))
        for directive in inner:
            self._location(directive, server, settings)


def _listen(directive: Directive, server: Server) -> None:
    _count(directive, 1, 9)
    address, *options = directive.args
    if address.startswith(("[", "unix:")):
        return  # the lab's network is IPv4 only
    host, _, port_text = address.rpartition(":")
    if not port_text.isdecimal():
        host, port_text = address, "80"
    del host
    port = int(port_text)
    if not 0 < port < 65536:
        raise ConfigError(f'invalid port in "{address}" of the "listen" directive in {directive.place}')
    known = {"default_server", "http2", "reuseport", "deferred", "default", "ssl"}
    for option in options:
        if option not in known and not option.startswith(("backlog=", "so_keepalive=", "ipv6only=")):
            raise ConfigError(f'invalid parameter "{option}" in {directive.place}')
    server.ports.append(port)
    if "default_server" in options:
        server.default_for.add(port)
    if "ssl" in options:
        server.tls_ports.add(port)


def _count(directive: Directive, low: int, high: int) -> None:
    if not low <= len(directive.args) <= high:
        raise ConfigError(f'invalid number of arguments in "{directive.name}" directive in {directive.place}')


def _apply(directive: Directive, settings: Settings) -> None:
    args = directive.args
    match directive.name:
        case "root":
            _count(directive, 1, 1)
            settings.root = args[0]
        case "alias":
            _count(directive, 1, 1)
            settings.alias = args[0]
        case "index":
            _count(directive, 1, 99)
            settings.index = args
        case "return":
            _count(directive, 1, 2)
            settings.answer = _return(directive)
        case "try_files":
            _count(directive, 2, 99)
            settings.try_files = args
        case "add_header":
            _count(directive, 2, 3)
            settings.headers += ((args[0], args[1], len(args) == 3),)
        case "default_type":
            _count(directive, 1, 1)
            settings.default_type = args[0]
        case "error_page":
            _count(directive, 2, 99)
            try:
                settings.error_pages |= {int(status): args[-1] for status in args[:-1]}
            except ValueError:
                raise ConfigError(f'invalid value "{args[0]}" in {directive.place}') from None
        case "access_log":
            _count(directive, 1, 9)
            settings.access_log = args[0] != "off"
        case "ssl_certificate" | "ssl_certificate_key" | "ssl_client_certificate" | "ssl_verify_client":
            _count(directive, 1, 1)
            settings.tls += ((directive.name.removeprefix("ssl_"), args[0]),)
        case "autoindex":
            if args != ("off",):
                raise ConfigError(f'invalid value "{" ".join(args)}" in "autoindex" directive in {directive.place}')


def _return(directive: Directive) -> tuple[int, str]:
    first, text = directive.args[0], directive.args[1] if len(directive.args) > 1 else ""
    if first.isdecimal() and int(first) < 1000:
        return int(first), text
    if not text and first.startswith(("http://", "https://", "$scheme")):
        return 302, first
    raise ConfigError(f'invalid return code "{first}" in {directive.place}')


def file_reader(host_path: Callable[[str], str]) -> ReadFile:
    """Reads files of the container; the default files stand in for those that the image would have."""

    def read(path: str) -> str:
        try:
            return Path(host_path(path)).read_text()
        except FileNotFoundError:
            defaults = {MAIN_FILE: DEFAULT_MAIN, DEFAULT_SERVER_FILE: DEFAULT_SERVER}
            if path not in defaults:
                raise
            return defaults[path]

    return read


def file_expander(host_path: Callable[[str], str]) -> Expand:
    """Lists files of the container; ``conf.d`` has the default server unless a volume is mounted there."""

    def expand(pattern: str) -> list[str]:
        directory = pattern.rpartition("/")[0]
        real = host_path(directory)
        names = [file.name for file in Path(real).glob(pattern.rpartition("/")[2])]
        if not Path(real).is_dir() and pattern.startswith("/etc/nginx/conf.d/"):
            names.append(Path(DEFAULT_SERVER_FILE).name)
        return [f"{directory}/{name}" for name in names]

    return expand
