"""The published JSON Schemas, for tests that hold real output against them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = Path(__file__).parent.parent.parent / "docs" / "schemas"


def names() -> list[str]:
    """Every schema."""
    return sorted(path.stem for path in SCHEMAS.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """One schema."""
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return schema


def validate(document: Any, name: str) -> None:
    """Hold a document against a schema.

    Raises:
        jsonschema.ValidationError: it does not fit.
    """
    jsonschema.Draft202012Validator(load(name)).validate(document)
