"""Is the lab sick? Asked before anything is blamed on it, and before a learner is blamed for what it may have done.

Three probes, from the cheapest to the dearest, each of something that no exercise lets a learner change: the API
server says that it is ready, a node is Ready, and the ``default`` namespace (which nobody can delete) can be read. The
control plane of the mesh is not among them: learners may scale it, so its state proves nothing about the lab.
"""

from __future__ import annotations

from meshlab.cluster.facade import Cluster, NotFoundError, RefusedError
from meshlab.errors import LabError

PROBE_TIMEOUT_S = 5.0


def sickness(cluster: Cluster) -> str:
    """What is wrong with the lab, in words; empty if these probes find nothing.

    A probe that the user's rights do not allow proves nothing, and is passed over.
    """
    for probe in (_api_server, _nodes, _reference_object):
        try:
            finding = probe(cluster)
        except NotFoundError as error:
            finding = error.message
        except RefusedError as error:
            if error.code == 403:
                continue
            finding = error.message
        except LabError as error:
            finding = error.message
        if finding:
            return finding
    return ""


def _api_server(cluster: Cluster) -> str:
    cluster.request("GET", "/readyz", timeout_s=PROBE_TIMEOUT_S)
    return ""


def _nodes(cluster: Cluster) -> str:
    conditions = [
        condition
        for node in cluster.request("GET", "/api/v1/nodes", timeout_s=PROBE_TIMEOUT_S)["items"]
        for condition in (node.get("status") or {}).get("conditions") or []
    ]
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return "" if ready else "no node is Ready"


def _reference_object(cluster: Cluster) -> str:
    namespace = cluster.request("GET", "/api/v1/namespaces/default", timeout_s=PROBE_TIMEOUT_S)
    phase = (namespace.get("status") or {}).get("phase")
    return "" if phase == "Active" else f"namespace default is {phase}"
