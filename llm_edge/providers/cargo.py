"""Careful looks into JSON that anybody may have written: each gives the wanted type or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import orjson

from ..exact import read
from ..message import Json

_NOTHING: Json = {}
_SNAKE = re.compile(r"_([a-z0-9])")


def mapping(value: Any) -> Json:
    """The object, or an empty one."""
    found: Json = value  # JSON's types are Any, and known so; isinstance alone would leave them unknown
    return found if isinstance(found, dict) else _NOTHING


def listing(value: Any) -> Sequence[Any]:
    """The list, or an empty one."""
    found: Sequence[Any] = value  # as above
    return found if isinstance(found, list) else ()


def objects(value: Any) -> list[Json]:
    """The objects in a list; what is no object is left out."""
    found: Sequence[Any] = value  # as above
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


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


def tier(value: Any) -> dict[str, str]:
    """The way of serving that was billed, as a part of usage; nothing for the ordinary one."""
    name = string(value).lower()
    return {} if name in _ORDINARY else {"service_tier": name}


_ORDINARY = frozenset({"", "default", "standard", "auto", "on_demand"})


def parse(data: bytes) -> Any:
    """The JSON value; None when it is not JSON."""
    try:
        return orjson.loads(data)
    except ValueError:
        with suppress(ValueError):
            return read(data)  # what orjson alone does not take
    return None


def camel(item: Json) -> Json:
    """An object with its names in Google's own spelling: `mime_type` is taken for `mimeType` there."""
    for name in item:
        if "_" in name:
            return {_camel(name): value for name, value in item.items()}
    return item


@lru_cache(maxsize=512)
def _camel(name: str) -> str:
    return _SNAKE.sub(lambda match: match[1].upper(), name)
