"""Where the embedded lab differs from a real cluster: capabilities by name, and what each means for a learner.

Exercises require capabilities by these names, and lessons refer to them; ``meshlab doctor --fidelity`` prints the
table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that an exercise may require."""

    name: str
    embedded: Literal["yes", "differs", "no"]
    text: str


CAPABILITIES: tuple[Capability, ...] = (
    Capability(
        "proxy.http",
        "yes",
        "HTTP through real Envoy sidecars and gateways: routes, retries, faults, policies, mTLS.",
    ),
    Capability(
        "proxy.tcp",
        "differs",
        "Programs of the lab's images (nc, telnet, wget, redis-cli, fortio ...) bring every connection to their "
        "sidecar, curl asks it for a tunnel. What a shell opens by /dev/tcp goes round it.",
    ),
    Capability(
        "traffic.sniffing",
        "differs",
        "Towards ports without a declared protocol sidecars use HTTP/1.1, or the bytes of a tunnel as they are; gRPC "
        "needs the port's name or appProtocol.",
    ),
    Capability(
        "traffic.original_dst",
        "differs",
        "Of requests by http_proxy sidecars know what a program asked for, not where it connected: ServiceEntries with "
        "resolution NONE and load balancing PASSTHROUGH go by name there. Connections of other programs go where they "
        "were going.",
    ),
    Capability(
        "capture.transparent",
        "differs",
        "No iptables and no istio-init: the images' programs bring their connections to virtualOutbound by themselves, "
        "HTTP clients by http_proxy and HTTPS_PROXY, which `env` in an injected container shows. The annotations "
        "traffic.sidecar.istio.io/* count as upstream.",
    ),
    Capability(
        "capture.inbound",
        "differs",
        "The sidecar owns podIP:port and the program listens on a hidden loopback address: hidden, not filtered.",
    ),
    Capability(
        "proxy.listeners",
        "differs",
        "Outbound listeners, routes, clusters, virtual hosts and endpoints are named as upstream's. Beside them there "
        "is http_proxy, a listener and routes for programs that use it; and there is one listener per inbound port. "
        "Ports that nobody declared have none.",
    ),
    Capability(
        "proxy.admin",
        "differs",
        "Envoy's admin interface is a unix socket of the pod, as other users of this host must not reach it: port "
        "15000 answers to port-forward, istioctl, and to pilot-agent and curl in the pod, not to other programs.",
    ),
    Capability(
        "inject.templates",
        "differs",
        "The templates sidecar and gateway are code in istiod, steered by values and annotations; templates of one's "
        "own (values.sidecarInjectorWebhook.templates) are applied as long as they have no Go template actions.",
    ),
    Capability(
        "probe.rewrite",
        "differs",
        "Probes are rewritten to the agent's port 15020 as upstream's; httpGet hooks (postStart, preStop) stay as "
        "written, and go past the sidecar.",
    ),
    Capability(
        "certificates.csr",
        "differs",
        "istiod makes workload keys and sends them with the certificate over SDS; there is no signing service. "
        "DEFAULT_WORKLOAD_CERT_TTL of istiod counts, SECRET_TTL of a pod does not.",
    ),
    Capability(
        "config.ignored",
        "no",
        "WorkloadGroup is stored, but changes nothing.",
    ),
    Capability(
        "config.envoyfilter",
        "differs",
        "Applied to what this lab's proxies have: BOOTSTRAP is not, and changes of outbound listeners or network "
        "filters hold for all ports. Types that only Istio's own build of Envoy knows are left out.",
    ),
    Capability(
        "telemetry.api",
        "differs",
        "Access logging, metrics with tagOverrides and tracing as upstream. reportingInterval changes nothing; labels "
        "can show a peer's app, version, service, revision, workload, namespace and cluster, but not compare them; "
        "string() works on results only. Lightstep, OpenCensus and Stackdriver get no spans.",
    ),
    Capability(
        "authz.audit",
        "differs",
        "AUDIT marks requests, as upstream without a plugin: nothing records them.",
    ),
    Capability(
        "gateway.api",
        "differs",
        "Gateways are deployed, routes work at gateways and for Services of the mesh, statuses are Istio's. Not there: "
        "ListenerSet, BackendTLSPolicy, sessionPersistence, spec.tls of Gateways, infrastructure.parametersRef.",
    ),
    Capability("ambient", "no", "Sidecars only: no ztunnel, no waypoints."),
    Capability(
        "tracing.backends",
        "no",
        "Proxies send spans to whatever speaks Zipkin, OTLP, SkyWalking or Datadog; collectors are no part of the lab. "
        "A Zipkin address of defaultConfig.tracing is in the listeners, not in the bootstrap.",
    ),
    Capability(
        "wasm",
        "no",
        "WasmPlugin is accepted, but not run; istiod's log says so of each. So requests are not classified "
        "(attributegen): a label from filter_state['wasm...'] is unknown.",
    ),
    Capability(
        "metrics.istio",
        "differs",
        "Sidecars and gateways serve Istio's standard metrics on 15020 and 15090, with upstream's labels. TCP is "
        "counted when a connection ends, and its server's proxy knows the client by certificate only; messages of gRPC "
        "streams are not counted.",
    ),
    Capability(
        "addon.ui",
        "differs",
        "Kiali is a stand-in of meshlab with Kiali's API and a page of its own: the traffic graph of the last 10 "
        "minutes, from the proxies themselves. Prometheus, Grafana and Jaeger are not in this version.",
    ),
    Capability("version.skew", "no", "Control-plane revisions hand over for real, but run the same program."),
    Capability(
        "source.ip",
        "differs",
        "Servers see the client pod's address, except of traffic from the host (NodePort, LoadBalancer).",
    ),
    Capability(
        "net.dns",
        "differs",
        "No DNS server: the lab's programs read Service and pod names from a table of the lab, and hosts of "
        "ServiceEntries where ISTIO_META_DNS_CAPTURE is set. An HTTP client behind a sidecar resolves no names, so an "
        "unknown one gives the proxy's answer.",
    ),
    Capability("net.udp", "no", "Services carry TCP over IPv4 only."),
    Capability("net.sniff", "no", "No packet capture; use a relay."),
    Capability("net.partition", "no", "No network partitions; use faults and deleted endpoints."),
    Capability(
        "net.lowport",
        "differs",
        "Ports below 1024 are nominal where the host lets only root bind them: as written inside the lab and for "
        "the curl of the lab's shell, elsewhere for other programs of the host; use the NodePort that status prints.",
    ),
    Capability(
        "net.loadbalancer",
        "differs",
        "A LoadBalancer gets a loopback address of the lab at once, with ports as under net.lowport.",
    ),
    Capability(
        "net.isolation",
        "no",
        "All pods share the host's network: a pod can reach any port of this host, and any local program a pod. "
        "NetworkPolicy is stored, not enforced.",
    ),
    Capability("egress.internet", "differs", "Pods reach whatever this host reaches."),
    Capability(
        "images",
        "differs",
        "Images are built-in programs of the same observable behaviour, whatever the tag; another name gives "
        "ImagePullBackOff and an event that lists what there is.",
    ),
    Capability(
        "pod.security",
        "differs",
        "Containers run as the user who started the lab: securityContext is recorded, not applied. Where `meshlab "
        "doctor` finds user namespaces, each has a file system of its own.",
    ),
    Capability(
        "pod.storage",
        "no",
        "configMap, secret, emptyDir, downwardAPI and projected volumes only; hostPath and claims are refused.",
    ),
    Capability(
        "resources.limits",
        "no",
        "CPU and memory requests and limits are recorded, not enforced; so are ResourceQuota and LimitRange.",
    ),
    Capability("node.many", "no", "One node; zones by the pod label istio-locality."),
    Capability(
        "api.serverSideApply",
        "no",
        "Server-side apply is answered 415; client-side apply works, with all three other kinds of patch.",
    ),
    Capability(
        "api.validationRules",
        "differs",
        "CEL rules of CustomResourceDefinitions are judged, without limits of cost; one that does not compile is told "
        "when an object is judged, not when the definition is created. optionalOldSelf and optional types (.?) are not "
        "known.",
    ),
    Capability(
        "api.controllers",
        "differs",
        "No controller acts on HorizontalPodAutoscaler, PersistentVolumeClaim or ReplicationController; on an Ingress "
        "only istiod does, for its own class.",
    ),
    Capability("multicluster", "no", "One cluster."),
    Capability("vm.agent", "no", "No agent for virtual machines; WorkloadEntry works as an endpoint."),
)


def text() -> str:
    """The table for people."""
    marks = {"yes": "as on a real cluster", "differs": "differs", "no": "not available"}
    width = max(len(capability.name) for capability in CAPABILITIES)
    lines = ["Where the embedded lab differs from a real cluster:", ""]
    lines += [
        f"  {capability.name:<{width}}  {marks[capability.embedded]:<20}  {capability.text}"
        for capability in CAPABILITIES
    ]
    lines += [
        "",
        "Not measured but stated: versions of Istio components (1.31.0-meshlab), node capacity.",
    ]
    return "\n".join(lines)
