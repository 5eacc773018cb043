"""Careful looks into JSON that anybody may have written: each gives the wanted type or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import orjson

from ..message import Json

_NOTHING: Json = {}


def mapping(value: Any) -> Json:
    """The object, or an empty one."""
    # isinstance leaves the parts of a dict unknown to type checkers; JSON's are Any.
    return cast("Json", value) if isinstance(value, dict) else _NOTHING


def listing(value: Any) -> Sequence[Any]:
    """The list, or an empty one."""
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()  # as above


def objects(value: Any) -> list[Json]:
    """The objects in a list; what is no object is left out."""
    return [cast("Json", item) for item in listing(value) if isinstance(item, dict)]  # as above


def string(value: Any) -> str:
    """The text, or an empty one."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """A number of tokens: whole and not negative, or nothing."""
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, float) and value.is_integer() and value >= 0:
        return int(value)
    return None


def add(*values: int | None) -> int:
    """The sum, with nothing counted as 0."""
    return sum(value or 0 for value in values)


def known(**counts: int | None) -> dict[str, int]:
    """The counts that are known."""
    return {name: value for name, value in counts.items() if value is not None}


def parse(data: bytes) -> Any:
    """The JSON value; None when it is not JSON."""
    try:
        return orjson.loads(data)
    except ValueError:
        return None
