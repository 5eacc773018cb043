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
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeGuard

import orjson

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONG_NUMBER = re.compile(rb"(?<![0-9.])[0-9]{19}")
_DIGITS = bytes(ord("1" if code in b"0123456789" else "." if code == ord(".") else "0") for code in range(256))
_NINETEEN = b"1" * 19
_STEPS = ((19, b"1", 5000), (6, b"111", 1000))
"""Of 19 digits in a row one stands on every 19th byte, and three on every sixth; bytes for each closer look."""
_SHORT, _STEP = 6_000, _STEPS[1:]
"""Bytes up to which the second step alone is quicker than both: single digits stand everywhere, three seldom."""


def read(raw: bytes) -> Any:
    """The value these bytes stand for. ValueError when they are not JSON."""
    encoding = "utf-8"
    if not has_long_number(raw):
        try:
            return orjson.loads(raw)
        except ValueError:
            encoding = json.detect_encoding(raw)  # a byte order mark, or UTF-16: not how JSON travels, and read by all
            if encoding == "utf-8" and not _SURROGATE.search(raw):
                raise
    elif raw[:1] == b"\xef":
        encoding = "utf-8-sig"
    try:
        return json.loads(raw.decode(encoding), parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def write(value: object) -> bytes:
    """The value as compact JSON. ValueError or TypeError when JSON has no words for it."""
    try:
        raw = orjson.dumps(value)
    except TypeError:
        raw = _by_hand(value)
    if b"null" in raw and not _all_finite(value):
        raise ValueError("NaN and infinity are not JSON")
    return raw


def unwritable(value: object, name: str = "") -> str:
    """The innermost part that JSON has no words for, by its place in the value: `messages[0].content`."""
    parts: Iterable[tuple[str, object]] = ()
    if is_object(value):
        parts = ((f"{name}.{key}".lstrip("."), part) for key, part in value.items())
    elif is_list(value):
        parts = ((f"{name}[{at}]", part) for at, part in enumerate(value))
    for inner, part in parts:
        try:
            write(part)
        except (TypeError, ValueError):
            return unwritable(part, inner) if name.count("[") + name.count(".") < 20 else f"`{inner}`"
    return f"`{name}`" if name else "the request"


def canonical(value: object) -> bytes:
    """The one form of all that mean the same. For what was read or written here before: it does not look for NaN."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return _by_hand(value, sort=True)


def doubled(raw: bytes, value: object) -> str | None:
    """A key that one object names twice, of which readers take this or that; `value` is what was read of the bytes."""
    try:
        written = orjson.dumps(value)
    except TypeError:
        written = _by_hand(value)
    if raw == written:
        return None  # as nearly all are: what is written has each key once
    # What has fewer keys has fewer colons, unless one came from an escape. JSON with NUL is UTF-16 or its kin.
    escapes = b"\\" in raw and b"\\u003" in raw
    if not escapes and _colons(raw) == _colons(written) and b"\0" not in raw:
        return None
    try:
        json.loads(raw, object_pairs_hook=_once)
    except _Doubled as found:
        return found.key
    return None


def _colons(raw: bytes) -> int:
    return len(raw) - len(raw.replace(b":", b""))  # `count` looks at each byte, and takes ten times as long


class _Doubled(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise _Doubled(Counter([key for key, _ in pairs]).most_common(1)[0][0])


def _by_hand(value: object, *, sort: bool = False) -> bytes:
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
    """Whether 19 digits stand in a row somewhere: perhaps an integer past 64 bits, perhaps not. No fraction is one."""
    # Looking at a few bytes, and closer where those are digits, takes a tenth of what looking at all takes.
    for step, row, for_each in _STEPS if len(raw) > _SHORT else _STEP:
        hints = raw[::step].translate(_DIGITS)
        at = hints.find(row)
        if at < 0:
            return False
        if hints.count(row) <= 4 + len(raw) // for_each:
            while at >= 0:
                if _LONG_NUMBER.search(raw, max(step * (at - 1) + 1, 0), step * at + 19):
                    return True
                at = hints.find(row, at + 1)
            return False
    # So many digits that hints are no help: lists of tokens are like that.
    digits = raw.translate(_DIGITS)
    return b"0" + _NINETEEN in digits or digits.startswith(_NINETEEN)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _finite(word: str) -> float:
    """As orjson has it: what is too large for a float is no number; infinity would be written as null."""
    number = float(word)
    if math.isinf(number):
        raise ValueError(f"{word[:24]} is too large a number")
    return number


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
