"""The JSON Schema files of the documents, and validating a document with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import controller.observe.api

FOLDER = Path(controller.observe.api.__file__).parent / "schemas"

#: The names of the schemas.
NAMES = tuple(sorted(file.stem for file in FOLDER.glob("*.json")))


def schema(name: str) -> dict[str, Any]:
    """Return the schema with this name."""
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def validated(name: str, text: str) -> dict[str, Any]:
    """Return the document in a text. Raises jsonschema.ValidationError unless it is one of this schema and has no field
    that the schema does not describe. The schema itself allows further fields, so that clients do."""
    document: dict[str, Any] = json.loads(text)
    Draft202012Validator(_closed(schema(name))).validate(document)
    return document


def _closed(node: Any) -> Any:
    """Return a schema that allows no fields but those that it describes."""
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(each) for name, each in node.items()}
    if isinstance(node.get("properties"), dict) and "required" in node:
        closed["additionalProperties"] = False
    return closed
