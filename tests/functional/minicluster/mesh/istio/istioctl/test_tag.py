"""Revision tags: another name for a revision, which moves to the next one."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import yaml

from meshlab.minicluster.kubeapi import Obj
from tests.functional.minicluster.mesh.istio.istioctl.conftest import HOOKS

VALIDATORS = "validatingwebhookconfigurations.admissionregistration.k8s.io"


@pytest.fixture
async def revisions(lab: Any) -> Any:
    """A lab with two revisions, the unnamed one and `next`."""
    for arguments in ([], ["--revision", "next"]):
        code, out, err = await lab.istioctl("install", "--set", "profile=minimal", *arguments, "-y")
        assert code == 0, out + err
    return lab


def matched(hook: Obj) -> list[list[str]]:
    return [
        expression["values"]
        for selector in ("namespaceSelector", "objectSelector")
        for expression in hook[selector]["matchExpressions"]
        if expression["key"] == "istio.io/rev" and expression["operator"] == "In"
    ]


async def test_a_tag_is_set_moved_listed_and_removed(revisions: Any) -> None:
    lab = revisions
    code, out, err = await lab.istioctl("tag", "set", "prod", "--revision", "default")
    assert (code, err) == (0, "")
    assert out == (
        'Revision tag "prod" created, referencing control plane revision "default". To enable injection using this\n'
        "revision tag, use 'kubectl label namespace <NAMESPACE> istio.io/rev=prod'\n"
    )
    code, _, err = await lab.istioctl("tag", "set", "prod", "-r", "next")
    assert (code, err) == (1, 'Error: revision tag "prod" already exists, and --overwrite is false\n')
    code, _, _ = await lab.istioctl("tag", "set", "prod", "-r", "next", "--overwrite")
    assert code == 0
    hook = await lab.api.get(HOOKS, "istio-revision-tag-prod")
    labels = hook["metadata"]["labels"]
    assert (labels["istio.io/rev"], labels["istio.io/tag"], labels["app"]) == ("next", "prod", "sidecar-injector")
    assert not [label for label in labels if "operator.istio.io" in label]
    assert [each["name"].split(".sidecar")[0] for each in hook["webhooks"]] == ["rev.namespace", "rev.object"]
    assert [matched(each) for each in hook["webhooks"]] == [[["prod"]], [["prod"]]]
    assert {each["clientConfig"]["service"]["name"] for each in hook["webhooks"]} == {"istiod-next"}
    assert {each["clientConfig"]["caBundle"] for each in hook["webhooks"]} == {"Y2E="}

    namespace = {"metadata": {"name": "shop", "labels": {"istio.io/rev": "prod"}}}
    await lab.api.create("namespaces", namespace)
    code, out, _ = await lab.istioctl("tag", "list")
    assert out.splitlines() == ["TAG     REVISION NAMESPACES", "default default  ", "prod    next     shop"]
    code, out, _ = await lab.istioctl("tag", "list", "-o", "json")
    assert json.loads(out)[1] == {"tag": "prod", "revision": "next", "namespaces": ["shop"]}

    code, out, _ = await lab.istioctl("tag", "remove", "prod", "-y")
    assert (code, out) == (0, "Revision tag prod removed\n")
    code, _, err = await lab.istioctl("tag", "remove", "prod", "-y")
    assert err == 'Error: cannot remove tag "prod": cannot find MutatingWebhookConfiguration for tag\n'


async def test_the_tag_default_takes_over_what_named_no_revision(revisions: Any) -> None:
    lab = revisions
    code, out, err = await lab.istioctl("tag", "set", "default", "--revision", "next", "--overwrite")
    assert code == 0, out + err
    hook = await lab.api.get(HOOKS, "istio-revision-tag-default")
    names = [each["name"].split(".sidecar")[0] for each in hook["webhooks"]]
    assert names == ["rev.namespace", "rev.object", "namespace", "object"]
    before = await lab.api.get(HOOKS, "istio-sidecar-injector")
    assert {
        json.dumps(each[selector])
        for each in before["webhooks"]
        for selector in ("namespaceSelector", "objectSelector")
    } == {'{"matchLabels": {"istio.io/deactivated": "never-match"}}'}
    validator = await lab.api.get(VALIDATORS, "istiod-default-validator")
    assert validator["webhooks"][0]["clientConfig"]["service"]["name"] == "istiod-next"


async def test_the_first_installation_is_the_default_one(lab: Any) -> None:
    for revision in ("old", "new"):
        code, out, err = await lab.istioctl("install", "--set", "profile=minimal", "--revision", revision, "-y")
        assert code == 0, out + err
    code, out, _ = await lab.istioctl("tag", "list")
    assert out.splitlines() == ["TAG     REVISION NAMESPACES", "        new      ", "default old      "]
    # Installing it again leaves its tag in place; removing it takes it along.
    before = (await lab.api.get(HOOKS, "istio-revision-tag-default"))["metadata"]["uid"]
    assert (await lab.istioctl("install", "--set", "profile=minimal", "--revision", "old", "-y"))[0] == 0
    assert (await lab.api.get(HOOKS, "istio-revision-tag-default"))["metadata"]["uid"] == before
    assert (await lab.istioctl("uninstall", "--revision", "old", "-y"))[0] == 0
    names = {hook["metadata"]["name"] for hook in (await lab.api.list(HOOKS)).items}
    assert names == {"istio-sidecar-injector-new"}


@pytest.mark.full
async def test_generate_prints_what_set_would_apply(revisions: Any) -> None:
    code, out, err = await revisions.istioctl("tag", "generate", "prod", "--revision", "next")
    assert (code, err) == (0, "")
    [hook] = yaml.safe_load_all(out)
    assert hook["metadata"]["name"] == "istio-revision-tag-prod"
    assert "No resources" not in out
    code, out, _ = await revisions.istioctl("tag", "list")
    assert "prod" not in out


REFUSED: list[tuple[list[str], int, str]] = [
    (["set"], 64, "must provide a tag for modification"),
    (["set", "a", "b", "--revision", "next"], 64, "must provide a single tag for creation"),
    (["set", "prod"], 64, 'required flag(s) "revision" not set'),
    (["set", "prod", "-r", "gone"], 1, 'cannot find MutatingWebhookConfiguration with revision "gone"'),
    (["set", "next", "-r", "default"], 1, 'cannot create revision tag "next": found existing control plane'),
    (["remove"], 64, "must provide a tag for removal"),
    (["list", "-o", "xml"], 64, "unknown format: xml"),
    (["rename"], 64, 'unknown subcommand "rename"'),
]


async def test_what_cannot_be_done_is_said(revisions: Any) -> None:
    for arguments, code, words in REFUSED:
        found, _, err = await revisions.istioctl("tag", *arguments)
        assert found == code, arguments
        assert words in err, arguments


async def test_a_tag_that_would_inject_twice_is_asked_about(revisions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = revisions
    assert (await lab.istioctl("tag", "set", "prod", "-r", "next"))[0] == 0
    arguments = ["tag", "set", "prod", "-r", "next", "--overwrite", "--webhook-name", "again"]
    for answer, made in (("n\n", False), ("y\n", True)):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        code, out, err = await lab.istioctl(*arguments)
        assert code == 0
        assert "creating tag would conflict, pass --skip-confirmation to proceed:\nError [IST0139]" in err
        assert out.startswith("Apply anyways? [y/N]")
        assert ("created" in out) is made
    code, out, err = await lab.istioctl(*arguments, "-y")
    assert (code, err) == (0, "")
