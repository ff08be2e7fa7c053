from __future__ import annotations

import fnmatch

import pytest

from meshlab.minicluster.images.nginx.config import DEFAULT_MAIN, DEFAULT_SERVER, Server, load
from meshlab.minicluster.images.nginx.syntax import ConfigError, parse

MAIN = "/etc/nginx/nginx.conf"


def configured(**files: str) -> list[Server]:
    """Load a configuration whose ``conf.d`` holds these files."""
    texts = {f"/etc/nginx/conf.d/{name}.conf": text for name, text in files.items()}
    texts[MAIN] = DEFAULT_MAIN

    def read(path: str) -> str:
        if path not in texts:
            raise FileNotFoundError(path)
        return texts[path]

    return load(read, lambda pattern: fnmatch.filter(texts, pattern), extra="daemon off;")


def test_the_syntax() -> None:
    text = 'a b \'c d\' "e\\"f";  # comment ; {\nblock x {\n  inner ${v}y;\n}\n'
    first, second = parse(text, "f")
    assert (first.name, first.args, first.block) == ("a", ("b", "c d", 'e"f'), None)
    assert (second.name, second.args, second.line) == ("block", ("x",), 2)
    assert second.block is not None
    assert (second.block[0].args, second.block[0].place) == (("${v}y",), "f:3")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", 'unexpected end of file, expecting ";" or "}" in f:1'),
        ("a {\n b;\n", 'unexpected end of file, expecting "}" in f:3'),
        ("}", 'unexpected "}" in f:1'),
        ("a b }", 'unexpected "}" in f:1'),
        ("; ", 'unexpected ";" in f:1'),
        ('a "b;', "unexpected end of file"),
    ],
)
def test_syntax_errors(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text, "f")
    assert words in str(error.value)


def test_tls() -> None:
    text = "server {{ listen 443 ssl; listen 80; ssl_certificate /c; {} }}"
    (server,) = configured(a=text.format("ssl_certificate_key /k; ssl_verify_client on;"))
    assert (server.ports, server.tls_ports) == ([443, 80], {443})
    assert dict(server.settings.tls) == {"certificate": "/c", "certificate_key": "/k", "verify_client": "on"}
    with pytest.raises(ConfigError, match='no "ssl_certificate_key" is defined'):
        configured(a=text.format(""))


def test_the_images_own_configuration() -> None:
    (server,) = configured(default=DEFAULT_SERVER)
    assert (server.ports, server.names) == ([80], ["localhost"])
    location = server.locate("/a")
    assert location is not None
    assert location.settings.root == "/usr/share/nginx/html"
    assert location.settings.index == ("index.html", "index.htm")
    assert location.settings.error_pages[503] == "/50x.html"


def test_locations_match_in_nginxs_order() -> None:
    (server,) = configured(
        x="""server {
            location / { return 200 root; }
            location /images/ { return 200 prefix; }
            location ^~ /static/ { return 200 firm; }
            location = /exact { return 200 exact; }
            location ~* \\.(png|jpg)$ { return 200 regex; }
        }"""
    )

    def answer(path: str) -> str:
        location = server.locate(path)
        assert location is not None
        assert location.settings.answer is not None
        return location.settings.answer[1]

    assert answer("/x") == "root"
    assert answer("/images/a.gif") == "prefix"
    assert answer("/images/a.PNG") == "regex"
    assert answer("/static/a.png") == "firm"
    assert answer("/exact") == "exact"
    assert answer("/exactly") == "root"


def test_settings_are_inherited_but_answers_are_not() -> None:
    (server,) = configured(
        x="server { listen 8080 default_server; listen [::]:8080; root /srv; add_header X y always; location /a { } }"
    )
    assert (server.ports, server.default_for) == ([8080], {8080})
    location = server.locate("/a")
    assert location is not None
    assert (location.settings.root, location.settings.headers) == ("/srv", (("X", "y", True),))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server { proxy_cache x; }", 'unknown directive "proxy_cache" in /etc/nginx/conf.d/x.conf:1'),
        ("server {\n listen abc:x; }", None),
        ("listen 80;", '"listen" directive is not allowed here in /etc/nginx/conf.d/x.conf:1'),
        ("server { listen 99999; }", 'invalid port in "99999"'),
        ("server { listen 80 nope; }", 'invalid parameter "nope"'),
        ("server { return nope; }", 'invalid return code "nope"'),
        ("server { root; }", 'invalid number of arguments in "root" directive'),
        ("server { location !! /x { } }", 'invalid location modifier "!!"'),
        ("server { location ~ ( { } }", "pcre2_compile() failed"),
        ("include /no/file.conf;", 'open() "/no/file.conf" failed (2: No such file or directory)'),
    ],
)
def test_configuration_errors(text: str, words: str | None) -> None:
    if words is None:
        assert configured(x=text)[0].ports == [80]
        return
    with pytest.raises(ConfigError) as error:
        configured(x=text)
    assert words in str(error.value)


def test_a_configuration_needs_events() -> None:
    with pytest.raises(ConfigError, match='no "events" section'):
        load(lambda _: "http { }", lambda _: [])
