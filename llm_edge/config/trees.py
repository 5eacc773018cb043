"""Settings as plain trees of tables, lists and values: the ways through them, and how these are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeGuard

Path = tuple[str | int, ...]
"""The way to a setting: names of tables and settings, and places in a list."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def is_table(value: object) -> TypeGuard[Mapping[str, object]]:
    """Whether the value is a table; that its keys are texts is checked with the settings."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Whether the value is a list of values."""
    return isinstance(value, (list, tuple))


def dotted(path: Path) -> str:
    """The full name of a setting, as TOML writes it; the place in a list stands in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + quoted(part)
    return text


def as_written(path: Path, tree: object) -> Path:
    """The path as the author wrote it: one key where a list of keys may stand is not `api_key[0]`."""
    at = tree
    for depth, part in enumerate(path):
        if is_table(at):
            if not isinstance(part, str) or part not in at:
                return path
            at = at[part]
        elif is_list(at) and isinstance(part, int) and part < len(at):
            at = at[part]
        else:
            return path[:depth]
    return path


def quoted(key: str) -> str:
    """A key of a table, in quotes when it needs them; nothing in it can break a line."""
    if _BARE.fullmatch(key):
        return key
    return json.dumps(key, ensure_ascii=not key.isprintable()).replace("\x7f", "\\u007f")
