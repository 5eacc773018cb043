"""
JSON read and written without loss: what orjson would bend goes through the standard library.

orjson turns integers past 64 bits into floats, refuses lone surrogates and a depth it can itself
read, and writes NaN as null. A call's cargo is not ours to bend, so each of these is caught, at a
price of a microsecond for an ordinary body. Anything that is not JSON is a ValueError.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeGuard

import orjson

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_DIGITS = bytes(ord("1" if code in b"0123456789" else "0") for code in range(256))
_NINETEEN = b"1" * 19
_GUESSES = 32


def read(raw: bytes) -> Any:
    """The value these bytes stand for. ValueError when they are not JSON."""
    if not has_long_number(raw):
        try:
            return orjson.loads(raw)
        except ValueError:
            if not _SURROGATE.search(raw):
                raise
    try:
        return json.loads(raw.decode(), parse_constant=_no_number)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def write(value: object) -> bytes:
    """The value as compact JSON. ValueError or TypeError when JSON has no words for it."""
    raw = _dump(value, sort=False)
    if b"null" in raw and not _all_finite(value):
        raise ValueError("NaN and infinity are not JSON")
    return raw


def canonical(value: object) -> bytes:
    """The one form of all that mean the same. For what was read or written here before: it does not look for NaN."""
    return _dump(value, sort=True)


def _dump(value: object, *, sort: bool) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort else None)
    except TypeError:
        pass
    # Long integers, lone surrogates, keys that are no strings, depth: what the stdlib takes, we take.
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False, sort_keys=sort).encode()
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def same(one: object, other: object) -> bool:
    """Whether two values are the same JSON; `1`, `1.0` and `true` are not."""
    if type(one) is not type(other):
        return False
    if one is None or isinstance(one, (str, int)):
        return one == other
    try:
        return write(one) == write(other)
    except (TypeError, ValueError):
        return False


def has_long_number(raw: bytes) -> bool:
    """Whether 19 digits stand in a row somewhere: perhaps an integer past 64 bits, perhaps not."""
    # Of 19 bytes in a row every sixth is at least three: looking at those alone takes half as long as looking at all.
    hints = raw[::6].translate(_DIGITS)
    at = hints.find(b"111")
    for _ in range(_GUESSES):
        if at < 0:
            return False
        if _LONG_NUMBER.search(raw, max(6 * at - 5, 0), 6 * at + 19):
            return True
        at = hints.find(b"111", at + 1)
    # So many digits that hints are no help: lists of tokens are like that.
    return at >= 0 and _NINETEEN in raw.translate(_DIGITS)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is a JSON object; tells the type checker, too."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether JSON writes it as a list."""
    return isinstance(value, (list, tuple))


def _all_finite(value: object) -> bool:
    """Whether no NaN or infinity, which orjson writes as null, stands anywhere inside."""
    if isinstance(value, float):
        return math.isfinite(value)
    if is_object(value):
        return all(map(_all_finite, value.values()))
    return all(map(_all_finite, value)) if is_list(value) else True
