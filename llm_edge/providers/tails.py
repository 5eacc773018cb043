"""Reads what matters from the end of an event too large to keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..message import Json
from .cargo import mapping

# orjson cannot read a value from the middle of a text.
_read: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().raw_decode


def object_in_tail(tail: bytes, name: str) -> Json | None:
    """The last object under this name that is whole in the tail; None when there is none."""
    text = tail.decode(errors="replace")
    at = len(text)
    while (at := text.rfind(f'"{name}"', 0, at)) >= 0:
        start = text.find("{", at)
        between = text[at + len(name) + 2 : start].strip() if start >= 0 else ""
        if between != ":":
            continue
        try:
            return mapping(_read(text, start)[0])
        except ValueError:
            continue
    return None
