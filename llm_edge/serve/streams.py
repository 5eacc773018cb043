"""
A stream on its way out: flushed piece by piece, kept open in silence, ended when nobody reads.

The server's `send` waits while the caller's window is full, so a slow reader holds up the provider and no memory is
filled. One timer watches each stream: in silence it sends a comment between two events, and a write that has stood for
too long ends the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from .wire import RawPairs, Send

COMMENT = b": still here\n\n"
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Outflow:
    """Sends one stream. `stuck` is called when the caller reads nothing for too long."""

    def __init__(self, send: Send, *, heartbeat: float, patience: float, stuck: Callable[[], None]) -> None:
        self._send, self._heartbeat, self._patience, self._stuck = send, heartbeat, patience, stuck
        self._step = min(heartbeat, patience)
        self._loop = asyncio.get_running_loop()
        self._said = self._loop.time()
        self._writing = self._events = False
        self.between = True
        """What is out so far ends with a whole event."""
        self._beat: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, status: int, headers: RawPairs, stream: AsyncIterator[bytes], *, events: bool) -> None:
        """All of the stream. Raises what the stream raises; the caller of this one says how that is told."""
        self._events = events
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self._timer = self._loop.call_later(self._step, self._ring)
        try:
            while True:
                try:
                    chunk = await stream.__anext__()
                except StopAsyncIteration:
                    return
                if chunk:
                    await self.write(chunk)
        finally:
            self._timer.cancel()
            if self._beat is not None:
                await self._settle(self._beat)

    async def write(self, chunk: bytes) -> None:
        """One piece, after any comment that is still under way."""
        if self._beat is not None:
            beat, self._beat = self._beat, None
            await beat
        self._writing, self._said = True, self._loop.time()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        self._writing, self._said = False, self._loop.time()
        self.between = chunk.endswith(_ENDS)

    async def end(self, last: bytes = b"") -> None:
        """The end, perhaps with last words."""
        await self._send({"type": "http.response.body", "body": last, "more_body": False})

    def _ring(self) -> None:
        now = self._loop.time()
        quiet = now - self._said
        if self._writing and quiet >= self._patience:
            self._stuck()
            return
        if self._events and self.between and not self._writing and quiet >= self._heartbeat:
            self._beat = self._loop.create_task(self._comment())
            self._writing, self._said, quiet = True, now, 0.0
        self._timer = self._loop.call_later(self._step - quiet if quiet < self._step else self._step, self._ring)

    async def _comment(self) -> None:
        await self._send({"type": "http.response.body", "body": COMMENT, "more_body": True})
        self._writing, self._said = False, self._loop.time()

    async def _settle(self, beat: asyncio.Task[None]) -> None:
        if not beat.done():
            beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)
