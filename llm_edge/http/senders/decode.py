"""
Undoes `content-encoding` without trusting what it undoes.

A few kilobytes on the wire can become gigabytes in memory, so inflated bytes are made a piece at
a time and counted before they are handed on.
"""

from __future__ import annotations

import zlib
from typing import Final

from ...errors import NetworkFailed
from ...message import ByteSource
from .faults import failed

_PIECE: Final = 256 * 1024
_LAYERS: Final = 3  # encodings on top of each other; nobody honest uses two


def decoded(source: ByteSource, encoding: str | None, *, largest: int) -> ByteSource:
    """
    The source's bytes as they were before `content-encoding`, at most `largest` of them.

    Raises NetworkFailed (kind DecodingError): here for an encoding that was not asked for, and
    from the source given back for broken, cut or overlarge data.
    """
    if not encoding:
        return Counted(source, largest=largest)
    names = [name.strip().lower() for name in encoding.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if any(name not in ("gzip", "x-gzip", "deflate") for name in names):
        raise failed("DecodingError", "it came in an encoding that was not asked for; only gzip and deflate are known")
    if len(names) > _LAYERS:
        raise failed("DecodingError", "it is encoded many times over")
    for name in reversed(names):
        source = Inflated(source, gzip=name != "deflate", largest=largest)
    return source if names else Counted(source, largest=largest)


class Counted:
    """The bytes as they are, up to a limit."""

    __slots__ = ("_room", "_source")

    def __init__(self, source: ByteSource, *, largest: int) -> None:
        self._source, self._room = source, largest

    async def __anext__(self) -> bytes:
        chunk = await self._source.__anext__()
        self._room -= len(chunk)
        if self._room < 0:
            await self._source.aclose()
            raise too_large()
        return chunk

    async def aclose(self) -> None:
        await self._source.aclose()


class Inflated:
    """One encoding undone, a piece at a time."""

    __slots__ = ("_began", "_deflate", "_inflater", "_room", "_source", "_waiting")

    def __init__(self, source: ByteSource, *, gzip: bool, largest: int) -> None:
        self._source, self._room = source, largest
        self._inflater = zlib.decompressobj(31 if gzip else 15)
        self._deflate = not gzip
        self._began = False
        self._waiting = b""
        """Compressed bytes not looked at yet."""

    async def __anext__(self) -> bytes:
        fault: NetworkFailed | None = None
        while fault is None:
            try:
                while not self._waiting:
                    self._waiting = await self._source.__anext__()
                piece = self._inflate()
            except StopAsyncIteration:
                if not self._began or self._inflater.eof:
                    raise
                fault = failed("DecodingError", "its compressed bytes end too early")
            except zlib.error:
                fault = failed("DecodingError", "its compressed bytes are broken")
            else:
                self._room -= len(piece)
                if self._room < 0:
                    fault = too_large()
                elif piece:
                    return piece
        await self._source.aclose()
        raise fault

    def _inflate(self) -> bytes:
        if self._inflater.eof:
            if self._deflate:
                raise zlib.error("bytes after the end")
            self._inflater = zlib.decompressobj(31)  # gzip files may follow one another
        if self._deflate and not self._began and self._waiting[0] & 15 != 8:
            self._inflater = zlib.decompressobj(-15)  # some servers say deflate and leave the zlib wrapping out
        piece = self._inflater.decompress(self._waiting, _PIECE)
        self._began = True
        self._waiting = self._inflater.unconsumed_tail or self._inflater.unused_data
        return piece

    async def aclose(self) -> None:
        await self._source.aclose()


def too_large() -> NetworkFailed:
    """What an answer comes to that has more bytes than it may."""
    return failed("DecodingError", "it grows larger than `http.max_body` allows")
