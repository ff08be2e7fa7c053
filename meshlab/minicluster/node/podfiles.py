"""The small files and variables that a kubelet gives every container: ``/etc/hosts`` and its like, the API address."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.node.podnetwork import PodNetwork


def etc_files(pod: Obj, network: PodNetwork, nameserver: str) -> dict[str, str]:
    """Files of ``/etc`` by name.

    ``localhost`` is the pod's own address: there is no network namespace in which 127.0.0.1 would mean that.
    """
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    hostname = spec.get("hostname") or pod["metadata"]["name"]
    full = f"{hostname}.{spec['subdomain']}.{namespace}.svc.cluster.local\t" if spec.get("subdomain") else ""
    hosts = ["# Kubernetes-managed hosts file.", f"{network.app_ip}\tlocalhost", f"{network.pod_ip}\t{full}{hostname}"]
    if aliases := spec.get("hostAliases"):
        hosts += ["", "# Entries added by HostAliases."]
        hosts += ["\t".join((alias["ip"], *(alias.get("hostnames") or ()))) for alias in aliases]
    uid, gid = os.getuid(), os.getgid()
    return {
        "hosts": "\n".join(hosts) + "\n",
        "hostname": hostname + "\n",
        "resolv.conf": _resolv_conf(spec, namespace, nameserver),
        # The only user that a container of this lab knows is the one that runs the lab.
        "passwd": f"root:x:{uid}:{gid}:root:/root:/bin/sh\n" + ("" if uid == 65534 else "nobody:x:65534:65534:::\n"),
        "group": f"root:x:{gid}:\n" + ("" if gid == 65534 else "nogroup:x:65534:\n"),
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }


def api_variables(api_server: str) -> dict[str, str]:
    """Where client libraries look for the API server."""
    parts = urlsplit(api_server)
    host, port = parts.hostname or "", str(parts.port or 443)
    return {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "KUBERNETES_SERVICE_PORT_HTTPS": port,
        "KUBERNETES_PORT": f"tcp://{host}:{port}",
    }


def _resolv_conf(spec: Obj, namespace: str, nameserver: str) -> str:
    searches = [f"{namespace}.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    nameservers, options = [nameserver], ["ndots:5"]
    policy, config = spec.get("dnsPolicy", "ClusterFirst"), spec.get("dnsConfig") or {}
    if policy == "None":
        searches, nameservers, options = [], [], []
    searches += config.get("searches") or []
    nameservers += config.get("nameservers") or []
    options += [
        f"{option['name']}:{option['value']}" if option.get("value") else option["name"]
        for option in config.get("options") or []
    ]
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {one}" for one in nameservers]
    lines += [f"options {' '.join(options)}"] if options else []
    return "\n".join(lines) + "\n"
