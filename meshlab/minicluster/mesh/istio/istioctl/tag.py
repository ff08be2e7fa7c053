"""``istioctl tag``: names that stand for a revision of the control plane, and can be moved to the next one."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

import yaml

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.mesh.istio.analysis import report, webhook
from meshlab.minicluster.mesh.istio.analysis.model import Resource, Snapshot
from meshlab.minicluster.mesh.istio.inject_decision import REVISION
from meshlab.minicluster.mesh.istio.istioctl import cluster, revisiontag
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.install import confirm
from meshlab.minicluster.mesh.istio.istioctl.session import Session, connect
from meshlab.minicluster.mesh.istio.istioctl.table import columns
from meshlab.minicluster.mesh.istio.pilot.revisions import TAG

INJECTOR = "MutatingWebhookConfiguration"
ALIASES = {"show": "list", "delete": "remove", "create": "set"}
SUMMARY = "Command group used to interact with revision tags"
_HELP = f"""{SUMMARY}: aliases of control plane revisions for sidecar injection.

  istioctl tag set TAG --revision REVISION [--overwrite]
  istioctl tag generate TAG --revision REVISION
  istioctl tag list [-o table|json|yaml]
  istioctl tag remove TAG [-y]"""


async def run(argv: Sequence[str]) -> int:
    """Run ``tag <subcommand>``."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_HELP)
        return 0
    name, rest = ALIASES.get(argv[0], argv[0]), argv[1:]
    if name not in ("set", "generate", "list", "remove"):
        raise CommandError(f'unknown subcommand "{argv[0]}"', hint=_HELP, exit_code=EXIT_USAGE)
    parser = CommandParser(f"tag {name}", SUMMARY)
    parser.add_argument("words", nargs="*", metavar="TAG")
    if name == "list":
        parser.add_argument("-o", "--output", default="table", help="table, json or yaml")
    else:
        parser.add_boolean("-y", "--skip-confirmation", help="do not ask")
    if name in ("set", "generate"):
        parser.add_argument("-r", "--revision", default="", help="the revision that the tag stands for")
        parser.add_argument("-d", "--manifests", default="", help="accepted; the manifests are built in")
        parser.add_argument("--webhook-name", default="", help="name of the webhook configuration")
        parser.add_boolean("--overwrite", help="move a tag that is there already")
        parser.add_boolean("--auto-inject-namespaces", help="inject into every namespace that does not say no")
    arguments = parser.parse(rest)
    _check_words(name, arguments)
    async with connect(arguments) as session:
        if name == "list":
            print(await _list(session.api, arguments.output), end="")
            return 0
        if name == "remove":
            return await _remove(session.api, arguments.words[0], skip_confirmation=arguments.skip_confirmation)
        return await _set(session, arguments, generate=name == "generate")


def _check_words(name: str, arguments: argparse.Namespace) -> None:
    words = arguments.words
    problem = ""
    if name == "list":
        problem = "tag list command does not accept arguments" if words else ""
        if arguments.output not in ("table", "json", "yaml"):
            problem = problem or f"unknown format: {arguments.output}"
    elif name == "remove" and len(words) != 1:
        problem = "must provide a single tag for removal" if words else "must provide a tag for removal"
    elif len(words) != 1:
        problem = "must provide a single tag for creation" if words else "must provide a tag for modification"
    elif name != "remove" and not arguments.revision:
        problem = 'required flag(s) "revision" not set'
    if problem:
        raise CommandError(problem, exit_code=EXIT_USAGE)


async def _set(session: Session, arguments: argparse.Namespace, *, generate: bool) -> int:
    api, tag, revision = session.api, arguments.words[0], arguments.revision
    hooks = await revisiontag.injectors(api)
    own = revisiontag.canonical(hooks, tag, revision, overwrite=arguments.overwrite, generate=generate)
    objects = await revisiontag.manifests(
        api,
        own,
        tag,
        session.istio_namespace,
        name=arguments.webhook_name,
        every_namespace=arguments.auto_inject_namespaces,
    )
    listed, services = await asyncio.gather(api.list(revisiontag.INJECTORS), api.list("services"))
    beside = listed.items if generate else [revisiontag.beside(hook, tag) for hook in listed.items]
    warning = conflicts(beside, services.items, [obj for obj in objects if obj["kind"] == INJECTOR])
    if warning and not arguments.skip_confirmation:
        print(warning, file=sys.stderr)
        if not generate and not confirm("Apply anyways? [y/N]"):
            return 0
    if generate:
        print(yaml.safe_dump_all(objects, sort_keys=False), end="")
        return 0
    try:
        await revisiontag.apply(api, hooks, objects, tag)
    except StatusError as error:
        raise CommandError(
            f"failed to apply tag webhook MutatingWebhookConfiguration to cluster: {error.message}"
        ) from error
    print(
        f'Revision tag "{tag}" created, referencing control plane revision "{revision}". '
        "To enable injection using this\n"
        f"revision tag, use 'kubectl label namespace <NAMESPACE> istio.io/rev={tag}'"
    )
    return 0


def conflicts(hooks: Sequence[Obj], services: Sequence[Obj], injectors: Sequence[Obj]) -> str:
    """What speaks against a tag's injectors: others that take the same pods, a control plane that is not there.

    Args:
        hooks: the configurations that are there, as they will be beside the tag's.
        services: all services.
        injectors: the tag's configurations.

    Returns:
        Upstream's words, or an empty text.
    """
    names = {item["metadata"]["name"] for item in injectors}
    others = [hook for hook in hooks if hook["metadata"]["name"] not in names]
    resources = [Resource({"apiVersion": "v1", **item, "kind": "Service"}) for item in services]
    resources += [
        Resource({"apiVersion": "admissionregistration.k8s.io/v1", **item, "kind": INJECTOR})
        for item in (*others, *injectors)
    ]
    found = {report.line(item) for item in webhook.analyze(Snapshot(resources)) if item.resource.name in names}
    if not found:
        return ""
    return "\n".join(["creating tag would conflict, pass --skip-confirmation to proceed:", *sorted(found)])


async def _list(api: KubeApi, output: str) -> str:
    hooks = await revisiontag.injectors(api)
    if not hooks:
        return "No Istio revision tag MutatingWebhookConfigurations to list\n"
    pairs = {(revisiontag.label(hook, REVISION), revisiontag.label(hook, TAG)) for hook in hooks}
    tagged = {revision for revision, tag in pairs if tag}
    tags: list[dict[str, Any]] = [
        {"tag": tag, "revision": revision, "namespaces": await _namespaces(api, tag) if tag else []}
        for revision, tag in sorted(pairs)
        if tag or revision not in tagged
    ]
    if output == "json":
        return json.dumps(tags, indent="\t") + "\n"
    if output == "yaml":
        return yaml.safe_dump(tags, sort_keys=True) + "\n"
    rows = [[each["tag"], each["revision"], ",".join(each["namespaces"])] for each in tags]
    return columns([["TAG", "REVISION", "NAMESPACES"], *rows], padding=1)


async def _remove(api: KubeApi, tag: str, *, skip_confirmation: bool) -> int:
    hooks = (await api.list(revisiontag.INJECTORS, label_selector=f"{TAG}={tag}")).items
    if not hooks:
        raise CommandError(f'cannot remove tag "{tag}": cannot find MutatingWebhookConfiguration for tag')
    namespaces = await _namespaces(api, tag)
    if namespaces and not skip_confirmation:
        caution = f'Caution, found {len(namespaces)} namespace(s) still injected by tag "{tag}":'
        if not confirm(" ".join([caution, *namespaces]) + "\nProceed with operation? [y/N]"):
            print("Aborting operation.")
            return 0
    await cluster.delete(api, [{**hook, "kind": "MutatingWebhookConfiguration"} for hook in hooks])
    print(f"Revision tag {tag} removed")
    return 0


async def _namespaces(api: KubeApi, tag: str) -> list[str]:
    found = (await api.list("namespaces", label_selector=f"{REVISION}={tag}")).items
    return [namespace["metadata"]["name"] for namespace in found]
