"""
Streams: bytes that come one after the other, those who listen to them, and how one knows that they are whole.

Part of the envelope (`message.py`): layers listen, and only the provider hop transforms.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

log = logging.getLogger("llm_edge")


class ByteSource(Protocol):
    """Where bytes come from: the wire, a cache entry, a test. Closing twice is harmless."""

    def __anext__(self) -> Coroutine[Any, Any, bytes]: ...
    async def aclose(self) -> None: ...


class Listener(Protocol):
    """Hears a stream go by. May not change it, may not delay it."""

    def heard(self, chunk: bytes, /) -> None: ...
    def ended(self, error: BaseException | None, /) -> None: ...


class Watcher(Protocol):
    """Understands one dialect's stream while it goes by."""

    complete: bool
    """The dialect's own terminal event has been seen: this, not the end of the bytes, is the end."""
    events: int
    """Data events so far; comments and keep-alives do not count."""
    failure: Exception | None
    """An error the provider sent inside the stream."""

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """Tokens used, in the unified names; None until the provider says so."""
        ...

    @property
    def finished(self) -> Sequence[str]:
        """Why each choice ended, in the provider's words; an empty word where it did not say."""
        ...

    def feed(self, chunk: bytes, /) -> None: ...

    def end(self) -> Exception | None:
        """The bytes are over: what is wrong with that, if anything."""
        ...


class Unwatched:
    """A stream of bytes nobody here understands: it ends when its bytes end."""

    __slots__ = ("complete", "events", "failure", "finished", "usage")

    def __init__(self) -> None:
        self.complete, self.events = False, 0
        self.failure: Exception | None = None
        self.usage: Mapping[str, Any] | None = None
        self.finished: Sequence[str] = ()

    def feed(self, chunk: bytes, /) -> None:
        self.events += 1

    def end(self) -> Exception | None:
        return None


class Abandoned(Exception):
    """Given to listeners when the caller closed the stream early. Nobody's fault."""


class Stream:
    """
    One pump, many listeners: layers listen, and only the provider hop transforms.

    `ended` reaches each listener exactly once: with None (the dialect's terminal event was
    seen), with an error, or with `Abandoned` (the caller left). The SDKs close a stream at its
    terminal event without reading on, so that event and not the end of the bytes is what
    "ended well" means.
    """

    __slots__ = ("__weakref__", "_closed", "_error", "_hearing", "_listeners", "_over", "_source", "call", "watcher")

    def __init__(self, source: ByteSource, watcher: Watcher | None = None, *, call: str = "") -> None:
        self._source = source
        self.watcher: Watcher = watcher or Unwatched()
        self._listeners: list[Listener] = []
        self._hearing: list[Listener] = []
        """Those of them that want to hear each chunk."""
        self._over = self._closed = False
        self._error: BaseException | None = None
        self.call = call
        """The id of the call it answers, for the log."""

    def listen(self, listener: Listener) -> None:
        """Have a listener hear all that is still to come; one that comes too late hears the end at once."""
        self._listeners.append(listener)
        if not isinstance(listener, OnEnd):
            self._hearing.append(listener)
        if self._over:
            self._end(self._error)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        watcher = self.watcher
        if watcher.complete:
            await self._close(watcher.failure)
            raise StopAsyncIteration
        try:
            chunk = await self._source.__anext__()
            watcher.feed(chunk)
        except BaseException as error:
            said = await self._ends_by(error)
            if said is error:
                raise
            raise said from None
        for listener in self._hearing:
            tell(listener.heard, chunk, self.call)
        return chunk

    async def _ends_by(self, error: BaseException) -> BaseException:
        """What a reader is told of the end that came in place of a chunk; all is closed."""
        if isinstance(error, StopAsyncIteration):
            broken = self.watcher.end()
            await self._close(broken or self.watcher.failure)
            return broken or error
        # What is no Exception is a caller that left: cancelled, interrupted.
        await self._close(error if isinstance(error, Exception) else Abandoned())
        return error

    async def aclose(self) -> None:
        """The caller reads no further. Closing twice is harmless."""
        await self._close(self._left())

    def _left(self) -> Exception | None:
        """What it means that nobody reads on: nothing amiss after the last event, or after an error sent as one."""
        return self.watcher.failure if self.watcher.complete or self.watcher.failure is not None else Abandoned()

    async def _close(self, error: BaseException | None) -> None:
        self._end(error)
        if self._closed:
            return
        try:
            await self._source.aclose()
        except Exception:
            # The caller has its answer, or a better error than this one.
            log.debug("closing a stream failed", exc_info=True, extra={"request_id": self.call})
        self._closed = True

    def _end(self, error: BaseException | None) -> None:
        if not self._over:
            self._error, self._over = error, True
        self._hearing.clear()
        # Taken off one by one: whatever comes between (a thread, an interrupt), each is told, and told once.
        while self._listeners:
            try:
                listener = self._listeners.pop()
            except IndexError:
                return  # another thread took the last
            try:
                tell(listener.ended, self._error, self.call)
            except BaseException:
                self._end(self._error)
                raise

    def __del__(self) -> None:
        # Dropped without being closed: permits and slots must come home all the same.
        self._end(self._left())


def tell(call: Callable[[Any], None], fact: Any, about: str = "") -> None:
    """Tell one listener; its mistake must never cost the caller a byte. `about`: the id of the call."""
    try:
        call(fact)
    except Exception as error:
        mistaken(error, about)


def mistaken(error: Exception, about: str) -> None:
    """Log that a listener failed."""
    log.error("a stream listener failed", exc_info=error, extra={"request_id": about})


@dataclass(slots=True)
class OnEnd:
    """A listener for those who only care how it ended."""

    call: Callable[[BaseException | None], None]

    def heard(self, chunk: bytes, /) -> None: ...

    def ended(self, error: BaseException | None, /) -> None:
        self.call(error)


class Saved:
    """A source of bytes that are here already."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._chunks = iter(())
