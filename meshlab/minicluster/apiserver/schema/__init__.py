"""Schemas: what an object may look like, for built-in kinds and custom resources alike.

A schema is a plain dict in the vocabulary of OpenAPI v3 with the ``x-kubernetes-*`` extensions, without references:
those of built-in kinds come out of shipped data through `SchemaSet`, those of custom resources are the structural
schemas of their definitions. `validate`, `prune`, `default` and the strategic merge patch read nothing else.
"""

from meshlab.minicluster.apiserver.schema.bodies import decode_error, parse_body
from meshlab.minicluster.apiserver.schema.defaulting import default
from meshlab.minicluster.apiserver.schema.definitions import Schema, SchemaSet
from meshlab.minicluster.apiserver.schema.pruning import prune
from meshlab.minicluster.apiserver.schema.validation import validate

__all__ = ["Schema", "SchemaSet", "decode_error", "default", "parse_body", "prune", "validate"]
