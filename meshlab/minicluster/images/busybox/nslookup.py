"""``nslookup`` of BusyBox, asking the lab's name table in place of CoreDNS."""

from __future__ import annotations

from pathlib import Path

from meshlab.minicluster.images.dial import PodNetwork
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.network.names import NameTable
from meshlab.minicluster.pod import PodContext


def main(argv: list[str], pod: PodContext) -> int:
    """``nslookup [-type=A] HOST [SERVER]``."""
    arguments = [argument for argument in argv[1:] if not argument.startswith("-")]
    if not arguments:
        print_line(
            "BusyBox v1.37.0 () multi-call binary.\n\nUsage: nslookup [-type=QUERY_TYPE] [-debug] HOST [DNS_SERVER]",
            error=True,
        )
        return 1
    host = arguments[0]
    table = NameTable(Path(pod.names_file))
    server = (table.resolve("kube-dns.kube-system.svc.cluster.local", pod.namespace) or ["127.0.0.53"])[0]
    print_line(f"Server:\t\t{server}\nAddress:\t{server}:53\n")
    full_name, addresses = _look_up(table, host, pod)
    if not addresses:
        print_line(f"** server can't find {full_name}: NXDOMAIN\n")
        return 1
    for address in addresses:
        print_line(f"Name:\t{full_name}\nAddress: {address}")
    print_line("")
    return 0


def _look_up(table: NameTable, host: str, pod: PodContext) -> tuple[str, list[str]]:
    """The name under which the host was found, as the search list completes it, and its addresses."""
    if host.rstrip(".") in {"localhost", pod.name}:
        return host, PodNetwork(pod).resolve(host)
    search = [f"{pod.namespace}.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    candidates = [host] if host.endswith(".") or host.count(".") >= 5 else [f"{host}.{domain}" for domain in search]
    for candidate in (*candidates, host):
        # With a dot at the end the table does not search on its own.
        addresses = table.resolve(candidate.rstrip(".") + ".", pod.namespace, mesh=pod.captures_dns)
        if addresses:
            return candidate.rstrip("."), addresses
    return host, []
