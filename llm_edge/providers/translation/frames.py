"""JSON events written as server-sent events, and read again: strict outwards, tolerant inwards."""

from __future__ import annotations

from typing import Any

import orjson

from ... import exact
from ...errors import BadAnswer
from ...message import Json
from ..cargo import mapping

DONE = b"data: [DONE]\n\n"


def data(value: Json) -> bytes:
    """An event without a name."""
    return b"data: " + dump(value) + b"\n\n"


def named(name: str, value: Json) -> bytes:
    """An event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + dump(value) + b"\n\n"


def dump(value: object) -> bytes:
    """The JSON of what was JSON before: whatever cannot be is not looked for."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return exact.write(value)  # long integers, lone surrogates


def load(content: bytes, whole: bool = True) -> Json:
    """An event's object. BadAnswer when it is none, or when the splitter has kept only its end."""
    if not whole:
        raise BadAnswer("an event of the stream is too large to be translated")
    value: Any = None
    try:
        value = exact.read(content)
    except ValueError:
        pass
    if not isinstance(value, dict):
        raise BadAnswer("an event of the stream is not a JSON object")
    return mapping(value)
