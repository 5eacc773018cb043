"""What one guest of a shared call holds: the stream as it reads it, and failures of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..errors import CallError, StreamBroken
from ..message import Abandoned, Body, Request, Stream, tell
from ..runtime import Runtime
from ..stream import mistaken

if TYPE_CHECKING:
    from .reading import Reading

LONGEST: Final = 4 * 2**20
"""Bytes of a stream after which nobody may join it."""


class Guest:
    """One guest's reading of a shared stream, from its first byte."""

    __slots__ = ("_first", "_left", "_reading", "_request", "_runtime", "at")

    def __init__(self, reading: Reading, request: Request, runtime: Runtime, *, first: bool) -> None:
        self._reading, self._request, self._runtime, self._first = reading, request, runtime, first
        self.at = 0
        self._left = False

    async def __anext__(self) -> bytes:
        reading = self._reading
        while True:
            at = self.at - reading.base
            if at < len(reading.chunks):
                self.at += 1
                return reading.chunks[at]
            if reading.over:
                raise self._end(reading.error)
            await reading.advance(self.at, self._request, self._runtime)

    def _end(self, error: BaseException | None) -> Exception:
        if error is None:
            return StopAsyncIteration()
        own = error if self._first else own_copy(error)
        if isinstance(own, Exception) and not isinstance(own, Abandoned):
            return own
        return StreamBroken("the call that this one shared was broken off")

    async def aclose(self) -> None:
        if not self._left:
            self._left = True
            await self._reading.leave(self._runtime)

    def __del__(self) -> None:
        if not self._left:
            self._left = True
            self._reading.drop()


class Seen:
    """What the shared stream's own watcher has understood, told to each guest when it has read as far."""

    __slots__ = ("_guest", "_reading", "complete", "events", "failure")

    def __init__(self, reading: Reading, guest: Guest) -> None:
        self._reading, self._guest = reading, guest
        self.complete, self.events = False, 0
        self.failure: Exception | None = None

    @property
    def usage(self) -> Mapping[str, Any] | None:
        return self._reading.stream.watcher.usage

    @property
    def finished(self) -> Sequence[str]:
        return self._reading.stream.watcher.finished

    def feed(self, chunk: bytes, /) -> None:
        self.events = self._guest.at
        reading, watcher = self._reading, self._reading.stream.watcher
        if (watcher.complete or watcher.failure is not None) and self._guest.at >= reading.told:
            self.complete, self.failure = watcher.complete, watcher.failure

    def end(self) -> Exception | None:
        # What is wrong with the bytes' being over, the shared stream has raised already.
        self.failure = self._reading.stream.watcher.failure
        return None


class First(Stream):
    """The first caller's stream: as long as it is the only reader, it reads by itself."""

    __slots__ = ("_guest", "_reading")

    def __init__(self, reading: Reading, guest: Guest) -> None:
        super().__init__(guest, Seen(reading, guest))
        self._reading, self._guest = reading, guest

    async def __anext__(self) -> bytes:
        reading, guest = self._reading, self._guest
        if self._over or reading.over or guest.at != reading.base + len(reading.chunks):
            return await super().__anext__()
        try:
            reading.turn.pop()
        except IndexError:
            return await super().__anext__()
        # As in `Reading.advance` and `Stream`, in one piece: this is paid for each chunk of nearly every stream.
        reading.lone = True
        stream = reading.stream
        watcher = stream.watcher
        if reading.guests != 1 or reading.size > LONGEST or stream._over or watcher.complete:
            reading.give_back()
            return await super().__anext__()
        try:
            chunk = await stream._source.__anext__()
            watcher.feed(chunk)
        except BaseException as error:
            return await self._broken_off(error)
        for listener in stream._hearing:
            try:  # as in `tell`
                listener.heard(chunk)
            except Exception as error:
                mistaken(error, stream.call)
        guest.at += 1
        reading.chunks.append(chunk)
        reading.size += len(chunk)
        reading.lone = False
        reading.turn.append(None)
        if (reading.moved is not None or reading.guests < 1) and reading.noticed():
            await stream.aclose()
        if stream.watcher.complete or stream.watcher.failure is not None:
            self.watcher.feed(chunk)
        for listener in self._hearing:
            tell(listener.heard, chunk, self.call)
        return chunk

    async def _broken_off(self, error: BaseException) -> bytes:
        """The read has ended without a chunk."""
        said = await self._reading.stream._ends_by(error)
        self._reading.moves(b"", said)
        if isinstance(said, Exception):
            return await super().__anext__()  # which tells the end as ends are told
        await self._close(Abandoned())
        raise said


def own_copy(error: BaseException) -> Exception | None:
    """A failure as another caller's own: the same facts, another object. None when it cannot be copied."""
    try:
        own = copy.copy(error)
    except Exception:
        return None
    if not isinstance(own, Exception) or own is error:
        return None
    if isinstance(own, CallError) and isinstance(error, CallError) and error.response is not None:
        answer = error.response  # its status and words are shown to each caller; pickling leaves them out
        own.response = replace(answer, body=None if answer.body is None else Body(answer.body.raw))
    return own
