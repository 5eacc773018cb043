"""
Compressed bodies: what comes in is inflated up to a size, what goes out is compressed where that is asked for.

Answers are compressed whole; streams never are, for each event has to go out at once. BREACH reads secrets from the
sizes of compressed answers where a browser shows a credential by itself. Here credentials are header fields that a
caller sets on purpose, and no answer repeats one.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from .problems import TooLarge, WrongKind, not_json
from .wire import Message, RawPairs, Send

SMALLEST = 2048
"""Bytes; of a smaller body compressing saves nothing that anybody would notice."""
LARGE = 256 * 1024
"""Bytes; a larger body is compressed in a thread, so that others do not wait for it."""
_WINDOW = 23
"""A zstd body may ask its reader for 8 MiB of memory, as browsers hold it."""


class _Unpacking(Protocol):
    def __call__(self, raw: bytes, most: int, /) -> tuple[bytes, bool]: ...


class _Broken(Exception):
    """The bytes are not what they are said to be."""


def inflated(raw: bytes, coding: str, largest: int) -> bytes:
    """A compressed body as it was, up to a size; never more is unpacked than is taken."""
    unpack = _UNPACK.get(coding)
    if unpack is None:
        raise WrongKind("the body's `content-encoding` is not taken here: send it plain, or as gzip, br or zstd")
    try:
        whole, clean = unpack(raw, largest + 1)
    except _Broken:
        raise not_json("is not what its `content-encoding` says") from None
    if len(whole) > largest:
        raise too_large(largest)
    if not clean:
        raise not_json("is not what its `content-encoding` says")
    return whole


def too_large(largest: int) -> TooLarge:
    """The body is beyond what is taken."""
    return TooLarge(f"the body is larger than the {largest} bytes that are taken here")


def _zlib(bits: int) -> _Unpacking:
    def unpack(raw: bytes, most: int, /) -> tuple[bytes, bool]:
        reader = zlib.decompressobj(bits)
        try:
            whole = reader.decompress(raw, most)
        except zlib.error:
            raise _Broken from None
        return whole, reader.eof and not reader.unused_data

    return unpack


def _brotli(raw: bytes, most: int, /) -> tuple[bytes, bool]:
    library: Any = _library("brotli")
    reader = library.Decompressor()
    try:
        # Told a limit it may give a little more; one byte too many is all that has to be known.
        whole: bytes = reader.process(raw, output_buffer_limit=most)
        while len(whole) < most and not reader.is_finished():
            more: bytes = reader.process(b"", output_buffer_limit=most)
            if not more:
                break
            whole += more
    except library.error:
        raise _Broken from None
    return whole, reader.is_finished()


def _zstd(raw: bytes, most: int, /) -> tuple[bytes, bool]:
    library: Any = _library("zstd")
    reader = library.ZstdDecompressor(options={library.DecompressionParameter.window_log_max: _WINDOW})
    try:
        whole: bytes = reader.decompress(raw, most)
    except library.ZstdError:
        raise _Broken from None
    return whole, reader.eof and not reader.unused_data


@lru_cache(maxsize=2)
def _library(name: str) -> Any:
    # Neither is loaded before somebody speaks it; brotli has no types of its own.
    from importlib import import_module

    if name == "brotli":
        return import_module("brotli")
    try:
        return import_module("compression.zstd")  # Python 3.14's own
    except ImportError:
        return import_module("backports.zstd")


_UNPACK: Mapping[str, _Unpacking] = {
    "gzip": _zlib(31), "x-gzip": _zlib(31), "deflate": _zlib(15), "br": _brotli, "zstd": _zstd,
}  # fmt: skip
_PACK: Mapping[str, Callable[[bytes], bytes]] = {
    "zstd": lambda raw: _library("zstd").compress(raw, 3),
    "br": lambda raw: _library("brotli").compress(raw, quality=4),
    "gzip": lambda raw: zlib.compress(raw, 4, 31),
}
"""What answers are compressed with, the best first."""


@lru_cache(maxsize=256)
def coding_for(accepted: str) -> str:
    """How an answer may be compressed for somebody who says `accept-encoding: …`; empty for not at all."""
    wanted: dict[str, float] = {}
    for part in accepted.lower().split(",")[:20]:
        name, _, weight = part.strip().partition(";")
        try:
            wanted[name.strip()] = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue  # what cannot be read asks for nothing
    best = max(_PACK, key=lambda name: wanted.get(name, wanted.get("*", 0.0)))  # the first of equals
    return best if wanted.get(best, wanted.get("*", 0.0)) > 0 else ""


async def compressed(raw: bytes, accepted: str | None) -> tuple[RawPairs, bytes]:
    """A whole answer as this caller may have it, and the header fields that say so."""
    if len(raw) < SMALLEST:
        return [], raw
    vary = (b"vary", b"accept-encoding")
    coding = coding_for(accepted) if accepted else ""
    if not coding:
        return [vary], raw
    pack = _PACK[coding]
    small = await asyncio.to_thread(pack, raw) if len(raw) > LARGE else pack(raw)
    if len(small) >= len(raw):
        return [vary], raw
    return [vary, (b"content-encoding", coding.encode())], small


class Packed:
    """Sends the answer of a page compressed; what comes in pieces, or is no text, goes out as it is."""

    def __init__(self, send: Send, accepted: str | None) -> None:
        self._send, self._accepted = send, accepted
        self._start: Message | None = None

    async def __call__(self, message: Message, /) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            raw: bytes = message.get("body", b"")
            if not message.get("more_body", False) and _is_text(start["headers"]):
                marks, small = await compressed(raw, self._accepted)
                kept = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
                length = (b"content-length", str(len(small)).encode())
                start, message = {**start, "headers": [*kept, length, *marks]}, {**message, "body": small}
            await self._send(start)
        await self._send(message)


def _is_text(headers: RawPairs) -> bool:
    given = {name.lower(): value for name, value in headers}
    kind = given.get(b"content-type", b"")
    if b"content-encoding" in given or kind.startswith(b"text/event-stream"):
        return False
    return kind.startswith((b"text/", b"application/json", b"application/javascript", b"image/svg"))
