"""The provider that knows: it answers by a plan drawn from a seed, and counts every request and byte."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from llm_edge.errors import NetworkFailed
from llm_edge.http.sender import Answer, Patience
from llm_edge.message import Headers
from llm_edge.providers.base import Wire

FAULTS = (
    "refused", "reset", "hang", "500", "503", "429", "html", "error in 200", "cut body", "cut stream", "no end",
    "400", "stall",
)  # fmt: skip
JSON = Headers([("content-type", "application/json")])
SSE = Headers([("content-type", "text/event-stream")])


def said(question: str) -> str:
    """The one right answer to a question."""
    return f"the answer to {question} is {question[::-1]}"


@dataclass
class Host:
    """How one provider is doing."""

    faults: float = 0.0
    """Share of calls that go wrong."""
    kinds: tuple[str, ...] = FAULTS
    delay: float = 0.2
    """Seconds an answer takes at the median; the tail is heavy."""
    down: tuple[tuple[float, float], ...] = ()
    """Times from when to when nobody is there."""


@dataclass
class Oracle:
    """A sender that plays every provider."""

    hosts: dict[str, Host]
    chance: random.Random
    name: str = "oracle"
    asked: Counter[str] = field(default_factory=Counter)
    """Requests, by question."""
    at_once: Counter[str] = field(default_factory=Counter)
    most_at_once: Counter[str] = field(default_factory=Counter)
    """Requests for a whole answer that wait for it, by question: now, and the most there were."""
    by_host: Counter[str] = field(default_factory=Counter)
    moments: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    """When each host was asked."""
    whole: int = 0
    """Answers that were told in one piece and are right, of five tokens for five."""
    came: Callable[[str], Callable[[], None] | None] = lambda host: None
    """Told of each request as it comes; what it gives is told when the answer begins, or there is none."""
    in_flight: int = 0
    most_in_flight: int = 0
    served: Counter[str] = field(default_factory=Counter)
    """What was done, by kind: `ok` and the faults."""

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        where = urlsplit(wire.url).hostname or ""
        host = self.hosts[where]
        body: Any = orjson.loads(wire.content)
        question: str = body["messages"][-1]["content"]
        self.asked[question] += 1
        self.by_host[where] += 1
        self.moments.setdefault(where, []).append(asyncio.get_running_loop().time())
        streamed = bool(body.get("stream"))
        self.at_once[question] += not streamed
        self.most_at_once[question] = max(self.most_at_once[question], self.at_once[question])
        begins = self.came(where)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        handed = False
        try:
            fault = self._fault(host)
            self.served[fault] += 1
            answer = await self._answer(fault, host, question, streamed)
            handed = True
            return answer
        finally:
            self.at_once[question] -= not streamed
            if begins is not None:
                begins()
            if not handed:
                self.in_flight -= 1

    async def aclose(self) -> None: ...

    def _fault(self, host: Host) -> str:
        now = asyncio.get_running_loop().time()
        if any(begin <= now < end for begin, end in host.down):
            return "refused"
        return self.chance.choice(host.kinds) if self.chance.random() < host.faults else "ok"

    async def _answer(self, fault: str, host: Host, question: str, streamed: bool) -> Answer:
        await asyncio.sleep(min(host.delay * self.chance.paretovariate(1.5), 20.0))
        if fault == "refused":
            raise NetworkFailed("could not connect", kind="ConnectError")
        if fault == "reset":
            raise NetworkFailed("the connection broke", kind="ReadError")
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault in ("500", "503", "429", "400"):
            error = {"error": {"message": "no", "type": "error", "code": fault}}
            return self._made(int(fault), JSON, [orjson.dumps(error)])
        if fault == "html":
            return self._made(200, Headers([("content-type", "text/html")]), [b"<html>sorry</html>"])
        if fault == "error in 200":
            return self._made(200, JSON, [b'{"error":{"message":"no","type":"server_error"}}'])
        if not streamed:
            raw = whole(question)
            self.whole += fault == "ok"
            return self._made(
                200, JSON, [raw[: len(raw) // 2]] if fault in ("cut body", "cut stream") else [raw], fault
            )
        return self._made(200, SSE, events(question), fault)

    def _made(self, status: int, headers: Headers, chunks: list[bytes], fault: str = "ok") -> Answer:
        return Answer(status, headers, _Source(self, chunks, fault))


class _Source:
    """The bytes of one answer; it is in flight until it is closed or read to its end."""

    def __init__(self, oracle: Oracle, chunks: list[bytes], fault: str) -> None:
        self._oracle, self._chunks, self._fault = oracle, chunks, fault
        self._at, self._over = 0, False
        self._stop = oracle.chance.randrange(1, len(chunks) + 1)

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0.01 * self._oracle.chance.random())
        streamed = len(self._chunks) > 1
        if streamed and self._at >= self._stop:
            if self._fault in ("cut stream", "cut body"):
                await self.aclose()
                raise NetworkFailed("the connection broke", kind="ReadError")
            if self._fault == "no end":
                await self.aclose()
                raise StopAsyncIteration
            if self._fault == "stall":
                await asyncio.sleep(3600)
        if self._at >= len(self._chunks):
            await self.aclose()
            raise StopAsyncIteration
        self._at += 1
        if self._at == len(self._chunks):
            await self.aclose()  # all is said
        return self._chunks[self._at - 1]

    async def aclose(self) -> None:
        if not self._over:
            self._over = True
            self._oracle.in_flight -= 1


def whole(question: str) -> bytes:
    return orjson.dumps({
        "id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": said(question)}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10},
    })  # fmt: skip


def events(question: str) -> list[bytes]:
    words = said(question).split(" ")
    deltas = [{"content": word if place == 0 else " " + word} for place, word in enumerate(words)]
    chunks = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    frames = [b"data: " + orjson.dumps({**head, "choices": [chunk]}) + b"\n\n" for chunk in chunks]
    return [*frames, b"data: [DONE]\n\n"]


def text_of(raw: bytes) -> str:
    """What a stream of such events says."""
    found = ""
    for line in raw.split(b"\n\n"):
        if line.startswith(b"data: {"):
            for choice in orjson.loads(line[6:]).get("choices") or ():
                found += choice["delta"].get("content") or ""
    return found
