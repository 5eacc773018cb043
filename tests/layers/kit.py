"""What the tests of the layers share: calls, answers, and a handler that follows a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from llm_edge.errors import CallError, Overloaded, ProviderFailed
from llm_edge.message import Body, Headers, Request, Response, Saved, Stream
from llm_edge.notes import Notes
from llm_edge.runtime import FakeClock

DONE = b"data: [DONE]\n\n"
CHUNKS = (b'data: {"n":1}\n\n', b'data: {"n":2}\n\n', DONE)


class Watch:
    """Knows the end of a stream by `[DONE]`, an error by `bad`, and why it ended by `filtered`."""

    def __init__(self) -> None:
        self.complete, self.events = False, 0
        self.failure: Exception | None = None
        self.usage: dict[str, Any] | None = None
        self.finished: list[str] = []

    def feed(self, chunk: bytes, /) -> None:
        self.events += 1
        if chunk.endswith(DONE):
            self.complete, self.usage = True, {"total_tokens": 3}
            self.finished = self.finished or ["stop"]
        elif chunk == b"filtered":
            self.finished = ["content_filter"]
        elif chunk == b"bad":
            self.failure = Overloaded("said inside")

    def end(self) -> Exception | None:
        return None if self.complete or self.failure else EOFError("cut short")


def call(*, body: dict[str, Any] | None = None, clock: FakeClock | None = None, **fields: Any) -> Request:
    """A request as a face makes it."""
    given = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} if body is None else body
    notes = Notes(started=clock.now() if clock else 0.0)
    return Request(**{"body": Body(json.dumps(given).encode()), "model": "m", "notes": notes, **fields})


def answer(
    text: str = "Hello", *, finish: str = "stop", status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    fields = {"choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": {"total_tokens": 3}}
    return Response(status=status, headers=Headers(headers), body=Body(json.dumps(fields).encode()))


class Cut(Saved):
    """Saved bytes that end in an error."""

    def __init__(self, chunks: Iterable[bytes], error: BaseException) -> None:
        super().__init__(chunks)
        self._error = error

    async def __anext__(self) -> bytes:
        try:
            return await super().__anext__()
        except StopAsyncIteration:
            raise self._error from None


def streamed(*chunks: bytes, error: BaseException | None = None) -> Response:
    given = chunks or CHUNKS
    return Response(status=200, stream=Stream(Saved(given) if error is None else Cut(given, error), Watch()))


Step = Response | BaseException | Callable[[Request], Response]


class Script:
    """
    The rest of the chain: does one step for each call, the last one for ever; remembers what it was asked.

    As the hop does, it notes what an answer used.
    """

    def __init__(self, *steps: Step, clock: FakeClock | None = None, takes: float = 0.0) -> None:
        self.steps: list[Step] = list(steps) or [lambda request: answer()]
        self.asked: list[Request] = []
        self._clock, self._takes = clock, takes

    async def __call__(self, request: Request, /) -> Response:
        step = self.steps[min(len(self.asked), len(self.steps) - 1)]
        self.asked.append(request)
        if self._clock is not None:
            self._clock.advance(self._takes)
        if isinstance(step, BaseException):
            raise step
        response = step if isinstance(step, Response) else step(request)
        if response.body is not None:
            request.notes.usage = response.body.json.get("usage")
        return response


def failed(
    kind: type[ProviderFailed] = Overloaded, *, status: int = 503, retry_after: float | None = None
) -> CallError:
    """A provider's own refusal, its answer kept."""
    return kind("no", retry_after=retry_after, response=Response(status=status, body=Body(b'{"error":{}}')))


async def read_all(response: Response) -> list[bytes]:
    assert response.stream is not None
    return [chunk async for chunk in response.stream]


class Suspends:
    """One wait, on no loop at all."""

    def __await__(self) -> Any:
        yield


class Cancelled(BaseException):
    """Stands for asyncio's, which is no Exception either."""


def run_cancelled(work: Any, step: int) -> bool:
    """Drive a coroutine and cancel it at one of its waits; False when it has no such wait."""
    try:
        for _ in range(step + 1):
            work.send(None)
    except StopIteration:
        return False
    try:
        work.throw(Cancelled())
        while True:
            work.send(None)
    except Cancelled:
        return True
