"""A gateway as programs outside the lab reach it: by NodePort, with certificates of the test's own."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections import Counter
from pathlib import Path

from meshlab.minicluster.mesh.ca import CertificateAuthority
from tests.support.lab import Lab, eventually


def node_port(lab: Lab, service: str, port: str, namespace: str = "istio-system") -> tuple[str, int]:
    """The host and the port that upstream's pages export as INGRESS_HOST and INGRESS_PORT, in their NodePort form."""
    query = f'{{.spec.ports[?(@.name=="{port}")].nodePort}}'
    number = lab.kubectl("get", "service", service, "-n", namespace, "-o", f"jsonpath={query}")
    pods = json.loads(lab.kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"]
    return next(pod["status"]["hostIP"] for pod in pods if pod["status"].get("hostIP")), int(number)


def curl(lab: Lab, *arguments: str) -> tuple[int, str]:
    """The host's curl, on the test's side of the gateway: its exit code and output."""
    done = lab.run("curl", "-s", "--max-time", "10", *arguments, check=False)
    return done.returncode, done.stdout


def status(lab: Lab, url: str, *arguments: str) -> str:
    """The status code of one request; 000 if there was no answer."""
    return curl(lab, "-o", "/dev/null", "-w", "%{http_code}", *arguments, url)[1]


class Authority:
    """Certificates as the pages' openssl commands make them.

    Args:
        directory: where the files go.
    """

    def __init__(self, directory: Path, name: str = "example.com") -> None:
        self._authority = CertificateAuthority.generate(name)
        self._directory = directory
        self.root = self._write(f"{name}.crt", self._authority.root_pem)

    def issue(self, name: str) -> tuple[Path, Path]:
        """The files of a certificate and its key."""
        pair = self._authority.issue_serving([name])
        return self._write(f"{name}.crt", pair.chain_pem), self._write(f"{name}.key", pair.key_pem)

    def _write(self, name: str, text: str) -> Path:
        self._directory.mkdir(exist_ok=True)
        self._directory.chmod(0o755)
        path = self._directory / name
        path.write_text(text)
        path.chmod(0o644)
        return path


class Load:
    """Requests without pause, each on a connection of its own, while something else happens.

    Args:
        host: where to connect to.
        port: its port.
        name: the Host header, and the server name if TLS is spoken.
        path: what is asked for.
        tls: whether to speak TLS; the certificate is not judged.
    """

    def __init__(self, host: str, port: int, name: str, path: str, *, tls: bool = False) -> None:
        self._address = (host, port)
        self._name = name
        self._path = path
        self._context = ssl.create_default_context() if tls else None
        if self._context is not None:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self.counts: Counter[str] = Counter()
        self.issuers: Counter[str] = Counter()
        """Hashes of the certificates seen."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        while not self._stop.is_set():
            self.counts[self._request()] += 1

    def _request(self) -> str:
        connection = http.client.HTTPConnection(*self._address, timeout=10)
        try:
            connection.connect()
            if self._context is not None:
                connection.sock = self._context.wrap_socket(connection.sock, server_hostname=self._name)
                certificate = connection.sock.getpeercert(binary_form=True) or b""
                self.issuers[str(hash(certificate))] += 1
            connection.request("GET", self._path, headers={"Host": self._name})
            response = connection.getresponse()
            response.read()
            return str(response.status)
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()

    def more(self, number: int) -> None:
        """Wait until so many more requests are done."""
        goal = self.counts.total() + number
        eventually(lambda: self.counts.total() >= goal, within_s=40, what=f"{number} more requests")

    def __enter__(self) -> Load:
        self._thread.start()
        eventually(self.counts.total)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
