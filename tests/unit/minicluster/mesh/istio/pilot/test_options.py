"""istiod's command line, as its Deployment writes it."""

from __future__ import annotations

from meshlab.minicluster.mesh.istio.pilot.options import parse

ARGUMENTS = [
    "--monitoringAddr=:15014", "--log_output_level=default:info", "--domain", "cluster.local",
    "--keepaliveMaxServerConnectionAge", "30m",
]  # fmt: skip


def test_the_deployments_flags() -> None:
    options = parse(ARGUMENTS, {"REVISION": "default"}, namespace="istio-system")
    assert (options.namespace, options.suffix) == ("istio-system", "")
    assert (options.http_port, options.monitoring_port, options.webhook_port, options.xds_port) == (
        8080, 15014, 15017, 15012,
    )  # fmt: skip


def test_a_revision_and_other_ports() -> None:
    options = parse(["--httpsAddr", ":9443", "--unknown"], {"REVISION": "canary"}, namespace="mesh")
    assert (options.suffix, options.webhook_port, options.namespace) == ("-canary", 9443, "mesh")
