"""Services, slices and pods; ServiceEntries."""

from __future__ import annotations

from meshlab.minicluster.mesh.istio.translate import IstioSnapshot, KnownServices, translate
from meshlab.minicluster.mesh.model import Locality, Protocol, Resolution, Service
from tests.fakes.istio_world import World

HTTP = [{"name": "http", "port": 80, "targetPort": 8080}]


def test_endpoints_carry_what_is_known_of_their_pods() -> None:
    world = World()
    world.add(
        {
            "kind": "Node",
            "metadata": {
                "name": "n1",
                "labels": {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z"},
            },
        }
    )
    pod = world.pod("web-5d4-x1", {"app": "web", "pod-template-hash": "5d4"}, account="web", node="n1")
    pod["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "web-5d4", "controller": True}]
    world.pod("web-5d4-x2", {"app": "web", "istio-locality": "r2.z2.s2"}, injected=False)
    world.service("web", {"app": "web"}, HTTP)

    (service,) = world.mesh().services
    first, second = service.ports[0].endpoints

    assert service.host == "web.default.svc.cluster.local"
    assert (first.address, first.port) == ("127.77.1.2", 8080)
    assert (first.workload, first.service_account, first.mesh_tls) == ("web", "web", True)
    assert first.locality == Locality("r", "z")
    assert (second.locality, second.mesh_tls) == (Locality("r2", "z2", "s2"), False)
    assert service.identities() == (("default", "default"), ("default", "web"))


def test_endpoints_that_are_not_ready_are_left_out() -> None:
    world = World()
    world.pod("a", {"app": "web"})
    world.pod("b", {"app": "web"})
    world.service("web", {"app": "web"}, HTTP, ready=lambda pod: pod["metadata"]["name"] == "b")

    (service,) = world.mesh().services

    assert [e.address for e in service.ports[0].endpoints] == ["127.77.1.3"]


def test_ended_pods_are_no_workloads() -> None:
    world = World()
    world.pod("done", {})["status"]["phase"] = "Succeeded"
    assert world.mesh().workloads == ()


def test_ports_of_the_proxy_container_are_not_the_workloads() -> None:
    world = World()
    world.pod("web", {}, ports=(("http", 8080),))
    (workload,) = world.mesh().workloads
    assert [(port.name, port.number) for port in workload.ports] == [("http", 8080)]


def test_external_name_stands_for_a_service_of_the_cluster_or_for_a_dns_name() -> None:
    world = World()
    world.pod("web", {"app": "web"})
    world.service("web", {"app": "web"}, HTTP)
    for name, target in (("alias", "web.default.svc.cluster.local"), ("out", "www.example.com")):
        world.add(
            {
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"type": "ExternalName", "externalName": target, "ports": [{"name": "http", "port": 80}]},
            }
        )

    services = world.mesh().services_by_host

    alias = services["alias.default.svc.cluster.local"]
    assert alias.resolution is Resolution.ENDPOINTS
    assert [e.address for e in alias.ports[0].endpoints] == ["127.77.1.2"]
    out = services["out.default.svc.cluster.local"]
    assert out.resolution is Resolution.DNS
    assert [e.address for e in out.ports[0].endpoints] == ["www.example.com"]


SERVICE_ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: entry}
spec:
  hosts: [db.example.com, other.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 5432, name: db, protocol: TCP}]
"""


def test_service_entry_with_listed_endpoints() -> None:
    world = World()
    world.apply(SERVICE_ENTRY + "  endpoints: [{address: 192.0.2.1, ports: {http: 8888}, weight: 5, locality: r/z}]\n")

    services = world.mesh().services

    assert [service.host for service in services] == ["db.example.com", "other.example.com"]
    http, database = services[0].ports
    assert (http.endpoints[0].port, http.endpoints[0].weight) == (8888, 5)
    assert (database.endpoints[0].port, database.protocol) == (5432, Protocol.TCP)
    assert http.endpoints[0].locality == Locality("r", "z")
    assert not services[0].mesh_external


def test_service_entry_that_selects_pods_and_workload_entries() -> None:
    world = World()
    world.pod("db-1", {"app": "db"}, account="db")
    world.apply(SERVICE_ENTRY + "  workloadSelector: {labels: {app: db}}\n")
    world.apply(
        "{kind: WorkloadEntry, metadata: {name: vm}, spec: {address: 192.0.2.9, labels: {app: db}, serviceAccount: vm}}"
    )

    http = world.mesh().services[0].ports[0]

    assert [(e.address, e.port, e.service_account) for e in http.endpoints] == [
        ("127.77.1.2", 8080, "db"),
        ("192.0.2.9", 8080, "vm"),
    ]


def test_dns_entry_for_a_host_of_the_cluster_uses_its_address() -> None:
    """The proxy's resolver asks the host's DNS, which knows nothing of the lab."""
    world = World()
    world.service("web", {"app": "web"}, HTTP)
    world.apply(
        "{kind: ServiceEntry, metadata: {name: partner}, spec: {hosts: [partner.example], resolution: DNS,"
        " ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: web.default.svc.cluster.local}]}}"
    )

    partner = world.mesh().services_by_host["partner.example"]

    assert partner.resolution is Resolution.ENDPOINTS
    assert [e.address for e in partner.ports[0].endpoints] == ["127.77.64.1"]


def test_service_entry_kinds_of_resolution() -> None:
    world = World()
    for resolution in ("DNS", "NONE"):
        world.apply(
            f"{{kind: ServiceEntry, metadata: {{name: {resolution.lower()}}}, spec: {{hosts: [{resolution.lower()}.example],"
            f" resolution: {resolution}, ports: [{{number: 443, name: tls, protocol: TLS}}]}}}}"
        )

    services = world.mesh().services_by_host

    assert services["dns.example"].ports[0].endpoints[0].address == "dns.example"
    assert services["none.example"].resolution is Resolution.NONE
    assert services["none.example"].mesh_external


def test_workload_entries_stand_behind_kubernetes_services() -> None:
    world = World()
    world.pod("web-1", {"app": "web"})
    world.service("web", {"app": "web"}, HTTP)
    world.apply(
        "{kind: WorkloadEntry, metadata: {name: vm}, spec: {address: 192.0.2.9, labels: {app: web}, ports: {http: 9090},"
        " serviceAccount: vm}}"
    )
    pod, entry = world.mesh().services[0].ports[0].endpoints
    assert pod.address.startswith("127.")
    assert (entry.address, entry.port, entry.workload, entry.service_account) == ("192.0.2.9", 9090, "vm", "vm")


def test_entries_for_one_host_are_joined() -> None:
    world = World()
    for name, address, port in (("a", "192.0.2.1", 80), ("b", "192.0.2.2", 80), ("c", "192.0.2.3", 81)):
        world.apply(
            f"{{kind: ServiceEntry, metadata: {{name: {name}}}, spec: {{hosts: [x.example.com], resolution: STATIC,"
            f" ports: [{{number: {port}, name: http-{port}, protocol: HTTP}}], endpoints: [{{address: {address}}}]}}}}"
        )
    (service,) = world.mesh().services
    assert {p.number: [e.address for e in p.endpoints] for p in service.ports} == {
        80: ["192.0.2.1", "192.0.2.2"],
        81: ["192.0.2.3"],
    }


def test_names_among_static_endpoints_do_not_reach_a_proxy() -> None:
    world = World()
    world.apply(
        "{kind: ServiceEntry, metadata: {name: x}, spec: {hosts: [x.example.com], resolution: STATIC, ports: [{number: 80,"
        " name: http, protocol: HTTP}], endpoints: [{address: y.example.com}, {address: 'unix:///run/x.sock'}]}}"
    )
    assert [e.address for e in world.mesh().services[0].ports[0].endpoints] == ["unix:///run/x.sock"]


def test_services_are_translated_anew_only_if_what_they_are_made_of_is_another() -> None:
    world, known = World(), KnownServices()
    pod = world.pod("a", {"app": "web"})
    world.service("web", {"app": "web"}, HTTP)

    def translated() -> Service:
        (service,) = translate(IstioSnapshot(dict(world.objects), known_services=known)).model.services
        return service

    first = translated()
    world.add({"kind": "VirtualService", "metadata": {"name": "v", "namespace": "default"}})
    assert translated() is first
    world.objects["pods"] = [{**pod, "metadata": {**pod["metadata"], "labels": {"app": "web", "istio-locality": "r"}}}]
    assert translated().ports[0].endpoints[0].locality == Locality("r")
