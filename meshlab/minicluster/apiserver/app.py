"""The HTTP face of the registry: who asks, may they, and which verb of which resource is meant.

One handler takes every path, since what exists changes with the definitions of custom resources.
"""

from __future__ import annotations

import logging

from aiohttp import web

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.answers import cached_answer, json_answer, refusal
from meshlab.minicluster.apiserver.authn import authenticate
from meshlab.minicluster.apiserver.authz import Action
from meshlab.minicluster.apiserver.discovery import AGGREGATED_TYPE
from meshlab.minicluster.apiserver.impersonation import impersonated
from meshlab.minicluster.apiserver.negotiation import JSON, accepts_discovery_v2
from meshlab.minicluster.apiserver.openapi import EMPTY_OPENAPI_V2, OPENAPI_V2_TYPE
from meshlab.minicluster.apiserver.paths import ApiPath, parse_api_path
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.streams.query import parse_bool
from meshlab.minicluster.apiserver.users import ANONYMOUS, User
from meshlab.minicluster.apiserver.verbs import Call, Parts, Verbs
from meshlab.minicluster.kubeapi import StatusError

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 3 * 1024 * 1024
_HEALTH = ("/healthz", "/livez", "/readyz")
_UPGRADES = ("exec", "attach", "portforward")


class HttpApi:
    """Serves the API of one registry as an aiohttp application."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._verbs = Verbs(parts)

    def application(self) -> web.Application:
        """The application to run."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        warnings: list[str] = []
        try:
            response = await self._respond(http, warnings)
        except StatusError as error:
            response = refusal(error)
        except web.HTTPRequestEntityTooLarge:
            message = f"Request entity too large: limit is {MAX_BODY_BYTES}"
            response = refusal(StatusError(413, "RequestEntityTooLarge", message))
        except (ConnectionResetError, web.HTTPException):
            raise
        except Exception:
            logger.exception("%s %s failed", http.method, http.path)
            response = refusal(statuses.internal("the server met an unexpected condition; see its log"))
        if not response.prepared:
            for warning in dict.fromkeys(warnings):
                escaped = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
                response.headers.add("Warning", f'299 - "{escaped}"')
        return response

    async def _respond(self, http: web.Request, warnings: list[str]) -> web.StreamResponse:
        path = http.path
        user = authenticate(http, self.parts.tokens)
        if path in _HEALTH or path.startswith(("/livez/", "/readyz/")):
            return web.Response(text="ok")
        if path.rstrip("/") == "/version":
            return json_answer(self.parts.version)
        if user is ANONYMOUS:
            raise statuses.unauthorized()
        user = impersonated(user, http.headers, self.parts.authorizer)
        api_path = parse_api_path(path)
        if api_path is None:
            return self._non_resource(http, user, path)
        resource = self.parts.registry.catalog.get(api_path.group, api_path.version, api_path.plural)
        verb = _verb(http, api_path)
        action = Action(verb, api_path.group, api_path.plural, api_path.subresource, api_path.namespace, api_path.name)
        if not self.parts.authorizer.allows(user, action):
            details_of = resource or _unserved(api_path)
            raise statuses.forbidden(details_of, api_path.name, action.refusal(user))
        if resource is None or (api_path.subresource and api_path.subresource not in resource.subresources):
            raise statuses.no_such_path()
        if api_path.namespace and not resource.namespaced:
            raise statuses.no_such_path()
        custom = self.parts.registry.catalog.custom(resource)
        if custom is not None and custom.deprecation:
            warnings.append(custom.deprecation)
        body = await http.read() if http.method in ("POST", "PUT", "PATCH", "DELETE") else b""
        return await self._verbs.dispatch(Call(http, body, user, api_path, resource, warnings), verb)

    # Paths that are no resources

    def _non_resource(self, http: web.Request, user: User, path: str) -> web.StreamResponse:
        action = Action(http.method.lower(), path=path)
        if not self.parts.authorizer.allows(user, action):
            raise StatusError(403, "Forbidden", f"forbidden: {action.refusal(user)}", {})
        if http.method not in ("GET", "HEAD"):
            raise statuses.method_not_allowed()
        parts = path.strip("/").split("/")
        discovery = self.parts.discovery
        match parts:
            case [""]:
                return json_answer({"paths": ["/api", "/api/v1", "/apis", *_HEALTH, "/openapi/v3", "/version"]})
            case ["api" | "apis" as root] if accepts_discovery_v2(http.headers.get("Accept", "")):
                body, etag = discovery.aggregated(core=root == "api")
                return cached_answer(http, body, etag, AGGREGATED_TYPE)
            case ["api"]:
                return json_answer(discovery.core_versions())
            case ["apis"]:
                return json_answer(discovery.groups())
            case ["api", version]:
                return json_answer(discovery.resources("", version))
            case ["apis", group]:
                return json_answer(discovery.group(group))
            case ["apis", group, version]:
                return json_answer(discovery.resources(group, version))
            case ["openapi", "v3", *rest]:
                body, etag = self.parts.openapi.document("/".join(rest))
                return cached_answer(http, body, etag, JSON)
            case ["openapi", "v2"]:
                if "protobuf" not in http.headers.get("Accept", ""):
                    raise statuses.not_acceptable([OPENAPI_V2_TYPE])
                return web.Response(body=EMPTY_OPENAPI_V2, headers={"Content-Type": OPENAPI_V2_TYPE})
        raise statuses.no_such_path()


def _verb(http: web.Request, path: ApiPath) -> str:
    if path.subresource in _UPGRADES:
        return "create"
    match http.method:
        case "GET" | "HEAD":
            if path.watch or (parse_bool(http.query.get("watch")) and not path.subresource and not path.name):
                return "watch"
            return "get" if path.name else "list"
        case "POST":
            return "create"
        case "PUT":
            return "update"
        case "PATCH":
            return "patch"
        case "DELETE":
            return "delete" if path.name else "deletecollection"
    return http.method.lower()


def _unserved(path: ApiPath) -> Resource:
    """A row for what is not served, so that a refusal can name it."""
    return Resource(path.group, path.version, "", path.plural, "", bool(path.namespace), ())
