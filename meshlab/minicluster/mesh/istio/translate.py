"""Everything istiod watches, as one neutral `Mesh`: the translator's front door.

A pure function of plain Kubernetes objects. It never raises on a learner's input: what is not understood is left out
and reported as a `Problem`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.gatewayapi.status import Status
from meshlab.minicluster.mesh.gatewayapi.translate import WATCHED as GATEWAY_API
from meshlab.minicluster.mesh.gatewayapi.translate import translate_gateway_api
from meshlab.minicluster.mesh.hostnames import is_address
from meshlab.minicluster.mesh.istio.authorizationpolicy import translate_authorization_policy
from meshlab.minicluster.mesh.istio.destinationrule import locality_policy, translate_destination_rules
from meshlab.minicluster.mesh.istio.envoyfilter import translate_envoy_filter
from meshlab.minicluster.mesh.istio.extensionproviders import (
    access_log_sinks,
    default_metrics,
    default_sinks,
    external_authorizers,
    json_labels,
    provider_kinds,
)
from meshlab.minicluster.mesh.istio.gateway import translate_gateway
from meshlab.minicluster.mesh.istio.hosts import resolve_host
from meshlab.minicluster.mesh.istio.httpactions import retry
from meshlab.minicluster.mesh.istio.ingress import CLASSES, INGRESSES, with_ingresses
from meshlab.minicluster.mesh.istio.peerauthentication import translate_peer_authentication
from meshlab.minicluster.mesh.istio.reading import Problem, Problems, boolean, mapping, ref_of, seconds, text, texts
from meshlab.minicluster.mesh.istio.requestauthentication import translate_request_authentication
from meshlab.minicluster.mesh.istio.scoping import discovered
from meshlab.minicluster.mesh.istio.serviceentry import (
    translate_service_entries,
    translate_workload_entries,
    with_listed_workloads,
)
from meshlab.minicluster.mesh.istio.services import translate_services
from meshlab.minicluster.mesh.istio.sidecar import translate_sidecar
from meshlab.minicluster.mesh.istio.telemetry import translate_telemetry
from meshlab.minicluster.mesh.istio.tracingproviders import DEFAULT_SAMPLING_PERCENT, tracing_settings
from meshlab.minicluster.mesh.istio.virtualservice import translate_virtual_services
from meshlab.minicluster.mesh.istio.workloads import node_localities, translate_workload
from meshlab.minicluster.mesh.model import ANY_NAMESPACE, ConfigRef, Mesh, Resolution, Service, Settings, Workload
from meshlab.minicluster.mesh.routing import HttpRoute, L4Route

T = TypeVar("T")

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
TELEMETRY = "telemetry.istio.io"
EXTENSIONS = "extensions.istio.io"

WATCHED = (
    "services",
    "endpointslices.discovery.k8s.io",
    "pods",
    "nodes",
    "namespaces",
    INGRESSES,
    CLASSES,
    f"virtualservices.{NETWORKING}",
    f"destinationrules.{NETWORKING}",
    f"gateways.{NETWORKING}",
    f"serviceentries.{NETWORKING}",
    f"workloadentries.{NETWORKING}",
    f"sidecars.{NETWORKING}",
    f"peerauthentications.{SECURITY}",
    f"requestauthentications.{SECURITY}",
    f"authorizationpolicies.{SECURITY}",
    *GATEWAY_API,
    f"envoyfilters.{NETWORKING}",
    f"telemetries.{TELEMETRY}",
    f"wasmplugins.{EXTENSIONS}",
    f"proxyconfigs.{NETWORKING}",
)
"""The keys of `IstioSnapshot.objects` that are read (ProxyConfigs: by the injector); a missing one means: none."""


@dataclass(slots=True)
class KnownServices:
    """What Services were translated to last; good for as long as all that they were made of is the same."""

    made_of: tuple[object, ...] = ()
    services: Sequence[Service] = ()
    problems: Sequence[Problem] = ()

    def get(self, made_of: tuple[object, ...], make: Callable[[Problems], Sequence[Service]]) -> Sequence[Service]:
        """The services; made anew if they must be. What was wrong with them is in ``problems``."""
        # Objects that did not change are the very same ones, so that most comparisons end at once.
        if self.made_of != made_of:
            problems = Problems()
            self.services, self.problems, self.made_of = make(problems), problems.found, made_of
        return self.services


@dataclass
class IstioSnapshot:
    """The Kubernetes objects at one moment, by ``plural.group``."""

    objects: Mapping[str, Sequence[Obj]]
    mesh_config: Obj = field(default_factory=dict)
    """Istio's MeshConfig: the parsed ``mesh`` key of ConfigMap ``istio``."""
    root_namespace: str = "istio-system"
    secrets: Mapping[tuple[str, str], Obj] = field(default_factory=dict)
    """Secrets that the Gateway API's listeners point at, by (namespace, name)."""
    sampling_percent: float = DEFAULT_SAMPLING_PERCENT
    """How many requests are traced where nothing else says (istiod's ``PILOT_TRACE_SAMPLING``)."""
    key_sets: Mapping[str, str] = field(default_factory=dict)
    """JSON Web Key Sets that were fetched, by where they come from (`JwtRule.key_source`)."""
    known_services: KnownServices = field(default_factory=KnownServices)
    """Of the snapshot before."""


@dataclass(frozen=True, slots=True)
class Translation:
    """The model, and what was wrong with the resources it came from."""

    model: Mesh
    problems: tuple[Problem, ...]
    statuses: tuple[Status, ...] = ()
    """What the statuses of the Gateway API's resources should say."""


def translate(snapshot: IstioSnapshot) -> Translation:
    """Translate a snapshot. Order of objects in the snapshot does not matter."""
    problems = Problems()
    settings = _settings(snapshot)
    root, domain = settings.root_namespace, settings.domain
    config = mapping(snapshot.mesh_config)
    seen = discovered(snapshot.objects, config)
    resources = with_ingresses(seen, config, snapshot.root_namespace, domain)

    def listed(key: str) -> list[Obj]:
        found = [obj for obj in resources.get(key, ()) if isinstance(obj, dict)]
        return sorted(found, key=_age)

    def each(key: str, translator: Callable[[Obj, ConfigRef], Iterable[T]]) -> tuple[T, ...]:
        return tuple(item for obj in listed(key) for item in problems.guard(obj, translator))

    nodes = node_localities(listed("nodes"))

    def workload(obj: Obj, _: ConfigRef) -> list[Workload]:
        found = translate_workload(obj, nodes)
        return [found] if found else []

    workloads = each("pods", workload)
    exports = {kind: _default_export(snapshot, kind) for kind in ("Service", "VirtualService", "DestinationRule")}
    listed_workloads = translate_workload_entries(listed(f"workloadentries.{NETWORKING}"))
    kubernetes, slices = listed("services"), listed("endpointslices.discovery.k8s.io")
    known = snapshot.known_services
    translated = known.get(
        (kubernetes, slices, workloads, domain, exports["Service"]),
        lambda found: translate_services(kubernetes, slices, workloads, domain, exports["Service"], found),
    )
    problems.found += known.problems
    services = with_listed_workloads(translated, listed_workloads)
    services += translate_service_entries(
        listed(f"serviceentries.{NETWORKING}"), listed_workloads, workloads, exports["Service"], problems
    )
    policies = translate_destination_rules(
        listed(f"destinationrules.{NETWORKING}"),
        domain,
        exports["DestinationRule"],
        problems,
    )
    services = list(_with_lab_addresses(services))
    gateway_api = translate_gateway_api(seen, services, snapshot.secrets, domain, problems)
    model = Mesh(
        settings=settings,
        services=tuple(services),
        workloads=workloads,
        route_tables=translate_virtual_services(
            listed(f"virtualservices.{NETWORKING}"), problems, domain, exports["VirtualService"]
        )
        + gateway_api.tables,
        service_policies=tuple(policies),
        mtls_policies=each(
            f"peerauthentications.{SECURITY}", lambda obj, ref: translate_peer_authentication(obj, ref, root, problems)
        ),
        gateways=each(f"gateways.{NETWORKING}", lambda obj, ref: translate_gateway(obj, ref, problems))
        + gateway_api.gateways,
        authorization=each(
            f"authorizationpolicies.{SECURITY}",
            lambda obj, ref: translate_authorization_policy(obj, ref, root, problems),
        ),
        jwt_policies=each(
            f"requestauthentications.{SECURITY}",
            lambda obj, ref: translate_request_authentication(obj, ref, root, snapshot.key_sets, problems),
        ),
        patch_sets=each(
            f"envoyfilters.{NETWORKING}", lambda obj, ref: translate_envoy_filter(obj, ref, root, problems)
        ),
        observations=each(
            f"telemetries.{TELEMETRY}",
            lambda obj, ref: translate_telemetry(obj, ref, root, snapshot.mesh_config, problems),
        ),
        sidecar_scopes=each(f"sidecars.{NETWORKING}", lambda obj, ref: translate_sidecar(obj, ref, root, domain)),
    )
    _check_destinations(model, problems)
    for plugin in listed(f"wasmplugins.{EXTENSIONS}"):
        ref = ref_of(plugin)
        problems.add("wasmplugin.ignored", ref, f"{ref} is not run: this lab has no runtime for WebAssembly")
    return Translation(model, tuple(problems.found), gateway_api.statuses)


def _age(obj: Obj) -> tuple[str, str, str]:
    metadata = mapping(obj.get("metadata"))
    return (
        text(metadata.get("creationTimestamp")),
        text(metadata.get("name")),
        text(metadata.get("namespace")),
    )


def _default_export(snapshot: IstioSnapshot, kind: str) -> frozenset[str]:
    """Who sees resources of a kind that do not say so themselves (``defaultVirtualServiceExportTo`` ...)."""
    return frozenset(texts(snapshot.mesh_config.get(f"default{kind}ExportTo"))) or frozenset({ANY_NAMESPACE})


def _settings(snapshot: IstioSnapshot) -> Settings:
    config = mapping(snapshot.mesh_config)
    auto_mtls = boolean(config.get("enableAutoMtls"))
    mode = text(mapping(config.get("outboundTrafficPolicy")).get("mode")) or "ALLOW_ANY"
    timeout = seconds(config.get("connectTimeout"))
    return Settings(
        trust_domain=text(config.get("trustDomain")) or "cluster.local",
        root_namespace=text(config.get("rootNamespace")) or snapshot.root_namespace,
        auto_mtls=auto_mtls is not False,
        allow_unknown_hosts=mode == "ALLOW_ANY",
        access_log_path=text(config.get("accessLogFile")),
        access_log_format=text(config.get("accessLogFormat")),
        access_log_labels=json_labels(text(config.get("accessLogFormat")))
        if config.get("accessLogEncoding") == "JSON"
        else "",
        connect_timeout_s=timeout if timeout is not None and timeout > 0 else 10.0,
        trust_domain_aliases=texts(config.get("trustDomainAliases")),
        mesh_tls_minimum=text(mapping(config.get("meshMTLS")).get("minProtocolVersion")) or "TLSV1_2",
        authorizers=external_authorizers(config),
        sinks=access_log_sinks(config),
        default_sinks=default_sinks(config),
        metric_providers=frozenset(name for name, kind in provider_kinds(config).items() if kind == "prometheus"),
        default_metrics=default_metrics(config),
        tracing=tracing_settings(config, snapshot.sampling_percent),
        default_retry=retry(config.get("defaultHttpRetryPolicy")),
        upgrade_to_http2=config.get("h2UpgradePolicy") == "UPGRADE",
        locality=locality_policy(mapping(config.get("localityLbSetting"))),
    )


def _with_lab_addresses(services: Sequence[Service]) -> Iterable[Service]:
    """DNS endpoints that name a service of the cluster become that service's virtual address.

    The proxy's own resolver asks the host's DNS, which knows nothing of the cluster's names.
    """
    addresses = {service.host: service.addresses[0] for service in services if service.addresses}
    for service in services:
        if service.resolution is not Resolution.DNS:
            yield service
            continue
        names = [endpoint.address for port in service.ports for endpoint in port.endpoints]
        known = {name: _address(name, addresses) for name in names}
        if names and all(known.values()):
            ports = tuple(
                replace(port, endpoints=tuple(replace(e, address=known[e.address] or "") for e in port.endpoints))
                for port in service.ports
            )
            yield replace(service, ports=ports, resolution=Resolution.ENDPOINTS)
        else:
            yield service


def _address(name: str, addresses: Mapping[str, str]) -> str | None:
    if is_address(name):
        return name
    host = name.lower().rstrip(".")
    return addresses.get(host) or addresses.get(f"{host}.cluster.local" if host.endswith(".svc") else "")


def _check_destinations(model: Mesh, problems: Problems) -> None:
    """Note destinations that can only answer 503, as they name an unknown host or an undefined subset."""
    subsets: dict[str, set[str]] = {}
    for policy in model.service_policies:
        subsets.setdefault(policy.host, set()).update(subset.name for subset in policy.subsets)
    wildcards = [service.host for service in model.services if service.host.startswith("*")]
    for table in model.route_tables:
        routes: list[HttpRoute | L4Route] = [*table.http, *table.tcp, *table.tls]
        wanted = dict.fromkeys((s.destination.host, s.destination.subset) for route in routes for s in route.splits)
        for host, subset in wanted:
            if host not in model.services_by_host and not any(host.endswith(w[1:]) for w in wildcards):
                problems.add("virtualservice.destination", table.ref, f"{table.ref}: no service has the host {host}")
            elif subset and subset not in subsets.get(resolve_host(host, table.namespace), ()):
                problems.add(
                    "virtualservice.subset",
                    table.ref,
                    f"{table.ref}: no DestinationRule defines {host} subset {subset}",
                )
