"""A kept answer in memory, and how it is told again: as it came, or in the other of the two forms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .. import exact
from ..message import Body, ByteSource, Headers, Pairs, Request, Response, Saved, Stream, Watcher
from ..policy.cacheable import fit
from ..providers.translation.core import Replay
from ..runtime import Clock
from ..stores.entry import Entry, Kind

log = logging.getLogger("llm_edge")

FORM: Final = "x-llm-edge-form"
"""Beside a kept stream's headers: what it was asked to tell."""
_KEPT_HEADERS: Final = frozenset({"content-type", "x-request-id", "request-id", "openai-version", "openai-model"})
_EVENTS: Final = "text/event-stream; charset=utf-8"


@dataclass(slots=True, kw_only=True)
class Held:
    """One entry in memory. Moments are of this process's own clock, which never jumps."""

    entry: Entry
    made: float
    expires: float
    """When it is no longer fresh."""
    until: float
    """When the second tier is to be asked again; it may know better."""
    used: float
    """When somebody last asked for it."""
    size: int
    """Bytes of memory, roughly."""


@dataclass(frozen=True, slots=True)
class Understanding:
    """What the cache must know of a dialect: how streams end, why an answer ended, how one becomes the other."""

    watcher: Callable[[], Watcher]
    finished: Callable[[Body, Mapping[str, Any] | None], Sequence[str] | None]
    """Why each choice ended, of a body and what it used; None when the answer must not be kept."""
    replay: Callable[[], Replay | None] = lambda: None
    complete: str = "{}"
    """The form of a stream that tells all that a whole answer tells."""


def form_of(request: Request) -> str:
    """How the answer is asked for: empty for a whole one, else what the stream is to tell."""
    if not request.streaming:
        return ""
    options: Any = request.body.json.get("stream_options")
    return exact.canonical(options).decode() if options else "{}"


def kept_headers(headers: Headers, form: str) -> Pairs:
    """The fields of an answer that stay true when it is told again."""
    pairs = tuple([pair for pair in headers.pairs if pair[0].lower() in _KEPT_HEADERS])
    return (*pairs, (FORM, form)) if form else pairs


def told(entry: Entry, request: Request, understanding: Understanding, clock: Clock, pace: float) -> Response | None:
    """The entry as this call asks for it; None when it cannot be said that way."""
    if entry.kind == "whole" and not request.streaming:
        return Response(status=200, headers=Headers(entry.headers), body=Body(entry.payload))
    asked, came = form_of(request), next((value for name, value in entry.headers if name == FORM), "")
    payload = entry.payload
    headers = Headers([pair for pair in entry.headers if pair[0] != FORM])
    if asked != came:
        # Without the tokens used a whole answer is none, and a stream may have to tell them.
        other = None if entry.usage is None else _otherwise(entry.kind, entry.payload, request, understanding)
        if other is None:
            return None
        payload = other
        headers = headers.having({"content-type": _EVENTS if asked else "application/json"})
    if not asked:
        return Response(status=200, headers=headers, body=Body(payload))
    source: ByteSource = _Paced(payload, clock, pace) if pace else Saved((payload,))
    return Response(status=200, headers=headers, stream=Stream(source, understanding.watcher()))


def ends(entry: Entry, understanding: Understanding) -> Sequence[str]:
    """Why each choice of a kept answer ended."""
    if entry.kind == "whole":
        return understanding.finished(Body(entry.payload), entry.usage) or ()
    watcher = understanding.watcher()
    watcher.feed(entry.payload)
    return watcher.finished


async def turned(response: Response, request: Request, understanding: Understanding) -> Response | None:
    """Another's answer to the same question, in the form this call asks for; None when it cannot be said that way."""
    stream, headers = response.stream, Headers(kept_headers(response.headers, ""))
    if stream is None:
        assert response.body is not None, "an answer is a body or a stream"
        other = _otherwise("whole", response.body.raw, request, understanding)
        headers = headers.having({"content-type": _EVENTS})
        if other is None:
            return None
        return Response(status=200, headers=headers, stream=Stream(Saved((other,)), understanding.watcher()))
    try:
        payload = b"".join([chunk async for chunk in stream])
    finally:
        await stream.aclose()
    if stream.watcher.usage is None or not fit(stream.watcher.finished):
        return None
    other = _otherwise("stream", payload, request, understanding)
    headers = headers.having({"content-type": "application/json"})
    return None if other is None else Response(status=200, headers=headers, body=Body(other))


def _otherwise(kind: Kind, payload: bytes, request: Request, understanding: Understanding) -> bytes | None:
    """The payload in the form asked for: a stream put together, or a whole answer taken apart."""
    replay = understanding.replay()
    if replay is None:
        return None
    try:
        if kind == "stream":
            assembler = replay.assembler()
            assembler.feed(payload)
            whole = assembler.whole()
        else:
            whole = Body(payload).json
        if whole is None:
            return None
        return b"".join(replay.events(whole, request.body.json)) if request.streaming else exact.write(whole)
    except Exception:
        # What was kept came from a provider, and may be odd in a way that nobody has foreseen: then it is asked anew.
        log.debug("a kept answer could not be told in another form", exc_info=True, extra=request.notes.about)
        return None


class _Paced:
    """A kept stream told event by event, with a pause before each but the first."""

    __slots__ = ("_clock", "_events", "_pace", "_pause")

    def __init__(self, payload: bytes, clock: Clock, pace: float) -> None:
        self._events, self._clock, self._pace = _events(payload), clock, pace
        self._pause = 0.0

    async def __anext__(self) -> bytes:
        for event in self._events:
            if self._pause:
                await self._clock.sleep(self._pause)
            self._pause = self._pace
            return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._events = iter(())


def _events(payload: bytes) -> Iterator[bytes]:
    """A stream cut after each event; servers end their lines in one of two ways."""
    end = b"\r\n\r\n" if b"\r\n\r\n" in payload else b"\n\n"
    at = 0
    while at < len(payload):
        found = payload.find(end, at)
        after = len(payload) if found < 0 else found + len(end)
        yield payload[at:after]
        at = after


class Keeper:
    """Collects a stream as it goes by, and hands it over when it ended well: at its terminal event, or at its end."""

    def __init__(self, watcher: Watcher, keep: Callable[[bytes, Watcher], None], most: int) -> None:
        self._watcher, self._keep, self._most = watcher, keep, most
        self._chunks: list[bytes] = []
        self._size = 0
        self._done = False

    def heard(self, chunk: bytes, /) -> None:
        self._size += len(chunk)
        if self._size <= self._most:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()
        if self._watcher.complete and self._watcher.failure is None:
            # Here, not when it is closed: whoever asks from now on finds it.
            self._finish()

    def ended(self, error: BaseException | None, /) -> None:
        if error is None and self._watcher.failure is None:
            self._finish()

    def _finish(self) -> None:
        if not self._done and self._size <= self._most:
            self._done = True
            self._keep(b"".join(self._chunks), self._watcher)
            self._chunks.clear()
