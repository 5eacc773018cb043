"""
JSON schemas as Anthropic can hold an answer to them.

What it does not know is taken out of the schema and put into the description in words, so the
model still hears of it; nobody checks it then, and that is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import exact
from ...message import Json
from ..cargo import listing, mapping, string

_UNKNOWN = frozenset(
    (
        "maxItems",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "prefixItems",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minProperties",
        "maxProperties",
        "patternProperties",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "unevaluatedProperties",
        "unevaluatedItems",
        "if",
        "then",
        "else",
        "not",
    )
)
_LOOKING_AROUND = ("(?=", "(?!", "(?<=", "(?<!")


def described(form: Json) -> Json:
    """The schema of a `json_schema` format; what the format says of itself stands in it, where nothing else does."""
    schema = mapping(form.get("schema"))
    said = string(form.get("description"))
    return {**schema, "description": said} if said and schema and "description" not in schema else schema


def strict_schema(schema: Json) -> tuple[Json, list[str]]:
    """The schema within Anthropic's limits, and the keywords that had to become words."""
    taken: dict[str, None] = {}
    return _fit(schema, taken), list(taken)


def object_schema(schema: Any) -> Json:
    """A tool's schema: an object's, even when there is none."""
    given = mapping(schema)
    if given.get("type") == "object":
        return given
    return {"type": "object", "properties": {}, **given} if "type" not in given else {**given, "type": "object"}


def _fit(schema: Json, taken: dict[str, None]) -> dict[str, Any]:
    fitted: dict[str, Any] = {}
    words: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _UNKNOWN or (name == "minItems" and value not in (0, 1)) or _looks_around(name, value):
            words[name] = value
        elif name in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            fitted[name] = {key: _inner(inner, taken) for key, inner in mapping(value).items()}
        elif name in ("anyOf", "allOf", "oneOf"):
            fitted["anyOf" if name == "oneOf" else name] = [_inner(inner, taken) for inner in listing(value)]
        elif name == "items":
            fitted[name] = _inner(value, taken)
        elif name != "additionalProperties":
            fitted[name] = value
    if fitted.get("type") == "object" or "properties" in fitted:
        fitted["additionalProperties"] = False
        if schema.get("additionalProperties") not in (None, False):
            words["additionalProperties"] = schema["additionalProperties"]
    if words:
        taken.update(dict.fromkeys(words))
        said = "{" + ", ".join(f"{name}: {_in_words(value)}" for name, value in words.items()) + "}"
        before = string(fitted.get("description"))
        fitted["description"] = f"{before}\n\n{said}" if before else said
    return fitted


def _inner(value: Any, taken: dict[str, None]) -> Any:
    return _fit(mapping(value), taken) if isinstance(value, Mapping) else value


def _in_words(value: Any) -> str:
    return value if isinstance(value, str) else exact.write(value).decode()


def _looks_around(name: str, value: Any) -> bool:
    return name == "pattern" and isinstance(value, str) and any(mark in value for mark in _LOOKING_AROUND)
