"""
Goes on with a stream that breaks off in the middle: asks for the rest of the answer and tells it as if nothing had
happened, but for a comment in the stream and a line in the story.

Only events that are all there are told, so that what the caller has is what the rest is asked with. Where going on is
not possible, the caller has what it would have had without this layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import CallError, StreamBroken
from ..message import Body, Handler, Request, Response, Stream
from ..providers.base import Dialect
from ..providers.continuing import TRANSCRIPTS, Transcript
from ..providers.sse import Splitter
from ..runtime import Clock
from .rules import Rules

_ENDS = (b"\n\n", b"\r\n\r\n")
"""What ends an event."""
_TOO_LATE = 0.05
"""Seconds; with less left nobody is asked any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """Stands above the router. `rules` says how many times an answer may be gone on with; 0 is never."""

    clock: Clock
    rules: Rules[int]
    dialect: Callable[[str], Dialect | None]

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        response = await handler(request)
        times, dialect = self.rules.of(request.route), self.dialect(request.dialect)
        begin = TRANSCRIPTS.get(request.dialect)
        if not times or begin is None or dialect is None or response.stream is None or not request.streaming:
            return response
        source = _Continued(self, request, handler, response.stream, begin(), times)
        return replace(response, stream=Stream(source, dialect.watcher()))


class _Continued:
    """The bytes of an answer that may come in several parts."""

    def __init__(
        self, layer: Continuation, request: Request, handler: Handler, stream: Stream, so_far: Transcript, times: int
    ) -> None:
        self._layer, self._request, self._handler = layer, request, handler
        self._stream, self._so_far, self._times = stream, so_far, times
        self._splitter = Splitter()
        self._held = b""
        self._parts = 1

    async def __anext__(self) -> bytes:
        while True:
            try:
                chunk = await self._stream.__anext__()
            except StopAsyncIteration:
                rest, self._held = self._held, b""
                if rest and self._parts == 1:
                    return rest
                raise
            except StreamBroken as error:
                if await self._go_on(error):
                    return self._mark()
                raise
            failure = self._stream.watcher.failure
            told = self._told(chunk, until_failure=failure is not None)
            if failure is not None and isinstance(failure, CallError):
                if failure.retryable and await self._go_on(failure):
                    return told + self._mark()
                withheld, self._held = self._held, b""
                return told + withheld
            if told:
                return told

    def _told(self, chunk: bytes, *, until_failure: bool) -> bytes:
        """The events that are all there; what is left is held. Of a part with an error in it, what is before that."""
        self._held += chunk
        end = max([at + len(mark) for mark in _ENDS if (at := self._held.rfind(mark)) >= 0], default=0)
        whole, rest = self._held[:end], self._held[end:]
        if until_failure or self._parts > 1:
            return self._one_by_one(whole, rest, until_failure=until_failure)
        for _, data, _ in self._splitter.feed(whole):
            self._so_far.heard(data)
        self._held = rest
        return whole

    def _one_by_one(self, whole: bytes, rest: bytes, *, until_failure: bool) -> bytes:
        events = list(self._splitter.feed(whole))
        failing: list[bytes] = []
        if until_failure and events:
            name, data, _ = events.pop()
            failing = [_framed(name, data)]
        said: list[bytes] = []
        for name, data, _ in events:
            if self._parts == 1:
                self._so_far.heard(data)
                said.append(_framed(name, data))
            elif frame := self._so_far.joined(name, data):
                said.append(_framed(*frame))
        self._held = b"".join(failing) + rest
        return b"".join(said)

    async def _go_on(self, error: CallError) -> bool:
        """Whether somebody tells the rest."""
        request, clock = self._request, self._layer.clock
        late = request.deadline is not None and request.deadline - clock.now() < _TOO_LATE
        if self._parts > self._times or late or not self._so_far.possible:
            return False
        after, characters = type(error).__name__, len(self._so_far.text)
        try:
            body = Body(json=self._so_far.request(request.body.json))
            response = await self._handler(replace(request, body=body, continues=True, native=None))
        except (CallError, ValueError) as refused:
            request.notes.say(clock.now(), "continuation", after=after, refused=type(refused).__name__)
            return False
        if response.stream is None:
            return False
        await self._stream.aclose()
        self._stream, self._splitter, self._held = response.stream, Splitter(), b""
        self._parts += 1
        # The answer is not one model's work from end to end: nothing for the cache.
        request.notes.fallbacks += 1
        request.notes.say(clock.now(), "continuation", after=after, characters=characters, by=request.notes.target)
        return True

    def _mark(self) -> bytes:
        """A comment, which no client takes for an event."""
        return b": continued by llm_edge after %d characters\n\n" % len(self._so_far.text)

    async def aclose(self) -> None:
        await self._stream.aclose()


def _framed(name: bytes, data: bytes) -> bytes:
    lines = b"".join([b"data: %b\n" % line for line in data.split(b"\n")])
    return (b"event: %b\n" % name if name else b"") + lines + b"\n"
