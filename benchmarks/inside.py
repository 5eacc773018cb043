"""What happens inside the chain, without a network: a hit in the cache, and a chunk of a stream on its way through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from llm_edge import EdgeClient
from llm_edge.http.sender import Answer
from llm_edge.message import Body, Headers, Request, Response, Saved
from llm_edge.runtime import drive

from .contenders import body
from .provider import ANSWER, EVENTS, MODEL

_URL = "http://127.0.0.1:9/v1/chat/completions"
_HEADERS = Headers([
    ("accept", "application/json"), ("content-type", "application/json"), ("user-agent", "OpenAI/Python"),
    ("authorization", "Bearer no-key"), ("x-stainless-lang", "python"),
])  # fmt: skip
_PROMPT = "x" * 900
_CALLS, _CHUNKS, _ROUNDS = 2000, 2000, 9


class Instant:
    """A sender that answers at once."""

    name = "instant"

    def __init__(self, kind: str, chunks: list[bytes]) -> None:
        self._kind, self._chunks = kind, chunks

    async def __call__(self, wire: Any, patience: Any, /) -> Answer:
        return Answer(200, Headers([("content-type", self._kind)]), Saved(self._chunks))

    async def aclose(self) -> None: ...


def hit(colour: str) -> float:
    """Microseconds from a request of 1 KB at the top of the chain to the cached answer. Its bytes were asked before."""
    import orjson

    edge = EdgeClient(env={})
    sender = Instant("application/json", [ANSWER.partition(b"\r\n\r\n")[2]])
    handler = edge.front("sync" if colour == "sync" else "async", sender).handler
    raw = orjson.dumps(body(_PROMPT, False))

    def requests() -> list[Request]:
        return [Request(body=Body(raw), model=MODEL, url=_URL, headers=_HEADERS) for _ in range(_CALLS)]

    def blocking(asked: list[Request]) -> list[Response]:
        return [drive(handler(request)) for request in asked]

    async def awaiting(asked: list[Request]) -> list[Response]:
        return [await handler(request) for request in asked]

    def once(run: Callable[[list[Request]], Any]) -> float:
        asked = requests()
        began = time.process_time()
        run(asked)
        took = time.process_time() - began
        assert asked[-1].notes.cache == "HIT"
        return took / _CALLS * 1e6

    if colour == "sync":
        return median([once(blocking) for _ in range(_ROUNDS + 1)][1:])
    with asyncio.Runner() as runner:
        return median([once(lambda asked: runner.run(awaiting(asked))) for _ in range(_ROUNDS + 1)][1:])


def chunk(colour: str) -> float:
    """Microseconds for one chunk from the engine to the SDK: bounded, watched, collected for the cache, handed on."""
    import httpx2

    from llm_edge.http._httpx2 import AsyncTransport, Transport

    first, piece, rest = EVENTS[0], EVENTS[1], EVENTS[-3:]
    sender = Instant("text/event-stream", [first, *[piece] * _CHUNKS, *rest])
    edge = EdgeClient(env={})

    def request(number: int) -> httpx2.Request:
        return httpx2.Request("POST", _URL, headers=dict(_HEADERS), json=body(f"{_PROMPT}{number}", True))

    def blocking(number: int) -> float:
        stream: Any = Transport(edge.front("sync", sender)).handle_request(request(number)).stream
        began = time.process_time()
        for _ in stream:
            pass
        return (time.process_time() - began) / _CHUNKS * 1e6

    async def awaiting(number: int) -> float:
        answer = await AsyncTransport(edge.front("async", sender)).handle_async_request(request(number))
        stream: Any = answer.stream
        began = time.process_time()
        async for _ in stream:
            pass
        return (time.process_time() - began) / _CHUNKS * 1e6

    if colour == "sync":
        return median([blocking(number) for number in range(_ROUNDS + 1)][1:])
    with asyncio.Runner() as runner:
        return median([runner.run(awaiting(number)) for number in range(_ROUNDS + 1)][1:])
