from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from meshlab import errors
from tests.support import schemas


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


@pytest.mark.parametrize("name", schemas.names())
def test_every_schema_is_one(name: str) -> None:
    schema = schemas.load(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", schemas.names())
def test_what_is_required_is_described(name: str) -> None:
    for entry in objects(schemas.load(name)):
        assert set(entry.get("required", [])) <= set(entry["properties"])


def error_classes(base: type[errors.MeshlabError] = errors.MeshlabError) -> Iterator[type[errors.MeshlabError]]:
    if base.__module__ == "meshlab.errors":
        yield base
    for derived in base.__subclasses__():
        yield from error_classes(derived)


@pytest.mark.parametrize("kind", list(error_classes()))
def test_errors_fit_their_schema(kind: type[errors.MeshlabError]) -> None:
    schemas.validate(kind("it broke", hint="mend it").to_json(), "error")
    schemas.validate(kind("it broke").to_json(), "error")


def test_the_tree_of_errors_is_as_drawn() -> None:
    drawn = {line.split()[0]: line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")}
    depth = {name: (len(line) - len(line.lstrip()) - 4) // 2 for name, line in drawn.items()}
    assert {kind.__name__ for kind in error_classes()} == set(drawn)
    for kind in error_classes():
        assert depth[kind.__name__] == [base.__name__ for base in kind.__mro__].index("MeshlabError")


def test_a_title_of_its_own_replaces_the_headline() -> None:
    assert errors.UsageError("x", title="No mesh").to_json()["title"] == "No mesh"
    assert errors.UsageError("x").to_json()["title"] == "Wrong usage"
