from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.node import atomicwriter
from meshlab.minicluster.node.environment import Sources
from meshlab.minicluster.node.volumes import VolumeError, Volumes

CONFIG_MAPS: dict[str, Obj] = {
    "c": {"data": {"a": "1", "b": "2"}, "binaryData": {"z": base64.b64encode(b"\0").decode()}},
}
SECRETS: dict[str, Obj] = {"s": {"data": {"pw": base64.b64encode(b"x").decode()}}}


class Tokens:
    def __init__(self) -> None:
        self.issued: list[tuple[str, int]] = []

    async def issue(self, pod: Obj, audience: str, seconds: int) -> str:
        self.issued.append((audience, seconds))
        return f"token{len(self.issued)}"


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def volumes(tmp_path: Path, tokens: Tokens) -> Volumes:
    return Volumes(tmp_path, Sources(CONFIG_MAPS.get, SECRETS.get, {"cpu": "4"}), tokens.issue)


def pod(*volumes: Obj, **metadata: Any) -> Obj:
    return {
        "metadata": {"name": "p", "namespace": "ns", "labels": {"a": "b"}, **metadata},
        "spec": {"containers": [{"name": "c"}], "volumes": list(volumes)},
    }


def contents(directory: Path) -> dict[str, str]:
    return {
        str(file.relative_to(directory)): file.read_text()
        for file in directory.rglob("*")
        if file.is_file() and ".." not in str(file.relative_to(directory))
    }


async def test_config_map_with_items_and_modes(volumes: Volumes) -> None:
    source = {"name": "c", "defaultMode": 0o600, "items": [{"key": "a", "path": "deep/a.txt", "mode": 0o640}]}
    assert await volumes.set_up(pod({"name": "v", "configMap": source}))
    file = volumes.root / "v" / "deep" / "a.txt"
    assert file.read_text() == "1"
    assert file.stat().st_mode & 0o777 == 0o640
    assert not await volumes.set_up(pod({"name": "v", "configMap": source}))


async def test_everything_projected(volumes: Volumes, tokens: Tokens) -> None:
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "c", "items": [{"key": "b", "path": "b"}]}},
        {"secret": {"name": "s"}},
        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        {"configMap": {"name": "absent", "optional": True}},
    ]
    manifest = pod({"name": "v", "projected": {"sources": sources}})
    await volumes.set_up(manifest)
    await volumes.set_up(manifest)
    directory = volumes.root / "v"
    assert {name: (directory / name).read_text() for name in ("token", "b", "pw", "ns")} == {
        "token": "token1",
        "b": "2",
        "pw": "x",
        "ns": "ns",
    }
    assert tokens.issued == [("", 3607)]
    refresh = volumes.next_refresh_s()
    assert refresh is not None and 2800 < refresh <= 3607 * 0.8


@pytest.mark.parametrize(
    ("volume", "words", "permanent"),
    [
        ({"configMap": {"name": "no"}}, 'MountVolume.SetUp failed for volume "v" : configmap "no" not found', False),
        ({"secret": {"secretName": "no"}}, 'MountVolume.SetUp failed for volume "v" : secret "no" not found', False),
        ({"hostPath": {"path": "/etc"}}, "hostPath '/etc' is refused", True),
        ({"persistentVolumeClaim": {"claimName": "x"}}, "persistentVolumeClaim is not supported", True),
        ({"nfs": {}}, "volumes of type nfs are not supported", True),
        (
            {"configMap": {"name": "c", "items": [{"key": "q", "path": "q"}]}},
            "references non-existent config key: q",
            False,
        ),
    ],
)
async def test_refusals(volumes: Volumes, volume: Obj, words: str, permanent: bool) -> None:
    with pytest.raises(VolumeError) as caught:
        await volumes.set_up(pod({"name": "v", **volume}))
    assert words in str(caught.value)
    assert caught.value.permanent is permanent


async def test_mounts(volumes: Volumes) -> None:
    manifest = pod({"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}})
    await volumes.set_up(manifest)
    container = {
        "name": "c",
        "volumeMounts": [
            {"name": "c", "mountPath": "/data/conf/", "subPathExpr": "$(KEY)"},
            {"name": "e", "mountPath": "/data", "subPath": "made/here"},
            {"name": "e", "mountPath": "/ro", "readOnly": True},
        ],
    }
    found = volumes.mounts(manifest, container, {"KEY": "a"})
    assert [(mount.target, mount.read_only) for mount in found] == [
        ("/data", False),
        ("/ro", True),
        ("/data/conf", True),
    ]
    assert found[0].source == volumes.root / "e" / "made" / "here" and found[0].source.is_dir()
    assert found[2].source.read_text() == "1"


@pytest.mark.parametrize("sub_path", ["../../x", "link/x"])
async def test_a_sub_path_cannot_leave_its_volume(volumes: Volumes, sub_path: str) -> None:
    manifest = pod({"name": "e", "emptyDir": {}})
    await volumes.set_up(manifest)
    (volumes.root / "e" / "link").symlink_to("/etc")
    container = {"name": "c", "volumeMounts": [{"name": "e", "mountPath": "/d", "subPath": sub_path}]}
    with pytest.raises(VolumeError, match='failed to prepare subPath for volumeMount "e" of container "c"'):
        volumes.mounts(manifest, container, {})


def test_atomic_change_drops_what_is_gone(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    assert atomicwriter.write(volume, {"a": (b"1", 0o644), "d/b": (b"2", 0o644)})
    before = (volume / "..data").resolve()
    opened = (volume / "a").open()
    assert atomicwriter.write(volume, {"d/b": (b"3", 0o644), "d/c": (b"4", 0o644)})
    assert sorted(entry.name for entry in volume.iterdir() if not entry.name.startswith("..")) == ["d"]
    assert ((volume / "d/b").read_text(), (volume / "d/c").read_text()) == ("3", "4")
    assert not before.exists() and opened.read() == "1"
    opened.close()
    assert not atomicwriter.write(volume, {"d/b": (b"3", 0o644), "d/c": (b"4", 0o644)})
