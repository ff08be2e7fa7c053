"""The OpenAPI v3 documents as they are served: made when first asked for, kept until what is served changes."""

from __future__ import annotations

import hashlib

import orjson

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.schema import Schema, SchemaSet

OPENAPI_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

EMPTY_OPENAPI_V2 = b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.37.1\x42\x00"
"""An OpenAPI v2 document without a definition: ``{swagger: "2.0", info: {title, version}, paths: {}}`` as protobuf.

kubectl falls back to it for kinds of which v3 knows nothing. Told nothing here either, it goes on and says that there
is no such kind; told 404 or 406 instead, it gives up and blames the download.
"""


class OpenApi:
    """``/openapi/v3`` and below."""

    def __init__(self, catalog: Catalog, schemas: SchemaSet) -> None:
        self._catalog = catalog
        self._schemas = schemas
        self._documents: dict[str, tuple[bytes, str]] = {}
        self._generation = -1

    def document(self, path: str) -> tuple[bytes, str]:
        """The body and ETag of the index (empty path) or of one group version (``api/v1``, ``apis/apps/v1``).

        Raises:
            StatusError: 404, nothing is served there.
        """
        if self._generation != self._catalog.generation:
            self._documents.clear()
            self._generation = self._catalog.generation
        known = self._documents.get(path)
        if known is None:
            body = orjson.dumps(self._make(path))
            known = self._documents[path] = (body, f'"{hashlib.sha256(body).hexdigest().upper()}"')
        return known

    def _make(self, path: str) -> object:
        resources = self._catalog.resources()
        if not path:
            return self._schemas.openapi_v3_index(resources, generation=self._generation)
        root, _, group_version = path.partition("/")
        if root not in ("api", "apis") or (root == "api") != ("/" not in group_version):
            raise statuses.no_such_path()
        served = [resource for resource in resources if resource.api_version == group_version]
        if not served:
            raise statuses.no_such_path()
        customs: dict[str, Schema] = {}
        for resource in served:
            custom = self._catalog.custom(resource)
            if custom is not None:
                customs[resource.kind] = custom.schema
        return self._schemas.openapi_v3(group_version, resources, customs)
