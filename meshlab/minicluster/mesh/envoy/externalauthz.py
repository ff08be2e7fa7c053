"""Filters that ask an external authorizer, by HTTP or by gRPC (Envoy's ext_authz)."""

from __future__ import annotations

from collections.abc import Iterable

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import HTTP, NETWORK
from meshlab.minicluster.mesh.envoy.matching import string_matcher
from meshlab.minicluster.mesh.envoy.vocabulary import cluster_name, duration, extension
from meshlab.minicluster.mesh.providers import ExternalAuthorizer
from meshlab.minicluster.mesh.routing import StringMatch

BAD_PROVIDER = "-deny-due-to-bad-CUSTOM-action"
VERDICT = "istio_ext_authz_shadow_effective_policy_id"
"""The metadata in which the filter before it tells which policy wants the check."""


def policy_prefix(provider: str) -> str:
    """What the names of a provider's policies begin with."""
    return f"istio-ext-authz-{provider}-" if provider else "istio-ext-authz-"


def http_check(authorizer: ExternalAuthorizer, host: str) -> Obj:
    """The HTTP filter that asks for requests."""
    cluster = cluster_name("outbound", authorizer.port, "", host)
    members: Obj = {
        "transport_api_version": "V3",
        "failure_mode_allow": authorizer.fail_open,
        "filter_enabled_metadata": _wanted("envoy.filters.http.rbac", authorizer.name),
    }
    if authorizer.status_on_error is not None:
        members["status_on_error"] = {"code": authorizer.status_on_error}
    if authorizer.clear_route_cache:
        members["clear_route_cache"] = True
    if authorizer.body is not None:
        members["with_request_body"] = {
            "max_request_bytes": authorizer.body.maximum_bytes,
            "allow_partial_message": authorizer.body.allow_partial,
            "pack_as_bytes": authorizer.body.as_bytes,
        }
    if authorizer.protocol == "GRPC":
        members["grpc_service"] = _grpc_service(authorizer, cluster)
    else:
        members["http_service"] = _http_service(authorizer, cluster, host)
        if authorizer.request_headers:
            members["allowed_headers"] = _headers(authorizer.request_headers)
    return extension("envoy.filters.http.ext_authz", HTTP + "ext_authz.v3.ExtAuthz", **members)


def tcp_check(authorizer: ExternalAuthorizer, host: str) -> Obj:
    """The network filter that asks for connections; empty for an authorizer that speaks HTTP."""
    if authorizer.protocol == "HTTP":
        return {}
    return extension(
        "envoy.filters.network.ext_authz",
        NETWORK + "ext_authz.v3.ExtAuthz",
        stat_prefix="tcp.",
        transport_api_version="V3",
        failure_mode_allow=authorizer.fail_open,
        filter_enabled_metadata=_wanted("envoy.filters.network.rbac", authorizer.name),
        grpc_service=_grpc_service(authorizer, cluster_name("outbound", authorizer.port, "", host)),
    )


def _wanted(filter_name: str, provider: str) -> Obj:
    value = {"string_match": {"prefix": policy_prefix(provider)}}
    return {"filter": filter_name, "path": [{"key": VERDICT}], "value": value}


def _grpc_service(authorizer: ExternalAuthorizer, cluster: str) -> Obj:
    # The pipe characters of a cluster's name are not allowed in an authority.
    envoy_grpc = {"cluster_name": cluster, "authority": cluster.replace("|", "_.")}
    return {"envoy_grpc": envoy_grpc, "timeout": duration(authorizer.timeout_s)}


def _http_service(authorizer: ExternalAuthorizer, cluster: str, host: str) -> Obj:
    service: Obj = {
        "server_uri": {"uri": f"http://{host}", "cluster": cluster, "timeout": duration(authorizer.timeout_s)},
    }
    if authorizer.path_prefix:
        service["path_prefix"] = authorizer.path_prefix
    if authorizer.added_headers:
        added = [{"key": name, "value": value} for name, value in authorizer.added_headers]
        service["authorization_request"] = {"headers_to_add": added}
    answer: Obj = {}
    for field, names in (
        ("allowed_upstream_headers", authorizer.upstream_headers),
        ("allowed_client_headers_on_success", authorizer.client_headers_on_allow),
        ("allowed_client_headers", authorizer.client_headers_on_deny),
    ):
        if names:
            answer[field] = _headers(names)
    if answer:
        service["authorization_response"] = answer
    return service


def _headers(names: Iterable[str]) -> Obj:
    return {"patterns": [string_matcher(_header(name), ignore_case=True) for name in names]}


def _header(name: str) -> StringMatch:
    if name == "*":
        return StringMatch("present")
    if name.startswith("*"):
        return StringMatch("suffix", name[1:])
    if name.endswith("*"):
        return StringMatch("prefix", name[:-1])
    return StringMatch("exact", name)
