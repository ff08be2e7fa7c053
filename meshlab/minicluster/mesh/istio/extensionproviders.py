"""``extensionProviders`` of the mesh's configuration: services that policies refer to by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from meshlab.minicluster.mesh.istio.reading import boolean, integer, mapping, objects, seconds, string_map, text, texts
from meshlab.minicluster.mesh.providers import BodyCheck, ExternalAuthorizer

AUTHORIZERS: Mapping[str, Literal["HTTP", "GRPC"]] = {"envoyExtAuthzHttp": "HTTP", "envoyExtAuthzGrpc": "GRPC"}


def external_authorizers(mesh_config: Mapping[str, Any]) -> tuple[ExternalAuthorizer, ...]:
    """The external authorizers that the configuration names."""
    found: list[ExternalAuthorizer] = []
    for provider in objects(mesh_config.get("extensionProviders")):
        for field, protocol in AUTHORIZERS.items():
            if isinstance(provider.get(field), dict):
                found.append(_authorizer(text(provider.get("name")), protocol, provider[field]))
    return tuple(found)


def _authorizer(name: str, protocol: Literal["HTTP", "GRPC"], given: Mapping[str, Any]) -> ExternalAuthorizer:
    body = mapping(given.get("includeRequestBodyInCheck"))
    maximum = integer(body.get("maxRequestBytes"))
    timeout = seconds(given.get("timeout"))
    return ExternalAuthorizer(
        name=name,
        protocol=protocol,
        host=text(given.get("service")),
        port=integer(given.get("port")) or 0,
        timeout_s=timeout if timeout else 600.0,
        fail_open=boolean(given.get("failOpen")) or False,
        status_on_error=integer(given.get("statusOnError")),
        clear_route_cache=boolean(given.get("clearRouteCache")) or False,
        body=BodyCheck(
            maximum,
            boolean(body.get("allowPartialMessage")) or False,
            boolean(body.get("packAsBytes")) or False,
        )
        if maximum
        else None,
        path_prefix=text(given.get("pathPrefix")),
        request_headers=texts(given.get("includeHeadersInCheck")) + texts(given.get("includeRequestHeadersInCheck")),
        added_headers=tuple(string_map(given.get("includeAdditionalHeadersInCheck")).items()),
        upstream_headers=texts(given.get("headersToUpstreamOnAllow")),
        client_headers_on_allow=texts(given.get("headersToDownstreamOnAllow")),
        client_headers_on_deny=texts(given.get("headersToDownstreamOnDeny")),
    )
