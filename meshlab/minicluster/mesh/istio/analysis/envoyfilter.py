"""EnvoyFilters: operations that depend on what others do, or that are ignored; filters behind a route's policy.

IST0151 to IST0155, IST0178.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message

ENVOY_FILTERS = "envoyfilters.networking.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"
ROUTES = frozenset({"ROUTE_CONFIGURATION", "HTTP_ROUTE"})
FILTERS = frozenset({"HTTP_FILTER", "NETWORK_FILTER"})
INSERTIONS = frozenset({"INSERT_BEFORE", "INSERT_AFTER"})


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check every patch.

    A relative patch (before, after, instead of another filter) wants a priority. It is worse where a patch before it,
    of any EnvoyFilter, names the same filter for one version of the proxy only: IST0155 then takes IST0151's place.
    """
    of_one_version: set[str] = set()
    for resource in snapshot.of(ENVOY_FILTERS):
        for index, entry in enumerate(resource.spec.get("configPatches") or []):
            patch = entry.get("patch") if isinstance(entry, dict) else None
            if not isinstance(patch, dict):
                break
            name, path = _filter_name(entry), ("spec", "configPatches", index)
            code = _misused(str(entry.get("applyTo", "")), str(patch.get("operation", "")))
            if code == "IST0151":
                code = "" if resource.spec.get("priority") else "IST0155" if name in of_one_version else code
            if code:
                at: Path = path
                yield message(code, resource, path=at)
            if ((entry.get("match") or {}).get("proxy") or {}).get("proxyVersion"):
                of_one_version.add(name)


def route_cache(snapshot: Snapshot) -> Iterator[Message]:
    """HTTP filters at gateways, where a policy targets an HTTPRoute: they may make Envoy choose another route."""
    if not any(_targets_route(policy) for policy in snapshot.of("authorizationpolicies.security.istio.io")):
        return
    for resource in snapshot.of(ENVOY_FILTERS):
        for index, entry in enumerate(resource.spec.get("configPatches") or []):
            context = (entry.get("match") or {}).get("context")
            if entry.get("applyTo") == "HTTP_FILTER" and context not in ("SIDECAR_INBOUND", "SIDECAR_OUTBOUND"):
                path: Path = ("spec", "configPatches", index)
                yield message("IST0178", resource, path=path)
                break


def _targets_route(policy: Resource) -> bool:
    references = [policy.spec.get("targetRef") or {}, *(policy.spec.get("targetRefs") or [])]
    return any((item.get("group"), item.get("kind")) == (GATEWAY_API, "HTTPRoute") for item in references)


def _misused(apply_to: str, operation: str) -> str:
    """The code for an operation at a place; IST0151 says that it is relative, empty that nothing is wrong."""
    if operation == "ADD" and apply_to in ROUTES:
        return "IST0153"
    if operation == "REMOVE":
        return "IST0154" if apply_to in ROUTES else "IST0151"
    if operation == "REPLACE":
        return "IST0151" if apply_to in FILTERS else "IST0152"
    return "IST0151" if operation in INSERTIONS else ""


def _filter_name(entry: Obj) -> str:
    """What the patch is about: the name in its value, else the filter that it matches."""
    value = entry["patch"].get("value")
    if not isinstance(value, dict) or not value:
        return ""
    if "name" in value:
        return str(value["name"])
    chain = ((entry.get("match") or {}).get("listener") or {}).get("filterChain") or {}
    return str((chain.get("filter") or {}).get("name") or "")
