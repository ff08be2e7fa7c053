"""``istioctl tag``: names that stand for a revision of the control plane, and can be moved to the next one.

A tag is an injector of its own: a webhook configuration that matches namespaces and pods with ``istio.io/rev=<tag>``
and calls the revision's istiod. The rules, texts and labels are upstream's (``istioctl/pkg/tag``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import yaml

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.mesh.istio.inject_decision import DEFAULT_REVISION, REVISION
from meshlab.minicluster.mesh.istio.istioctl import cluster
from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.istioctl.install import confirm
from meshlab.minicluster.mesh.istio.istioctl.session import Session, connect
from meshlab.minicluster.mesh.istio.istioctl.table import columns
from meshlab.minicluster.mesh.istio.manifests.webhooks import default_validator, injector_webhooks
from meshlab.minicluster.mesh.istio.pilot.revisions import TAG

NEVER: Obj = {"matchLabels": {"istio.io/deactivated": "never-match"}}
"""A selector that matches nothing: what upstream gives an injector that another one replaces."""
INJECTORS = cluster.RESOURCES["MutatingWebhookConfiguration"]
VALIDATORS = cluster.RESOURCES["ValidatingWebhookConfiguration"]
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
        return await _set(session, arguments, apply=name == "set")


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


async def _set(session: Session, arguments: argparse.Namespace, *, apply: bool) -> int:
    api, tag, revision = session.api, arguments.words[0], arguments.revision
    hooks = (await api.list(INJECTORS, label_selector=REVISION)).items
    canonical = _canonical(hooks, tag, revision, overwrite=arguments.overwrite, apply=apply)
    objects = [
        tag_webhooks(
            canonical,
            tag,
            session.istio_namespace,
            name=arguments.webhook_name,
            every_namespace=arguments.auto_inject_namespaces,
        )
    ]
    if tag == DEFAULT_REVISION:
        objects.append(await _validator(api, revision, session.istio_namespace))
    if not apply:
        print(yaml.safe_dump_all(objects, sort_keys=False), end="")
        return 0
    if tag == DEFAULT_REVISION:
        await _deactivate(api, hooks)
    try:
        await cluster.apply(api, objects)
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


def _canonical(hooks: Sequence[Obj], tag: str, revision: str, *, overwrite: bool, apply: bool) -> Obj:
    """The revision's own injector, which the tag's is made after.

    Raises:
        CommandError: there is not exactly one, or the tag's name is taken.
    """

    def own(name: str) -> list[Obj]:
        return [hook for hook in hooks if _label(hook, REVISION) == name and not _label(hook, TAG)]

    if apply and not overwrite and own(tag) and tag != DEFAULT_REVISION:
        raise CommandError(f'cannot create revision tag "{tag}": found existing control plane revision with same name')
    found = own(revision)
    if not found:
        raise CommandError(f'cannot modify tag: cannot find MutatingWebhookConfiguration with revision "{revision}"')
    if len(found) > 1:
        raise CommandError(f'cannot modify tag: found multiple canonical webhooks with revision "{revision}"')
    if not overwrite and any(_label(hook, TAG) == tag for hook in hooks):
        raise CommandError(f'revision tag "{tag}" already exists, and --overwrite is false')
    return found[0]


def tag_webhooks(canonical: Obj, tag: str, namespace: str, *, name: str = "", every_namespace: bool = False) -> Obj:
    """The webhook configuration of a tag.

    Args:
        canonical: the injector of the revision that the tag stands for.
        tag: the tag; ``default`` also takes namespaces with ``istio-injection=enabled``.
        namespace: where istiod runs.
        name: what to call it instead of ``istio-revision-tag-<tag>``.
        every_namespace: inject wherever nothing says no.

    Raises:
        CommandError: the revision's configuration has no injector.
    """
    first = next(
        (hook for hook in canonical.get("webhooks") or [] if hook["name"].endswith("sidecar-injector.istio.io")), None
    )
    if first is None:
        found = canonical["metadata"]["name"]
        raise CommandError(f'could not find sidecar-injector webhook in canonical webhook "{found}"')
    labels = canonical["metadata"].get("labels") or {}
    webhooks = injector_webhooks(
        namespace,
        labels[REVISION],
        tag=tag,
        every_namespace=every_namespace,
        reinvocation=first.get("reinvocationPolicy", "Never"),
    )
    for hook in webhooks:
        client = hook["clientConfig"]
        client["service"]["path"] = (first["clientConfig"].get("service") or {}).get("path", client["service"]["path"])
        if bundle := first["clientConfig"].get("caBundle"):
            client["caBundle"] = bundle
    suffix = "" if namespace == "istio-system" else f"-{namespace}"
    # A tag that a person made is no part of the installation: without its labels no install prunes it.
    kept = {key: value for key, value in labels.items() if "operator.istio.io" not in key}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {
            "name": name or f"istio-revision-tag-{tag}{suffix}",
            "labels": {**kept, "app": "sidecar-injector", TAG: tag},
        },
        "webhooks": webhooks,
    }


async def _validator(api: KubeApi, revision: str, namespace: str) -> Obj:
    """The validator of what names no revision, moved to this one; what istiod has closed stays closed."""
    validator = default_validator(namespace, revision)
    try:
        live = await api.get(VALIDATORS, validator["metadata"]["name"])
    except StatusError as error:
        if error.code != 404:
            raise
        return validator
    policies = {hook["name"]: hook.get("failurePolicy") for hook in live.get("webhooks") or []}
    for hook in validator["webhooks"]:
        hook["failurePolicy"] = policies.get(hook["name"], hook["failurePolicy"])
    return validator


async def _deactivate(api: KubeApi, hooks: Sequence[Obj]) -> None:
    """Let the injector that was installed as the default one match nothing any more."""
    for hook in hooks:
        if _label(hook, REVISION) != DEFAULT_REVISION or _label(hook, TAG):
            continue
        selectors = {"namespaceSelector": NEVER, "objectSelector": NEVER}
        await api.update(INJECTORS, {**hook, "webhooks": [{**each, **selectors} for each in hook["webhooks"]]})


async def _list(api: KubeApi, output: str) -> str:
    hooks = (await api.list(INJECTORS, label_selector=REVISION)).items
    if not hooks:
        return "No Istio revision tag MutatingWebhookConfigurations to list\n"
    pairs = {(_label(hook, REVISION), _label(hook, TAG)) for hook in hooks}
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
    hooks = (await api.list(INJECTORS, label_selector=f"{TAG}={tag}")).items
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


def _label(obj: Obj, name: str) -> str:
    value: str = (obj["metadata"].get("labels") or {}).get(name, "")
    return value
