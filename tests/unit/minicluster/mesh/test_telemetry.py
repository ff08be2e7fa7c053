"""How one side of a connection is named, and written as one text."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh.telemetry import Peer


@pytest.mark.parametrize(
    ("labels", "service", "revision"),
    [
        ({}, "web-deployment", "latest"),
        ({"app": "web", "version": "v1"}, "web", "v1"),
        (
            {"app": "web", "app.kubernetes.io/name": "shop", "app.kubernetes.io/version": "2.0", "version": "v1"},
            "shop",
            "2.0",
        ),
        (
            {"service.istio.io/canonical-name": "own", "service.istio.io/canonical-revision": "r", "app": "a"},
            "own",
            "r",
        ),
    ],
)
def test_canonical_service_and_revision_by_upstreams_precedence(
    labels: dict[str, str], service: str, revision: str
) -> None:
    peer = Peer.of("web-deployment", "shop", labels)
    assert (peer.canonical_service, peer.canonical_revision) == (service, revision)
    assert (peer.app, peer.version) == (labels.get("app", "unknown"), labels.get("version", "unknown"))


def test_a_peer_survives_the_header() -> None:
    peer = Peer.of("web", "shop", {"app": "web", "version": "v1"})
    assert Peer.decode(peer.encode()) == peer


@pytest.mark.parametrize("text", ["", "-", "web", "a;b;c", ";".join("abcdefgh")])
def test_what_is_no_peer_is_nobody(text: str) -> None:
    assert Peer.decode(text) == Peer()
