"""The rows of the catalogue."""

from __future__ import annotations

from meshlab.minicluster.images.catalogue import BuiltIn, HostBinary, HostCurl, Image, Program

_HERE = "meshlab.minicluster.images"
_MESH = "meshlab.minicluster.mesh.istio"
_ADDONS = "meshlab.minicluster.addons"
_ISTIO_REGISTRIES = (
    "docker.io/istio",
    "registry.istio.io/release",
    "registry.istio.io/testing",
    "gcr.io/istio-release",
    "gcr.io/istio-testing",
)


def _istio(name: str) -> tuple[str, ...]:
    return tuple(f"{registry}/{name}" for registry in _ISTIO_REGISTRIES)


def _host(names: str) -> dict[str, Program]:
    return {name: HostBinary((name,)) for name in names.split()}


_SHELL: dict[str, Program] = {"sh": HostBinary(("dash", "ash", "sh")), "ash": HostBinary(("ash", "dash", "sh"))}
_COREUTILS = _host(
    "arch base32 base64 basename cat chgrp chmod chown cksum comm cp cut date dd df dirname du echo env expand expr "
    "factor false fold head hostid id install link ln ls md5sum mkdir mkfifo mknod mktemp mv nice nl nohup nproc od "
    "paste printenv printf pwd readlink realpath rm rmdir seq sha1sum sha256sum sha512sum shred shuf sleep sort split "
    "stat stty sum sync tac tail tee test timeout touch tr true truncate tsort tty uname unexpand uniq unlink wc "
    "whoami yes ["
)
_TEXT = _host("awk cmp diff egrep fgrep find grep sed tar gzip gunzip zcat xargs which")
_CLIENTS: dict[str, Program] = {
    "hostname": BuiltIn(f"{_HERE}.busybox.hostname:main"),
    "nc": BuiltIn(f"{_HERE}.busybox.nc:main"),
    "nslookup": BuiltIn(f"{_HERE}.busybox.nslookup:main"),
    "ping": BuiltIn(f"{_HERE}.busybox.refused:main"),
    "ping6": BuiltIn(f"{_HERE}.busybox.refused:main"),
    "telnet": BuiltIn(f"{_HERE}.busybox.telnet:main"),
    "traceroute": BuiltIn(f"{_HERE}.busybox.refused:main"),
    "wget": BuiltIn(f"{_HERE}.busybox.wget:main"),
}
BUSYBOX: dict[str, Program] = {
    **_COREUTILS,
    **_TEXT,
    **_SHELL,
    **_CLIENTS,
    "busybox": BuiltIn(f"{_HERE}.busybox.multicall:main"),
    "httpd": BuiltIn(f"{_HERE}.busybox.httpd:main"),
}
"""What Alpine and BusyBox images have on their PATH, as far as a host has it."""

_CURL = HostCurl(("curl",), fallback=BuiltIn(f"{_HERE}.curl.command:main"))
_DEBIAN: dict[str, Program] = {**_COREUTILS, **_TEXT, **_SHELL, "bash": HostBinary(("bash",)), "curl": _CURL}
_DEBIAN |= {"hostname": _CLIENTS["hostname"]}

_CLASSIC_HTTPBIN = BuiltIn(f"{_HERE}.httpbin.classic:main")
_CODE = "/opt/microservices"
_RATINGS = ("v1", "v2", "v-faulty", "v-delayed", "v-unavailable", "v-unhealthy")
_REVIEWS: tuple[tuple[str, dict[str, str]], ...] = (
    ("v1", {"ENABLE_RATINGS": "false"}),
    ("v2", {"ENABLE_RATINGS": "true", "STAR_COLOR": "black"}),
    ("v3", {"ENABLE_RATINGS": "true", "STAR_COLOR": "red"}),
)


def _bookinfo(name: str, program: str, command: str, environment: dict[str, str], directory: str = _CODE) -> Image:
    service = name.partition("-")[0]
    main = BuiltIn(f"{_HERE}.bookinfo.{service}:main")
    return Image(
        names=_istio(f"examples-bookinfo-{name}"),
        command=tuple(command.split()),
        programs={**_DEBIAN, program: main},
        environment=environment,
        working_dir=directory,
        directory=command.split(maxsplit=1)[0].rpartition("/")[0],
    )


BOOKINFO: tuple[Image, ...] = (
    _bookinfo("productpage-v1", "python", "python productpage.py 9080", {"FLOOD_FACTOR": "0"}),
    _bookinfo("productpage-v-flooding", "python", "python productpage.py 9080", {"FLOOD_FACTOR": "100"}),
    _bookinfo("details-v1", "ruby", "ruby details.rb 9080", {"SERVICE_VERSION": "v1"}),
    _bookinfo(
        "details-v2",
        "ruby",
        "ruby details.rb 9080",
        {"SERVICE_VERSION": "v2", "ENABLE_EXTERNAL_BOOK_SERVICE": "true"},
    ),
    *(
        _bookinfo(
            f"ratings-{version}",
            "node",
            "node /opt/microservices/ratings.js 9080",
            {"SERVICE_VERSION": version},
        )
        for version in _RATINGS
    ),
    *(
        _bookinfo(
            f"reviews-{version}",
            "server",
            "/opt/ibm/wlp/bin/server run defaultServer",
            {"SERVICE_VERSION": version, **environment},
            "/opt/ibm/wlp",
        )
        for version, environment in _REVIEWS
    ),
)
"""Bookinfo's services."""

DATABASES: tuple[Image, ...] = (
    Image(
        names=_istio("examples-bookinfo-mongodb"),
        command=("mongod",),
        programs={**_DEBIAN, "mongod": BuiltIn(f"{_HERE}.mongodb.server:main")},
    ),
    Image(
        names=_istio("examples-bookinfo-mysqldb"),
        entrypoint=("docker-entrypoint.sh",),
        command=("mysqld",),
        programs={
            **_DEBIAN,
            "docker-entrypoint.sh": BuiltIn(f"{_HERE}.mysql.server:entrypoint"),
            "mysqld": BuiltIn(f"{_HERE}.mysql.server:main"),
        },
    ),
)
"""Bookinfo's databases, filled as their images are."""

IMAGES: tuple[Image, ...] = (
    Image(
        names=("docker.io/curlimages/curl", "quay.io/curl/curl"),
        entrypoint=("/entrypoint.sh",),
        command=("curl",),
        programs={**BUSYBOX, "curl": _CURL, "entrypoint.sh": BuiltIn(f"{_HERE}.curl.entrypoint:main")},
        environment={"CURL_CA_BUNDLE": ""},
    ),
    Image(
        names=(
            "docker.io/library/busybox",
            "gcr.io/google-containers/busybox",
            "registry.k8s.io/busybox",
            "registry.k8s.io/e2e-test-images/busybox",
            "k8s.gcr.io/busybox",
        ),
        command=("sh",),
        programs=BUSYBOX,
    ),
    Image(
        names=("docker.io/library/nginx", "docker.io/nginxinc/nginx-unprivileged", "public.ecr.aws/nginx/nginx"),
        entrypoint=("/docker-entrypoint.sh",),
        command=("nginx", "-g", "daemon off;"),
        programs={
            **_DEBIAN,
            "docker-entrypoint.sh": BuiltIn(f"{_HERE}.nginx.entrypoint:main"),
            "nginx": BuiltIn(f"{_HERE}.nginx.server:main"),
        },
        environment={"NGINX_VERSION": "1.29.5", "PKG_RELEASE": "1~trixie"},
    ),
    Image(
        names=("docker.io/hashicorp/http-echo", "ghcr.io/hashicorp/http-echo"),
        entrypoint=("/http-echo",),
        programs={"http-echo": BuiltIn(f"{_HERE}.http_echo:main")},
        environment={"ECHO_TEXT": "hello-world"},
    ),
    *(
        Image(
            names=_istio(f"examples-helloworld-{version}"),
            command=("python3", "/opt/microservices/app.py"),
            programs={
                **_DEBIAN,
                "python3": BuiltIn(f"{_HERE}.helloworld:main"),
                "python": BuiltIn(f"{_HERE}.helloworld:main"),
            },
            environment={"SERVICE_VERSION": version},
            working_dir="/opt/microservices",
        )
        for version in ("v1", "v2")
    ),
    *BOOKINFO,
    *DATABASES,
    Image(
        names=_istio("tcp-echo-server"),
        entrypoint=("/bin/tcp-echo",),
        programs={**_DEBIAN, "tcp-echo": BuiltIn(f"{_HERE}.tcp_echo:main")},
    ),
    Image(
        names=("docker.io/fortio/fortio",),
        entrypoint=("/usr/bin/fortio",),
        command=("server",),
        programs={"fortio": BuiltIn(f"{_HERE}.fortio.command:main")},
    ),
    Image(
        names=("docker.io/mccutchen/go-httpbin", "ghcr.io/mccutchen/go-httpbin"),
        command=("/bin/go-httpbin",),
        programs={"go-httpbin": BuiltIn(f"{_HERE}.httpbin.server:main")},
    ),
    Image(
        names=("docker.io/kennethreitz/httpbin", "docker.io/kong/httpbin", "docker.io/citizenstig/httpbin"),
        command=("gunicorn", "-b", "0.0.0.0:80", "httpbin:app", "-k", "gevent"),
        programs={**_DEBIAN, "gunicorn": _CLASSIC_HTTPBIN, "pipenv": _CLASSIC_HTTPBIN},
    ),
    Image(
        names=("docker.io/tutum/curl", "docker.io/governmentpaas/curl-ssl", "docker.io/pstauffer/curl"),
        command=("sh",),
        programs=_DEBIAN,
    ),
    Image(
        names=_istio("ext-authz"),
        entrypoint=("/usr/local/bin/extauthz",),
        programs={**_DEBIAN, "extauthz": BuiltIn(f"{_HERE}.extauthz:main")},
    ),
    Image(
        names=_istio("health"),
        command=("/health",),
        programs={"health": BuiltIn(f"{_HERE}.health:main")},
    ),
    Image(
        names=_istio("jwt-server"),
        entrypoint=("/jwt-server",),
        programs={**_DEBIAN, "jwt-server": BuiltIn(f"{_HERE}.jwt_server:main")},
    ),
    Image(
        names=("docker.io/hiroakis/tornado-websocket-example",),
        command=("python", "/app.py"),
        programs={**_DEBIAN, "python": BuiltIn(f"{_HERE}.tornado:main")},
    ),
    Image(
        names=("docker.io/envoyproxy/ratelimit",),
        command=("/bin/ratelimit",),
        programs={**BUSYBOX, "ratelimit": BuiltIn(f"{_HERE}.ratelimit.server:main")},
    ),
    Image(
        names=("docker.io/library/redis",),
        entrypoint=("docker-entrypoint.sh",),
        command=("redis-server",),
        programs={
            **BUSYBOX,
            "docker-entrypoint.sh": BuiltIn(f"{_HERE}.redis.server:entrypoint"),
            "redis-server": BuiltIn(f"{_HERE}.redis.server:main"),
            "redis-cli": BuiltIn(f"{_HERE}.redis.cli:main"),
        },
        working_dir="/data",
    ),
    Image(
        names=_istio("pilot"),
        entrypoint=("/usr/local/bin/pilot-discovery",),
        programs={**_DEBIAN, "pilot-discovery": BuiltIn(f"{_MESH}.discovery:main")},
    ),
    Image(
        names=_istio("proxyv2"),
        entrypoint=("/usr/local/bin/pilot-agent",),
        programs={
            **_DEBIAN,
            "pilot-agent": BuiltIn(f"{_MESH}.agent:main"),
            "envoy": BuiltIn(f"{_HERE}.envoy:main"),
            "openssl": BuiltIn(f"{_HERE}.openssl:main"),
        },
        environment={"ISTIO_META_ISTIO_PROXY_SHA": "istio-proxy:meshlab", "ISTIO_META_ISTIO_VERSION": "1.31.0"},
        sidecar=True,
    ),
    Image(
        names=("quay.io/kiali/kiali", "docker.io/kiali/kiali"),
        entrypoint=("/opt/kiali/kiali",),
        directory="/opt/kiali",
        programs={**_DEBIAN, "kiali": BuiltIn(f"{_ADDONS}.kiali.server:main")},
    ),
)
