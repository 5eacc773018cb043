"""Bytes on their way, there and back, each wait for them bounded."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import NetworkFailed
from ..message import ByteSource, Watcher

if TYPE_CHECKING:
    from .hop import Call


class Flow:
    """The bytes of one stream, each wait bounded: what was read to judge it first, then the rest."""

    __slots__ = ("_began", "_call", "_closed", "_seen", "_silence", "_source", "_watcher")

    def __init__(
        self,
        call: Call,
        source: ByteSource,
        watcher: Watcher | None,
        silence: float | None,
        began: list[bytes] | None = None,
    ) -> None:
        self._call, self._source, self._watcher, self._silence = call, source, watcher, silence
        self._began = began[::-1] if began else []
        self._seen = 0
        self._closed = False

    async def __anext__(self) -> bytes:
        if self._began:
            return self._began.pop()
        call, watcher, silence = self._call, self._watcher, self._silence
        if watcher is not None:
            # Only an event buys more time; comments and keep-alives do not.
            events = watcher.events
            if events == self._seen:
                silence = None
            self._seen = events
        if silence is not None:
            call.patience.within(silence)
        try:
            return await call.alarm.until(call.patience.moment, self._source.__anext__())
        except (TimeoutError, NetworkFailed) as error:
            broken = call.broken(error)
            if broken is error:
                raise
        raise broken from None

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            complete = self._watcher is not None and self._watcher.complete
            await self._call.finish(self._source, drain=complete)


class Pieces:
    """
    A body that the app sends piece by piece.

    How long the app takes to make a piece is its own affair; from then on the wait begins anew, so that what is
    large may take long as long as it moves.
    """

    __slots__ = ("_call", "_silence", "_source")

    def __init__(self, call: Call, source: ByteSource, silence: float | None) -> None:
        self._call, self._source, self._silence = call, source, silence

    async def __anext__(self) -> bytes:
        self._wait(None)
        try:
            return await self._source.__anext__()
        finally:
            self._wait(self._silence)

    def _wait(self, seconds: float | None) -> None:
        self._call.patience.within(seconds)
        self._call.alarm.move(self._call.patience.moment)

    async def aclose(self) -> None:
        await self._source.aclose()


class Begun:
    """The bytes of an answer whose beginning is looked at before somebody reads it."""

    __slots__ = ("_seen", "_source")

    def __init__(self, source: ByteSource) -> None:
        self._source, self._seen = source, b""

    async def begin(self) -> bytes:
        """What it begins with, but for white space; nothing when there is nothing else."""
        with suppress(StopAsyncIteration):
            while not self._seen.strip():
                self._seen += await self._source.__anext__()
        return self._seen.lstrip()

    async def __anext__(self) -> bytes:
        if self._seen:
            seen, self._seen = self._seen, b""
            return seen
        return await self._source.__anext__()

    async def aclose(self) -> None:
        await self._source.aclose()
