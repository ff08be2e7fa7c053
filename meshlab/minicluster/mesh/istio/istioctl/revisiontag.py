"""What a revision tag is in the cluster: an injector that matches the tag's name and calls the revision's istiod.

The rules, texts and labels are upstream's (``istioctl/pkg/tag``). ``istioctl tag`` sets tags, and so does ``install``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.mesh.istio.inject_decision import DEFAULT_REVISION, REVISION
from meshlab.minicluster.mesh.istio.istioctl import cluster
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.manifests.webhooks import default_validator, injector_webhooks
from meshlab.minicluster.mesh.istio.pilot.revisions import TAG

INJECTORS = cluster.RESOURCES["MutatingWebhookConfiguration"]
NEVER: Obj = {"matchLabels": {"istio.io/deactivated": "never-match"}}
"""A selector that matches nothing: what an injector gets that another one replaces."""
_VALIDATORS = cluster.RESOURCES["ValidatingWebhookConfiguration"]
_OPERATOR = "operator.istio.io"


async def injectors(api: KubeApi) -> list[Obj]:
    """All injectors: the revisions' own, and the tags'."""
    return (await api.list(INJECTORS, label_selector=REVISION)).items


def label(obj: Obj, name: str) -> str:
    """A label's value; empty if it is not there."""
    value: str = (obj["metadata"].get("labels") or {}).get(name, "")
    return value


def canonical(hooks: Sequence[Obj], tag: str, revision: str, *, overwrite: bool, generate: bool) -> Obj:
    """The revision's own injector, which the tag's is made after.

    Raises:
        CommandError: there is not exactly one, or the tag's name is taken.
    """

    def own(name: str) -> list[Obj]:
        return [hook for hook in hooks if label(hook, REVISION) == name and not label(hook, TAG)]

    if not generate and not overwrite and own(tag) and tag != DEFAULT_REVISION:
        raise CommandError(f'cannot create revision tag "{tag}": found existing control plane revision with same name')
    found = own(revision)
    if not found:
        raise CommandError(f'cannot modify tag: cannot find MutatingWebhookConfiguration with revision "{revision}"')
    if len(found) > 1:
        raise CommandError(f'cannot modify tag: found multiple canonical webhooks with revision "{revision}"')
    if not overwrite and any(label(hook, TAG) == tag for hook in hooks):
        raise CommandError(f'revision tag "{tag}" already exists, and --overwrite is false')
    return found[0]


async def manifests(
    api: KubeApi,
    own: Obj,
    tag: str,
    namespace: str,
    *,
    name: str = "",
    every_namespace: bool = False,
    installed: Mapping[str, str] | None = None,
) -> list[Obj]:
    """The objects of a tag: its injector, and for ``default`` the validator of what names no revision.

    Args:
        api: the cluster, for what istiod has changed in the validator.
        own: the injector of the revision that the tag stands for.
        tag: the tag; ``default`` also takes namespaces with ``istio-injection=enabled``.
        namespace: where istiod runs.
        name: what to call the injector instead of ``istio-revision-tag-<tag>``.
        every_namespace: inject wherever nothing says no.
        installed: labels that an installation adds to what it owns; None for a tag that a person made, which is no
            part of the installation and loses the labels by which the installation prunes.

    Raises:
        CommandError: the revision's configuration has no injector.
    """
    labels = {
        key: value
        for key, value in {**(own["metadata"].get("labels") or {}), **(installed or {})}.items()
        if installed is not None or _OPERATOR not in key
    }
    objects = [_injector(own, tag, namespace, labels, name=name, every_namespace=every_namespace)]
    if tag == DEFAULT_REVISION:
        validator = await _validator(api, label(own, REVISION), namespace)
        validator["metadata"]["labels"] = {**labels, **validator["metadata"]["labels"]}
        objects.append(validator)
    return objects


def _injector(own: Obj, tag: str, namespace: str, labels: Obj, *, name: str, every_namespace: bool) -> Obj:
    entries = [hook for hook in own.get("webhooks") or [] if hook["name"].endswith("sidecar-injector.istio.io")]
    if not entries:
        raise CommandError(f'could not find sidecar-injector webhook in canonical webhook "{own["metadata"]["name"]}"')
    client = entries[0]["clientConfig"]
    webhooks = injector_webhooks(
        namespace,
        label(own, REVISION),
        tag=tag,
        every_namespace=every_namespace,
        reinvocation=entries[0].get("reinvocationPolicy", "Never"),
    )
    for hook in webhooks:
        service = hook["clientConfig"]["service"]
        service["path"] = (client.get("service") or {}).get("path", service["path"])
        if bundle := client.get("caBundle"):
            hook["clientConfig"]["caBundle"] = bundle
    suffix = "" if namespace == "istio-system" else f"-{namespace}"
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {
            "name": name or f"istio-revision-tag-{tag}{suffix}",
            "labels": {**labels, "app": "sidecar-injector", TAG: tag},
        },
        "webhooks": webhooks,
    }


async def _validator(api: KubeApi, revision: str, namespace: str) -> Obj:
    """The validator, moved to this revision; what istiod has closed stays closed."""
    validator = default_validator(namespace, revision)
    try:
        live = await api.get(_VALIDATORS, validator["metadata"]["name"])
    except StatusError as error:
        if error.code != 404:
            raise
        return validator
    policies = {hook["name"]: hook.get("failurePolicy") for hook in live.get("webhooks") or []}
    for hook in validator["webhooks"]:
        hook["failurePolicy"] = policies.get(hook["name"], hook["failurePolicy"])
    return validator


async def apply(api: KubeApi, hooks: Sequence[Obj], objects: Sequence[Obj], tag: str) -> None:
    """Set a tag; before it is ``default``, the injector that was installed as the default one is put to rest.

    Args:
        api: the cluster.
        hooks: all injectors that there are.
        objects: the tag's `manifests`.
        tag: the tag.

    Raises:
        StatusError: the cluster refuses.
    """
    for hook in hooks:
        resting = beside(hook, tag)
        if resting != hook:
            await api.update(INJECTORS, resting)
    await cluster.apply(api, objects)


def beside(hook: Obj, tag: str) -> Obj:
    """An injector as it has to be beside a tag's: the one that was installed as ``default`` makes way for that tag."""
    if tag != DEFAULT_REVISION or label(hook, REVISION) != DEFAULT_REVISION or label(hook, TAG):
        return hook
    asleep = [{**each, "namespaceSelector": NEVER, "objectSelector": NEVER} for each in hook["webhooks"]]
    return {**hook, "webhooks": asleep}
