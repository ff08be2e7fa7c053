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
    Capability("proxy.http", "yes", "HTTP through real Envoy sidecars: routes, retries, faults, mTLS."),
    Capability(
        "proxy.tcp",
        "differs",
        "Raw TCP goes through a sidecar only from programs that meshlab ships; others go round it.",
    ),
    Capability(
        "capture.transparent",
        "no",
        "No iptables and no istio-init: programs reach their sidecar by http_proxy variables, which `env` in an "
        "injected container shows. A program that ignores them goes round the sidecar.",
    ),
    Capability(
        "capture.inbound",
        "differs",
        "The sidecar owns podIP:port and the program listens on a hidden loopback address: hidden, not filtered.",
    ),
    Capability(
        "proxy.listeners",
        "differs",
        "Listener and route-configuration names differ from a captured pod's (http_proxy, one listener per inbound "
        "port); clusters, virtual hosts and endpoints are named as upstream's.",
    ),
    Capability("source.ip", "differs", "Servers see the client pod's address, except of traffic through a NodePort."),
    Capability("net.sniff", "no", "No packet capture; use a relay."),
    Capability("net.partition", "no", "No network partitions; use faults and deleted endpoints."),
    Capability(
        "net.lowport",
        "differs",
        "Ports below 1024 are nominal: inside the lab as written, on the host at another port that status prints.",
    ),
    Capability(
        "net.loadbalancer",
        "differs",
        "A LoadBalancer gets a loopback address of the lab; from the host use the NodePort that status prints.",
    ),
    Capability("net.isolation", "no", "All pods share the host's network: a pod can reach any port of this host."),
    Capability("egress.internet", "differs", "Pods reach whatever this host reaches."),
    Capability(
        "images", "differs", "Images are built-in programs of the same observable behaviour; see `status` events."
    ),
    Capability("node.many", "no", "One node; zones by the pod label istio-locality."),
    Capability("resources.limits", "no", "CPU and memory requests and limits are recorded, not enforced."),
    Capability("version.skew", "no", "Control-plane revisions hand over for real, but run the same program."),
    Capability(
        "probe.rewrite", "differs", "Probes reach the program past the sidecar; they pass under STRICT as upstream."
    ),
    Capability(
        "metrics.istio",
        "no",
        "Istio's standard metrics and the add-ons (Prometheus, Grafana, Kiali, Jaeger) are not in this version.",
    ),
    Capability("api.serverSideApply", "no", "Server-side apply is answered 415; client-side apply works."),
    Capability("wasm", "no", "WasmPlugin is not run."),
    Capability("multicluster", "no", "One cluster."),
    Capability("vm.agent", "no", "No agent for virtual machines."),
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
