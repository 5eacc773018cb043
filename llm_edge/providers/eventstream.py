"""
Amazon's event stream (`application/vnd.amazon.eventstream`), taken apart however the network cut it.

Theory of operation. A message is

    total length, headers' length, CRC-32 of these eight bytes     (4 + 4 + 4 bytes, big-endian)
    headers, payload
    CRC-32 of everything before it                                  (4 bytes)

The lengths are believed only once their own checksum fits, and a message only once its whole checksum
does: bytes that went wrong on the way can neither be read as an answer nor make us wait for gigabytes.
After a broken message nothing that follows can be found again, so the first one ends the stream.

Streams repeat a handful of header blocks byte for byte; each is read once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
LARGEST: Final = 16 * 2**20
"""Bytes a payload may have."""
MOST_HEADERS: Final = 128 * 2**10

Value: TypeAlias = str | bytes | int | bool

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_AROUND: Final = _PRELUDE.size + _CRC.size


class Garbled(ValueError):
    """A message went wrong on the way, or the bytes are no event stream."""


class Frame(NamedTuple):
    """One message."""

    headers: Mapping[str, Value]
    event: str
    """What the event is called; empty for an error."""
    error: str
    """The code of the error this message is; empty when it is none."""
    payload: bytes

    def text(self, name: str) -> str:
        """A header that is a string; empty when there is none."""
        return _text_of(self.headers, name)


def _text_of(headers: Mapping[str, Value], name: str) -> str:
    value = headers.get(name, "")
    return value if isinstance(value, str) else ""


class Frames:
    """Takes chunks in, gives whole messages out."""

    __slots__ = ("_held", "_need", "garbled")

    def __init__(self) -> None:
        self.garbled = ""
        """What is wrong with the bytes, once something is: nothing is read from then on."""
        self._held = bytearray()
        self._need = _PRELUDE.size
        """Bytes without which there is nothing to do."""

    @property
    def pending(self) -> bool:
        """Whether the bytes so far end in the middle of a message."""
        return bool(self._held)

    def feed(self, chunk: bytes) -> Sequence[Frame]:
        """The messages that are complete with this chunk."""
        if self.garbled:
            return ()
        if self._held:
            self._held += chunk
            if len(self._held) < self._need:
                return ()
            chunk = bytes(self._held)
        frames: list[Frame] = []
        at, size = 0, len(chunk)
        self._need = _PRELUDE.size
        try:
            while size - at >= _PRELUDE.size:
                total, headers = _lengths(chunk, at)
                if size - at < total:
                    self._need = total
                    break
                frames.append(_frame(chunk[at : at + total], headers))
                at += total
        except Garbled as error:
            self.garbled = str(error)
        self._held = bytearray(chunk[at:])
        return frames


def _lengths(held: bytes, at: int) -> tuple[int, int]:
    """The message's length and its headers', which their checksum vouches for."""
    total, headers, check = _PRELUDE.unpack_from(held, at)
    if crc32(held[at : at + 8]) != check:
        raise Garbled("the lengths of a message do not fit their checksum")
    if headers > MOST_HEADERS or not headers + _AROUND <= total <= LARGEST + headers + _AROUND:
        raise Garbled("a message has impossible lengths")
    return total, headers


def _frame(raw: bytes, headers: int) -> Frame:
    (check,) = _CRC.unpack_from(raw, len(raw) - _CRC.size)
    if crc32(raw[: -_CRC.size]) != check:
        raise Garbled("a message does not fit its checksum")
    start = _PRELUDE.size + headers
    return Frame(*_headers(raw[_PRELUDE.size : start]), raw[start : -_CRC.size])


# ------------------------------------------------------------------ headers

_Read: TypeAlias = Callable[[bytes, int], tuple[Value, int]]


def _fixed(layout: str) -> _Read:
    form = struct.Struct(layout)

    def read(raw: bytes, at: int) -> tuple[Value, int]:
        return form.unpack_from(raw, at)[0], at + form.size

    return read


def _sized(raw: bytes, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from(">H", raw, at)
    start, end = at + 2, at + 2 + size
    if end > len(raw):
        raise Garbled("a header is longer than all of them")
    return raw[start:end], end


def _text(raw: bytes, at: int) -> tuple[Value, int]:
    value, end = _sized(raw, at)
    return value.decode(), end


_READERS: dict[int, _Read] = {
    0: lambda raw, at: (True, at),
    1: lambda raw, at: (False, at),
    2: _fixed(">b"),
    3: _fixed(">h"),
    4: _fixed(">i"),
    5: _fixed(">q"),
    6: _sized,
    7: _text,
    8: _fixed(">q"),  # a moment in milliseconds
    9: _fixed("16s"),  # a UUID
}


@lru_cache(maxsize=64)
def _headers(raw: bytes) -> tuple[Mapping[str, Value], str, str]:
    """The headers, and the event's or the error's name among them."""
    found: dict[str, Value] = {}
    at = 0
    try:
        while at < len(raw):
            start = at + 1
            end = start + raw[at]
            name = raw[start:end].decode()
            value, at = _READERS[raw[end]](raw, end + 1)
            found[name] = value
    except (IndexError, KeyError, UnicodeDecodeError, struct.error):
        raise Garbled("the headers of a message cannot be read") from None
    kind = _text_of(found, ":message-type")
    if kind == "exception":
        return found, "", _text_of(found, ":exception-type") or "unknownException"
    if kind == "error":
        return found, "", _text_of(found, ":error-code") or "unknownError"
    return found, _text_of(found, ":event-type") if kind in ("event", "") else "", ""


# ------------------------------------------------------------------ writing


def event(name: str, payload: bytes) -> bytes:
    """A message that is an event, as Bedrock writes it."""
    return message({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(name: str, payload: bytes) -> bytes:
    """A message that ends the stream with an error."""
    kind = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(kind, payload)


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message, with headers that are strings."""
    block = b"".join(
        bytes((len(name.encode()),)) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    lengths = struct.pack(">II", len(block) + len(payload) + _AROUND, len(block))
    raw = lengths + _CRC.pack(crc32(lengths)) + block + payload
    return raw + _CRC.pack(crc32(raw))
