"""``istioctl install``: render, apply component after component, wait, prune what is no longer rendered."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.mesh.istio.inject_decision import DEFAULT_REVISION
from meshlab.minicluster.mesh.istio.istioctl import VERSION, cluster, revisiontag
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser, duration
from meshlab.minicluster.mesh.istio.istioctl.session import connect
from meshlab.minicluster.mesh.istio.manifests.options import OptionsError, Spec, resolve
from meshlab.minicluster.mesh.istio.manifests.render import OWNER_LABEL, Component, not_applied, render
from meshlab.minicluster.mesh.istio.pilot.revisions import TAG

TITLES = {
    "Base": ("Istio core", "⛵️"),
    "Pilot": ("Istiod", "🧠"),
    "EgressGateways": ("Egress gateways", "🛫"),
    "IngressGateways": ("Ingress gateways", "🛬"),
}
"""What the ✔ lines call the components."""


NOT_PRUNED = "install.operator.istio.io/owning-resource-not-pruned"
"""The label of what an installation owns and yet leaves alone when it no longer renders it."""


def add_spec_flags(parser: CommandParser) -> None:
    """The flags that describe an installation, shared with ``manifest generate``."""
    parser.add_argument("-s", "--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("-f", "--filename", action="append", default=[], dest="files", metavar="FILE")
    parser.add_argument("-r", "--revision", default="", help="revision of the control plane")
    parser.add_argument("-d", "--manifests", default="", help="not available: the manifests are built in")
    parser.add_boolean("--force", help="go on after validation errors")


def read_spec(settings: Sequence[str], paths: Sequence[str], revision: str, manifests: str = "") -> Spec:
    """The installation that the flags describe.

    Raises:
        CommandError: a file cannot be read, or the options make no installation.
    """
    if manifests:
        raise CommandError(
            "the lab's istioctl has its manifests built in and reads no charts",
            hint="leave --manifests out; --set and -f change the built-in manifests.",
        )
    overlays: list[Obj] = []
    for path in paths:
        try:
            text = sys.stdin.read() if path == "-" else Path(path).read_text()
            overlays += [document for document in yaml.safe_load_all(text) if document is not None]
        except OSError as error:
            raise CommandError(f"could not read {path}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} is not YAML: {error}") from error
    try:
        spec = resolve(settings, overlays, revision=revision)
    except OptionsError as error:
        raise CommandError(str(error)) from error
    for path in not_applied(spec):
        print(
            f"! {path} is not applied in this lab; patch the installed object instead (kubectl patch)", file=sys.stderr
        )
    return spec


async def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("install", "Install or reconfigure Istio in the lab.")
    add_spec_flags(parser)
    parser.add_boolean("-y", "--skip-confirmation", help="do not ask")
    parser.add_boolean("--dry-run", help="say what would be done")
    parser.add_boolean("--verify", help="accepted; readiness is always awaited")
    parser.add_argument("--readiness-timeout", type=duration, default=300.0, metavar="DURATION")
    arguments = parser.parse(argv)
    spec = read_spec(arguments.settings, arguments.files, arguments.revision, arguments.manifests)
    try:
        components = render(spec, version=VERSION)
    except OptionsError as error:
        raise CommandError(str(error)) from error
    async with connect(arguments) as session:
        if not arguments.skip_confirmation and not arguments.dry_run:
            question = (
                f'This will install the Istio {VERSION} profile "{spec.profile}" into the cluster. Proceed? (y/N) '
            )
            if not confirm(question):
                print("Cancelled.")
                return 1
        if arguments.dry_run:
            for component in components:
                for obj in component.objects:
                    print(f"would apply {obj['kind']}/{'/'.join(key for key in cluster.identity(obj)[1:] if key)}")
            return 0
        await Installer(session.api, spec, arguments.readiness_timeout).install(components)
    return 0


def confirm(question: str) -> bool:
    """Ask on the terminal; anything but yes means no."""
    print(question, end="", flush=True)
    answer = sys.stdin.readline().strip().lower()
    return answer in ("y", "yes")


class Installer:
    """One run of an installation: the components in upstream's order of dependence."""

    def __init__(self, api: KubeApi, spec: Spec, timeout_s: float) -> None:
        self._api = api
        self._spec = spec
        self._timeout_s = timeout_s

    async def install(self, components: Sequence[Component]) -> None:
        """Apply and wait: Base, then Pilot, then the gateways side by side; then prune.

        Raises:
            CommandError: a component could not be applied or is not ready in time.
        """
        by_name = {component.name: component for component in components}
        try:
            await cluster.ensure_namespace(self._api, self._spec.namespace)
        except StatusError as error:
            raise CommandError(f"could not create namespace {self._spec.namespace}: {error.message}") from error
        await self._component(by_name["Base"])
        await self._component(by_name["Pilot"])
        outcomes = await asyncio.gather(
            self._component(by_name["EgressGateways"]),
            self._component(by_name["IngressGateways"]),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        await self.prune(components)
        await self._make_default()
        print("✔ Installation complete")

    async def prune(self, components: Sequence[Component]) -> None:
        """Delete what an earlier install of this revision and name rendered and this one did not; CRDs stay."""
        wanted = {cluster.identity(obj) for component in components for obj in component.objects}
        old = [
            obj
            for obj in await cluster.installed(self._api, self._spec.revision)
            if revisiontag.label(obj, OWNER_LABEL) == self._spec.owner
        ]
        gone = [obj for obj in old if cluster.identity(obj) not in wanted and not revisiontag.label(obj, NOT_PRUNED)]
        await cluster.delete(self._api, gone, lambda obj: print(f"- Pruned {obj['kind']}/{obj['metadata']['name']}"))

    async def _make_default(self) -> None:
        """Set the tag ``default``, which ``istio-injection=enabled`` means, if that is for this installation to do.

        It is for the default revision, and for any where nothing has the tag yet.
        """
        values = self._spec.spec["values"]
        if not values["defaultRevision"] or values["global"].get("operatorManageWebhooks"):
            return
        hooks = await revisiontag.injectors(self._api)
        if self._spec.revision != DEFAULT_REVISION and any(
            revisiontag.label(hook, TAG) == DEFAULT_REVISION for hook in hooks
        ):
            return
        try:
            own = revisiontag.canonical(hooks, DEFAULT_REVISION, self._spec.revision, overwrite=True, generate=False)
        except CommandError:
            return  # an installation without an injector
        objects = await revisiontag.manifests(
            self._api,
            own,
            DEFAULT_REVISION,
            self._spec.namespace,
            every_namespace=bool(values["sidecarInjectorWebhook"]["enableNamespacesByDefault"]),
            installed={NOT_PRUNED: "true"},
        )
        try:
            await revisiontag.apply(self._api, hooks, objects, DEFAULT_REVISION)
        except StatusError as error:
            raise CommandError(f"failed deploying webhooks: {error.message}") from error

    async def _component(self, component: Component) -> None:
        if not component.objects:
            return
        title, icon = TITLES[component.name]
        try:
            await cluster.apply(self._api, component.objects)
            await cluster.wait_for(self._api, self._conditions(component), self._timeout_s)
        except StatusError as error:
            print(f"✘ {title} encountered an error: {error.message}")
            raise CommandError(f"failed to install manifests: {error.message}") from error
        except cluster.NotReady as error:
            raise await self._not_ready(component, title, error) from error
        print(f"✔ {title} installed {icon}", flush=True)

    def _conditions(self, component: Component) -> list[cluster.Condition]:
        objects = component.objects
        conditions = cluster.deployments_ready([obj for obj in objects if obj["kind"] == "Deployment"])
        definitions = [obj["metadata"]["name"] for obj in objects if obj["kind"] == "CustomResourceDefinition"]
        if definitions:
            conditions.append(cluster.definitions_established(definitions))
        if component.name == "Pilot":
            hooks = [obj for obj in objects if obj["kind"] == "MutatingWebhookConfiguration"]
            conditions += [cluster.webhook_has_ca(obj["metadata"]["name"]) for obj in hooks]
            services = [obj["metadata"] for obj in objects if obj["kind"] == "Service"]
            conditions += [cluster.service_has_endpoint(service["namespace"], service["name"]) for service in services]
        return conditions

    async def _not_ready(self, component: Component, title: str, error: cluster.NotReady) -> CommandError:
        late = [obj for obj in component.objects if "/".join(cluster.identity(obj)) in error.missing]
        late = [obj for obj in late if obj["kind"] == "Deployment"]
        details = [f"{name}: {problem}" for name, problem in error.missing.items()]
        details += await cluster.reasons(self._api, late)
        message = f"resources not ready after {self._timeout_s:g}s:\n" + "\n".join(f"  {line}" for line in details)
        print(f"✘ {title} encountered an error: failed to wait for resource: {message}")
        return CommandError(
            f"failed to install manifests: failed to wait for resource: {', '.join(error.missing)} not ready",
            hint=f"kubectl -n {self._spec.namespace} get pods  and  kubectl describe  tell more.",
        )
