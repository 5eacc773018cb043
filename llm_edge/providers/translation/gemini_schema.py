"""
JSON schemas as Google takes them.

Two dialects. The new fields (`parametersJsonSchema`, `responseJsonSchema`) take JSON schema, nearly:
what they do not check they ignore, so it is only told. The old ones (`parameters`, `responseSchema`)
take a subset of OpenAPI: references are written out (a recursive one becomes any object), `const`
becomes an enum of one, a type with null becomes `nullable`, `allOf` is merged, the rest is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ... import exact
from ...message import Json
from ..cargo import listing, mapping, string

_CHECKED = frozenset(
    """
    $id $defs $ref $anchor $schema $comment definitions type format title description enum const items prefixItems
    minItems maxItems minimum maximum anyOf oneOf allOf properties additionalProperties required propertyOrdering
    default examples example nullable
    """.split()  # noqa: SIM905  a list of this length would fill the page
)
_OLD = frozenset(
    """
    type format title description nullable enum items maxItems minItems properties required minProperties
    maxProperties minimum maximum minLength maxLength pattern example anyOf propertyOrdering default
    """.split()  # noqa: SIM905  a list of this length would fill the page
)
_NUMBERS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")


# ------------------------------------------------------------------ the new fields


def json_schema(schema: Json, unchecked: dict[str, None]) -> Json:
    """The schema for the new fields, and the keywords Google will not check."""
    return _fitted(schema, unchecked, root=True)


def _fitted(schema: Json, unchecked: dict[str, None], root: bool = False) -> Json:
    made: dict[str, Any] = {}
    for name, value in schema.items():
        if name not in _CHECKED:
            unchecked[name] = None
        if name in ("properties", "$defs", "definitions") and isinstance(value, dict):
            made[name] = {key: _inner(inner, unchecked) for key, inner in mapping(value).items()}
        elif name in _SCHEMAS and isinstance(value, list):
            made[name] = [_inner(inner, unchecked) for inner in listing(value)]
        elif name in ("items", "additionalProperties"):
            made[name] = _inner(value, unchecked)
        elif name == "const":
            made["enum"] = [value]
        else:
            made[name] = value
    if "allOf" in made:
        _merge(made, made.pop("allOf"))
    if "$ref" in made and not root and any(not name.startswith("$") for name in made):
        # A reference may have no neighbours.
        reference = {name: made.pop(name) for name in list(made) if name.startswith("$")}
        made["anyOf"] = [reference, *made.get("anyOf", ())]
    return made


def _inner(value: Any, unchecked: dict[str, None]) -> Any:
    return _fitted(mapping(value), unchecked) if isinstance(value, dict) else value


def _merge(made: dict[str, Any], schemas: Any) -> None:
    """All of several schemas as one."""
    for schema in listing(schemas):
        for name, value in mapping(schema).items():
            known = made.get(name)
            if isinstance(known, dict) and isinstance(value, dict):
                made[name] = {**mapping(known), **mapping(value)}
            elif name == "required" and isinstance(known, list):
                made[name] = list(dict.fromkeys([*listing(known), *listing(value)]))
            elif name == "enum" and isinstance(known, list):
                made[name] = [each for each in listing(known) if each in value]
            else:
                made.setdefault(name, value)


def empty(schema: Json) -> bool:
    """Whether a tool's schema asks for nothing at all."""
    return (
        not schema.get("properties")
        and schema.keys().isdisjoint({"$ref", "anyOf", "oneOf", "allOf", "patternProperties"})
        and schema.get("additionalProperties") in (None, False)
    )


# ------------------------------------------------------------------ the old fields


def old_schema(schema: Json, left_out: dict[str, None]) -> Json:
    """The schema for the old fields, and the keywords that had to go."""
    return _old(schema, {**mapping(schema.get("definitions")), **mapping(schema.get("$defs"))}, (), left_out)


def _old(schema: Json, known: Json, inside: tuple[str, ...], left_out: dict[str, None]) -> dict[str, Any]:
    if isinstance(schema.get("$ref"), str):
        return _referred(schema, known, inside, left_out)
    flat = {name: value for name, value in schema.items() if name not in ("$defs", "definitions", "$schema", "$id")}
    if "allOf" in flat:
        parts = [_resolved(mapping(part), known, inside) for part in listing(flat.pop("allOf"))]
        _merge(flat, parts)

    made: dict[str, Any] = {}
    for name, value in flat.items():
        if name in ("anyOf", "oneOf", "properties", "items"):
            _nested(made, name, value, lambda each: _old(mapping(each), known, inside, left_out))
        elif name == "type":
            _type(made, value)
        elif name in ("enum", "const"):
            _enum(made, listing(value) if name == "enum" else [value])
        elif name in _OLD:
            made[name] = value
        elif name != "additionalProperties" or value not in (None, False):
            left_out[name] = None
    return made


def _nested(made: dict[str, Any], name: str, value: Any, write: Callable[[Any], dict[str, Any]]) -> None:
    if name == "items":
        made[name] = write(value)
    elif name != "properties":
        _any(made, [write(each) for each in listing(value)])
    elif value:  # an object without any is refused
        made[name] = {key: write(each) for key, each in mapping(value).items()}


def _referred(schema: Json, known: Json, inside: tuple[str, ...], left_out: dict[str, None]) -> dict[str, Any]:
    name = string(schema["$ref"]).rpartition("/")[2]
    rest = {key: value for key, value in schema.items() if not key.startswith("$")}
    if name in inside or name not in known:
        left_out["$ref"] = None
        return {"type": "OBJECT", **{key: rest[key] for key in ("description",) if key in rest}}
    return _old({**mapping(known[name]), **rest}, known, (*inside, name), left_out)


def _resolved(schema: Json, known: Json, inside: tuple[str, ...]) -> Json:
    name = string(schema.get("$ref")).rpartition("/")[2]
    return mapping(known.get(name)) if name and name not in inside else schema


def _type(made: dict[str, Any], value: Any) -> None:
    kinds = [string(each) for each in listing(value)] if isinstance(value, list) else [string(value)]
    named = [kind for kind in kinds if kind.lower() != "null"]
    if len(named) < len(kinds):
        made["nullable"] = True
    if "enum" in made:
        return  # a text, whatever it said
    if len(named) > 1:
        made["anyOf"] = [{"type": kind.upper()} for kind in named]
    elif named and named[0]:
        made["type"] = named[0].upper()


def _enum(made: dict[str, Any], values: Any) -> None:
    if None in values:
        made["nullable"] = True
    made["enum"] = [
        each if isinstance(each, str) else exact.write(each).decode() for each in values if each is not None
    ]
    made["type"] = "STRING"  # only texts are told one by one


def _any(made: dict[str, Any], choices: list[dict[str, Any]]) -> None:
    real = [each for each in choices if each.get("type") != "NULL" and each != {"nullable": True}]
    if len(real) < len(choices):
        made["nullable"] = True
    if len(real) == 1:
        for name, value in real[0].items():
            made.setdefault(name, value)
    else:
        made["anyOf"] = real


# ------------------------------------------------------------------ the old fields, read


def from_old(schema: Any) -> Json:
    """The JSON schema that means what this one of the old fields does."""
    given = mapping(schema)
    made: dict[str, Any] = {}
    for name, value in given.items():
        name = _SPELLINGS.get(name, name)
        if name == "type" and isinstance(value, str):
            if value != "TYPE_UNSPECIFIED":
                made[name] = value.lower()
        elif name == "properties":
            made[name] = {key: from_old(each) for key, each in mapping(value).items()}
        elif name in ("items", "additionalProperties") and isinstance(value, Mapping):
            made[name] = from_old(value)
        elif name == "anyOf":
            made[name] = [from_old(each) for each in listing(value)]
        elif name == "defs":
            made["$defs"] = {key: from_old(each) for key, each in mapping(value).items()}
        elif name == "ref":
            made["$ref"] = value
        elif name in _NUMBERS and isinstance(value, str) and value.isdigit():
            made[name] = int(value)  # long integers are texts in Google's JSON
        elif name != "nullable" and value is not None:
            made[name] = value
    if given.get("nullable"):
        _nullable(made)
    return made


def _nullable(made: dict[str, Any]) -> None:
    if "type" in made:
        made["type"] = [made["type"], "null"]
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
    elif "anyOf" in made:
        made["anyOf"] = [*made["anyOf"], {"type": "null"}]


_SPELLINGS = {
    "any_of": "anyOf",
    "max_items": "maxItems",
    "min_items": "minItems",
    "max_length": "maxLength",
    "min_length": "minLength",
    "max_properties": "maxProperties",
    "min_properties": "minProperties",
    "property_ordering": "propertyOrdering",
    "additional_properties": "additionalProperties",
}
