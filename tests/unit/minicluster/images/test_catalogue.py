from __future__ import annotations

import importlib
import importlib.util

import pytest

from meshlab.minicluster.images.catalogue import BuiltIn, image_name_for_people, known_images, lookup
from meshlab.minicluster.images.references import InvalidReference, parse_reference
from meshlab.minicluster.images.rows import IMAGES

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("nginx", "docker.io/library/nginx", "", ""),
        ("nginx:1.29", "docker.io/library/nginx", "1.29", ""),
        ("library/nginx", "docker.io/library/nginx", "", ""),
        ("docker.io/nginx", "docker.io/library/nginx", "", ""),
        ("index.docker.io/library/nginx:x", "docker.io/library/nginx", "x", ""),
        ("curlimages/curl:8.17.0", "docker.io/curlimages/curl", "8.17.0", ""),
        ("localhost/x", "localhost/x", "", ""),
        ("localhost:5000/x/y:z", "localhost:5000/x/y", "z", ""),
        (f"ghcr.io/a/b:1@{DIGEST}", "ghcr.io/a/b", "1", DIGEST),
        (f"busybox@{DIGEST}", "docker.io/library/busybox", "", DIGEST),
    ],
)
def test_references_get_dockers_defaults(text: str, repository: str, tag: str, digest: str) -> None:
    reference = parse_reference(text)
    assert (reference.repository, reference.tag, reference.digest) == (repository, tag, digest)
    assert parse_reference(str(reference)).repository == repository


@pytest.mark.parametrize(
    "text", ["", ":", "Nginx", "a//b", "nginx:", "nginx:a b", "a/b@sha256:1", "x" * 3 + "/-y", " nginx"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        parse_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "curlimages/curl",
        "busybox:1.37",
        "nginx:1.29-alpine",
        "hashicorp/http-echo:0.2.3",
        "docker.io/istio/examples-helloworld-v1:1.0",
        "registry.istio.io/release/examples-helloworld-v2:1.0",
        "docker.io/mccutchen/go-httpbin:v2.15.0",
        "ghcr.io/mccutchen/go-httpbin",
        "docker.io/istio/pilot:1.31.0",
        "gcr.io/istio-release/proxyv2:1.31.0",
    ],
)
def test_the_courses_images_are_known(text: str) -> None:
    assert lookup(text) is not None


def test_unknown_images_are_none_and_the_known_ones_have_names_for_people() -> None:
    assert lookup("nginxx") is None
    assert lookup("auto") is None
    assert "nginx" in known_images()
    assert "hashicorp/http-echo" in known_images()
    assert image_name_for_people("docker.io/library/nginx:1.29") == "nginx:1.29"


def test_only_the_proxy_is_a_sidecar() -> None:
    assert [image.names[0] for image in IMAGES if image.sidecar] == ["docker.io/istio/proxyv2"]


def test_no_two_images_share_a_name() -> None:
    names = [name for image in IMAGES for name in image.names]
    assert len(names) == len(set(names))
    assert all(parse_reference(name).repository == name for name in names)


@pytest.mark.parametrize(
    "target",
    sorted({program.target for image in IMAGES for program in image.programs.values() if isinstance(program, BuiltIn)}),
)
def test_every_built_in_exists(target: str) -> None:
    module, _, function = target.partition(":")
    if "images" in module:
        assert callable(getattr(importlib.import_module(module), function))
    else:
        assert importlib.util.find_spec(module) is not None
