"""
What comes in, looked at before anything is done with it.

A body is read up to a size and a moment, inflated up to the same size, and taken only as one JSON object that every
reader understands alike: no key twice, no NaN, no depth or width that would cost another reader its stack.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import orjson

from ..exact import is_object
from ..message import Headers
from .coding import inflated, too_large
from .problems import HeadersTooLarge, Refused, TooSlow, WrongKind, not_json
from .wire import Message, Receive

DEPTH = 64
WIDTH = 500_000
"""Values in one body, roughly."""
HEADER_BYTES, HEADER_COUNT = 16 * 1024, 100

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9._~-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_JSON_KINDS = ("application/json", "text/plain", "application/x-www-form-urlencoded")
"""What curl and hurried clients say; the body must be JSON all the same."""


class Gone(Exception):
    """The caller left before the request was whole."""


def headers_of(pairs: Sequence[tuple[bytes, bytes]]) -> Headers:
    """A request's header fields. Raises when they are too many, too large, or hold what no field may."""
    if len(pairs) > HEADER_COUNT:
        raise HeadersTooLarge(f"there are more than {HEADER_COUNT} header fields")
    if sum([len(name) + len(value) for name, value in pairs]) > HEADER_BYTES:
        raise HeadersTooLarge(f"the header fields hold more than {HEADER_BYTES // 1024} KiB")
    found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
    hosts = [value for name, value in found if name == "host"]
    if len(hosts) > 1 or (hosts and not _HOST.fullmatch(hosts[0])):
        raise Refused("the `host` header must be there once, as a name or an address with its port")
    for name, value in found:
        if name == "transfer-encoding" and value.strip().lower() != "chunked":
            raise Refused("the body is framed in a way that is not taken here: send it with a length, or chunked")
        if "\r" in value or "\n" in value or "\0" in value:
            raise Refused(f"the header `{name}` holds a line break or a NUL")
    return Headers(found)


async def body_of(receive: Receive, headers: Headers, *, largest: int, seconds: float) -> bytes:
    """The whole body, inflated. Raises when it is too large, too slow, or coded in a way that is not taken."""
    try:
        async with asyncio.timeout(seconds):
            return await whole_body(receive, framing_of(headers), largest)
    except TimeoutError:
        raise too_slow(seconds) from None


Framing: TypeAlias = tuple[int, str]
"""Of a body: how many bytes it announces (0 where it does not say), and how it is compressed, if at all."""


def framing_of(headers: Headers) -> Framing:
    """What the header fields say of the body."""
    length, coding = headers.get("content-length", ""), headers.get("content-encoding", "").strip().lower()
    sized = length.isdecimal() and "transfer-encoding" not in headers  # which would have the last word
    return int(length) if sized else 0, "" if coding == "identity" else coding


async def whole_body(receive: Receive, framing: Framing, largest: int) -> bytes:
    """The same, where somebody else looks at the time."""
    announced, coding = framing
    if announced > largest:
        raise too_large(largest)
    message = await receive()
    raw = _piece(message)
    # Servers may say only with their next word that nothing more comes: it is not waited for where all is here.
    more = message.get("more_body", False) and (not raw or len(raw) != announced)
    if more or len(raw) > largest:
        raw = await _rest(receive, raw, largest)
    return inflated(raw, coding, largest) if coding else raw


def too_slow(seconds: float) -> TooSlow:
    """The body did not come in time."""
    return TooSlow(f"the body did not arrive within {seconds:g} s")


async def _rest(receive: Receive, first: bytes, largest: int) -> bytes:
    """A body that comes in pieces, from the second on."""
    pieces, size, more = [first], len(first), True
    while more and size <= largest:
        message = await receive()
        piece, more = _piece(message), message.get("more_body", False)
        pieces.append(piece)
        size += len(piece)
    if size > largest:
        raise too_large(largest)
    return b"".join(pieces)


def _piece(message: Message) -> bytes:
    if message["type"] != "http.request":
        raise Gone
    piece: bytes = message.get("body", b"")
    return piece


def kind_is_json(headers: Headers) -> None:
    """Raises when the body says it is something else."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in _JSON_KINDS and not kind.endswith("+json"):
        raise WrongKind("the body must be JSON: send `content-type: application/json`")


def json_object(raw: bytes) -> Mapping[str, Any]:
    """The JSON object that a body is. Raises when it is none, or one that two readers could read differently."""
    _check_shape(raw)
    found = _plainly(raw)
    if found is not None:
        return found
    try:
        found = _DECODER.decode(raw.decode("utf-8"))
    except _Twice:
        raise not_json("names a key twice in one object; each reader would take another value") from None
    except UnicodeDecodeError:
        raise not_json("is not UTF-8") from None
    except (ValueError, RecursionError):
        raise not_json(_why_none(raw)) from None
    if not is_object(found):
        raise not_json("is JSON, but not an object")
    return found


def _plainly(raw: bytes) -> Mapping[str, Any] | None:
    """
    The object, where reading and writing it gives the very same bytes: then there is but one way to read them.

    That is so of nearly all that SDKs send, and costs a fraction of looking at each key.
    """
    try:
        found: object = orjson.loads(raw)
        return found if is_object(found) and orjson.dumps(found) == raw else None
    except (ValueError, TypeError):
        return None


def _why_none(raw: bytes) -> str:
    if not raw.strip():
        return "is empty; it must be a JSON object"
    if raw.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark; send UTF-8 without one"
    return "is not UTF-8" if b"\0" in raw[:4] else "is not JSON"


def _check_shape(raw: bytes) -> None:
    if raw.count(b",") > WIDTH:
        raise not_json(f"holds more than {WIDTH} values")
    if raw.count(b"{") + raw.count(b"[") <= DEPTH:
        return  # it cannot be deeper than it has brackets
    depth = 0
    for found in _TOKEN.finditer(raw):
        token = found[0]
        if token in (b"{", b"["):
            depth += 1
            if depth > DEPTH:
                raise not_json(f"is nested more than {DEPTH} deep")
        elif token in (b"}", b"]"):
            depth -= 1


class _Twice(Exception):
    """A key stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number too large to be one")
    return number


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=_finite, parse_constant=_no_number)
