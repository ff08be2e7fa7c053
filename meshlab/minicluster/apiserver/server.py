"""The API server of one lab, assembled: store, registry, admission, HTTP over TLS on a loopback address."""

from __future__ import annotations

import platform
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from meshlab.minicluster.apiserver.admission import Admission
from meshlab.minicluster.apiserver.admission.webhooks import HttpCaller, Webhooks
from meshlab.minicluster.apiserver.app import HttpApi
from meshlab.minicluster.apiserver.authz import Authorizer
from meshlab.minicluster.apiserver.bootstrap import bootstrap
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.cleanup import DefinitionCleaner
from meshlab.minicluster.apiserver.decoding import Decoder
from meshlab.minicluster.apiserver.discovery import Discovery
from meshlab.minicluster.apiserver.local import LocalApi
from meshlab.minicluster.apiserver.openapi import OpenApi
from meshlab.minicluster.apiserver.persistence import SqliteJournal
from meshlab.minicluster.apiserver.pki import Authority, write_kubeconfig
from meshlab.minicluster.apiserver.registry import Registry
from meshlab.minicluster.apiserver.resources import Resource, builtin_resources
from meshlab.minicluster.apiserver.reviews import Reviews
from meshlab.minicluster.apiserver.schema import SchemaSet
from meshlab.minicluster.apiserver.strategies import Strategies
from meshlab.minicluster.apiserver.strategies.base import Environment, timestamp
from meshlab.minicluster.apiserver.streams.backend import PodBackend
from meshlab.minicluster.apiserver.tokens import Tokens
from meshlab.minicluster.apiserver.users import MASTERS, in_process_user
from meshlab.minicluster.apiserver.verbs import Parts
from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.network.addresses import LabNetwork, PortMap

KUBERNETES_VERSION = "v1.37.1"
DEFAULT_PORT = 6443
ADMIN = "kubernetes-admin"
_DNS_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_SHUTDOWN_S = 1.0


class ApiServer:
    """The API server of one lab.

    Args:
        state_dir: where the database and the keys are kept; made when missing.
        network: the lab's addresses.
        ports: what stands behind nominal ports; webhooks are dialled through it.
        host: the address to listen on; the lab's own by default.
        port: the port to listen on; 0 takes any.
        listener: a listening socket to serve on instead of ``host`` and ``port``.
    """

    def __init__(
        self,
        state_dir: Path,
        network: LabNetwork,
        ports: PortMap,
        host: str | None = None,
        port: int = DEFAULT_PORT,
        *,
        listener: socket.socket | None = None,
    ) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self.network = network
        self.ports = ports
        self.host = host or network.node_address
        self.port = port
        self._listener = listener
        if listener is not None:
            self.host, self.port = listener.getsockname()[:2]
        self.authority = Authority(state_dir / "pki")
        self._journal = SqliteJournal(state_dir / "objects.db")
        self._store = self._journal.open_store()
        self._catalog = Catalog(builtin_resources())
        schemas = SchemaSet()
        decoder = Decoder(self._catalog, schemas)
        strategies = Strategies(Environment(self._store, self._catalog, network))
        webhooks = Webhooks(self._store, self._catalog, HttpCaller(self._store, ports.real))
        self.registry = Registry(self._store, self._catalog, strategies, Admission(self._store, webhooks), decoder)
        self.tokens = Tokens(self._store, state_dir / "pki" / "sa.key")
        self._cleaner = DefinitionCleaner(self.registry, in_process_user("system:apiserver"))
        self._authorizer = Authorizer(self._store)
        self._schemas = schemas
        self._http: HttpApi | None = None
        self._runner: web.AppRunner | None = None
        self._backend: PodBackend | None = None

    @property
    def url(self) -> str:
        """Where clients find it: ``https://127.N.0.1:6443``."""
        return f"https://{self.host}:{self.port}"

    @property
    def ca_pem(self) -> str:
        """The certificate of the lab's CA."""
        return self.authority.ca_pem

    async def start(self) -> None:
        """Make what a new cluster holds, then listen.

        Raises:
            OSError: the address cannot be bound.
        """
        if self._listener is None:
            self._listener = _listen(self.host, self.port)
            self.port = self._listener.getsockname()[1]
        await bootstrap(self.local("system:apiserver"), self.network, self.host, self.port)
        self._cleaner.start()
        self._http = HttpApi(self._parts())
        self._runner = web.AppRunner(
            self._http.application(),
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_S,
        )
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener, ssl_context=self._tls(), backlog=512).start()

    def _parts(self) -> Parts:
        return Parts(
            registry=self.registry,
            discovery=Discovery(self._catalog, f"{self.host}:{self.port}"),
            openapi=OpenApi(self._catalog, self._schemas),
            authorizer=self._authorizer,
            tokens=self.tokens,
            reviews=Reviews(self._authorizer, self.tokens),
            version=_version(),
            real_port=self.ports.real,
            backend=self._backend,
        )

    def _tls(self) -> ssl.SSLContext:
        addresses = dict.fromkeys([self.host, "127.0.0.1", self.network.kubernetes_service_ip])
        certificate, key = self.authority.server_files(_DNS_NAMES, list(addresses))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        # Whoever presents no certificate may still have a token.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=self.ca_pem)
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def stop(self) -> None:
        """End all watches, stop listening, and write everything down."""
        await self._cleaner.stop()
        self._store.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._journal.close()

    def set_pod_backend(self, backend: PodBackend) -> None:
        """Connect the node that runs the pods, for logs, exec, attach and port-forward."""
        self._backend = backend
        if self._http is not None:
            self._http.parts.backend = backend

    def local(self, user: str) -> LocalApi:
        """The API in this process, as that user; every request is allowed."""
        return LocalApi(self.registry, in_process_user(user))

    def served_resources(self) -> list[Resource]:
        """Every resource version that is served right now."""
        return self._catalog.resources()

    def write_kubeconfig(self, path: Path, *, user: str = ADMIN, groups: Sequence[str] = (MASTERS,)) -> None:
        """Write a kubeconfig (0600) with a new client certificate, of an administrator by default."""
        write_kubeconfig(path, server=self.url, ca_pem=self.ca_pem, client=self.authority.client(user, groups))

    async def issue_token(self, pod: Obj, audience: str = "", seconds: int = 3600) -> str:
        """A token of the pod's ServiceAccount, bound to the pod.

        Args:
            pod: the pod as stored (or a ServiceAccount, for an unbound token).
            audience: who may accept it; the API server if empty.
            seconds: how long it is valid.
        """
        namespace = pod["metadata"]["namespace"]
        is_account = pod.get("kind") == "ServiceAccount"
        name = pod["metadata"]["name"] if is_account else pod["spec"].get("serviceAccountName") or "default"
        record = self._store.get("serviceaccounts", (namespace, name))
        if record is None:
            raise StatusError(
                404, "NotFound", f'serviceaccounts "{name}" not found', {"name": name, "kind": "serviceaccounts"}
            )
        audiences = [audience] if audience else []
        token, _ = self.tokens.issue(record.obj, audiences, seconds, None if is_account else pod)
        return token


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    try:
        # A restarted server must not wait for its predecessor's connections to be forgotten.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def _version() -> Obj:
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "gitVersion": KUBERNETES_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": timestamp(),
        "goVersion": "",
        "compiler": "",
        "platform": f"{platform.system().lower()}/{machine}",
    }
