"""The parts of istiod put together, and taken apart again.

Order at the start: the cluster is listed and the webhooks answer, then the webhook configurations get the CA bundle,
then istiod is ready. A restart does not disturb traffic: proxies keep what they have, and are sent nothing before
everything has been listed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import tempfile
from collections.abc import Coroutine
from pathlib import Path

from aiohttp import web

from meshlab.minicluster.kubeapi import KubeApi, StatusError
from meshlab.minicluster.mesh import ca
from meshlab.minicluster.mesh.istio.pilot.authentication import TokenAuthenticator
from meshlab.minicluster.mesh.istio.pilot.caretaking import RootCertificates, WebhookConfigurations
from meshlab.minicluster.mesh.istio.pilot.distribution import Distributor
from meshlab.minicluster.mesh.istio.pilot.gatewayapi import GatewayApiController
from meshlab.minicluster.mesh.istio.pilot.ingress import IngressStatuses
from meshlab.minicluster.mesh.istio.pilot.ipallocation import IpAllocationController
from meshlab.minicluster.mesh.istio.pilot.keysets import KeySets
from meshlab.minicluster.mesh.istio.pilot.monitoring import Monitoring
from meshlab.minicluster.mesh.istio.pilot.options import Options
from meshlab.minicluster.mesh.istio.pilot.secretreaders import SecretReaders
from meshlab.minicluster.mesh.istio.pilot.watching import ClusterWatch
from meshlab.minicluster.mesh.istio.webhooks import InjectionConfigSource, Webhooks
from meshlab.minicluster.mesh.xds import XdsServer
from meshlab.minicluster.pod import PodContext

logger = logging.getLogger(__name__)

PROXY_CONFIGS = "proxyconfigs.networking.istio.io"
RETRY_S = 0.5
STOP_GRACE_S = 0.5


class Istiod:
    """One istiod.

    Args:
        api: the cluster, with istiod's own rights.
        options: its command line.
        pod: where it runs.
    """

    def __init__(self, api: KubeApi, options: Options, pod: PodContext) -> None:
        self._api = api
        self._options = options
        self._pod = pod
        self._ports = pod.ports
        self._exit = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._webhook_configurations: WebhookConfigurations | None = None

    @property
    def ready(self) -> bool:
        """Whether it has seen the whole cluster and its webhooks can be called."""
        return self._webhook_configurations is not None and self._webhook_configurations.passed.is_set()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until told to stop.

        Raises:
            OSError: a port cannot be bound, or a part failed for good.
        """
        async with self._exit:
            starting = asyncio.create_task(self._start(), name="start")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            try:
                await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if starting.done():
                    await starting
                    done, _ = await asyncio.wait({stopping, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
                    for task in done - {stopping}:
                        raise OSError(f"{task.get_name()} ended: {task.exception()!r}")
            finally:
                for pending in (starting, stopping, *self._tasks):
                    pending.cancel()
                await asyncio.gather(starting, stopping, *self._tasks, return_exceptions=True)

    async def _start(self) -> None:
        options, pod = self._options, self._pod
        authority = await self._load_authority()
        certificate = authority.issue_serving(ca.serving_names(options.namespace, options.revision))
        service = f"istiod{options.suffix}"

        watch = ClusterWatch(self._api, options.namespace, f"istio{options.suffix}")
        key_sets = KeySets(pod)
        self._exit.push_async_callback(key_sets.stop)
        readers = SecretReaders(self._api)
        self._exit.push_async_callback(readers.stop)
        distributor = Distributor(
            watch,
            authority,
            self._ports.real,
            key_sets,
            readers.may_list,
            options.certificate_ttl,
            options.sampling_percent,
        )
        watch.subscribe(distributor.changed)
        key_sets.subscribe(distributor.changed)
        readers.subscribe(distributor.changed)
        xds = XdsServer(TokenAuthenticator(self._api), distributor.connected, distributor.disconnected)
        monitoring = Monitoring(pod.name, options.cluster_id, xds, distributor, lambda: self.ready)
        for port in (options.http_port, options.monitoring_port):
            await self._serve_http(monitoring.application(), port)

        self._exit.push_async_callback(watch.stop)
        await watch.start()
        logger.info("All caches have been synced up, marking server ready")

        config = InjectionConfigSource(watch.config_maps, options.namespace, options.suffix)
        webhooks = Webhooks(
            self._api, watch.namespaces, config.get, lambda: watch.listed(PROXY_CONFIGS), options.namespace
        )
        await self._serve_http(webhooks.application(), options.webhook_port, server_context(certificate, pod))
        self._exit.push_async_callback(xds.stop, STOP_GRACE_S)
        try:
            await xds.start(f"{pod.bind_ip}:{self._ports.real(options.xds_port)}", certificate)
        except RuntimeError as error:
            raise OSError(str(error)) from error
        logger.info("starting secure gRPC discovery service at %s:%d", pod.bind_ip, options.xds_port)

        roots = RootCertificates(self._api, watch.namespaces, authority.root_pem)
        self._webhook_configurations = WebhookConfigurations(self._api, options.namespace, service, authority.root_pem)
        gateways = GatewayApiController(self._api, watch, options.revision, pod.name, config.get)
        distributor.subscribe(lambda translation: gateways.translated(translation.statuses))
        if options.allocates_addresses:
            allocation = IpAllocationController(self._api, watch, pod.name)
            watch.subscribe(allocation.changed)
            self._spawn("ip allocation", allocation.run())
        self._spawn("distribution", distributor.run())
        self._spawn("gateway api", gateways.run())
        self._spawn("ingress statuses", IngressStatuses(self._api, watch, pod.name).run())
        self._spawn("root certificates", roots.run())
        self._spawn("webhook configurations", self._webhook_configurations.run())

    async def _load_authority(self) -> ca.CertificateAuthority:
        while True:
            try:
                return await ca.load_or_create(self._api, self._options.namespace)
            except ValueError as error:
                raise OSError(f"failed to create CA: {error}") from error
            except (StatusError, OSError) as error:
                logger.warning("the CA's Secret cannot be read yet: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _serve_http(self, application: web.Application, port: int, tls: ssl.SSLContext | None = None) -> None:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_GRACE_S)
        await runner.setup()
        self._exit.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, self._pod.bind_ip, self._ports.real(port), ssl_context=tls)
        await site.start()

    def _spawn(self, name: str, work: Coroutine[object, object, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))


def server_context(certificate: ca.KeyPair, pod: PodContext) -> ssl.SSLContext:
    """A TLS context for a server; the key is on disk only while it is read, as the ssl module wants files."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory(dir=pod.container_dir) as directory:
        chain, key = Path(directory, "cert.pem"), Path(directory, "key.pem")
        chain.write_text(certificate.chain_pem)
        key.touch(mode=0o600)
        key.write_text(certificate.key_pem)
        context.load_cert_chain(chain, key)
    return context
