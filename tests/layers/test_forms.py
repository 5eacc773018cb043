"""One question asked for whole by some and streamed by others: who shares whose call, and what of it is kept."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.answers import understanding
from llm_edge.errors import CallError, DeadlineExceeded, StreamBroken
from llm_edge.layers.answers import Answers
from llm_edge.layers.cache import Cache, Keeping
from llm_edge.layers.kept import Held
from llm_edge.layers.rules import Rules
from llm_edge.message import Body, Controls, Request, Response, Saved, Stream
from llm_edge.runtime import Blocking, FakeClock, Signal, drive
from llm_edge.stores.memory import MemoryStore

from .kit import Cut, call, read_all

if TYPE_CHECKING:
    from tests.conftest import Colour

BOUND = 20.0
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
COMPLETE = {"stream": True, "stream_options": {"include_usage": True}}
BARE = {"stream": True}
WHOLE: dict[str, Any] = {}


def request(asked: dict[str, Any], **fields: Any) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **asked}
    return call(body=body, streaming=bool(asked), operation="chat", dialect="openai.chat", **fields)


def _event(**fields: Any) -> bytes:
    given = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], **fields}
    return b"data: " + json.dumps(given).encode() + b"\n\n"


def _choice(finish: str | None, **delta: str) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "finish_reason": finish}]


def chunks(asked: Mapping[str, Any]) -> list[bytes]:
    usage = [_event(usage=USAGE)] if "stream_options" in asked else []
    begin = _event(choices=_choice(None, role="assistant", content="Hel"))
    return [begin, _event(choices=_choice(None, content="lo")), _event(choices=_choice("stop")), *usage,
            b"data: [DONE]\n\n"]  # fmt: skip


def whole() -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hello", "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}


def text_of(raw: bytes) -> str:
    """What an answer says, in whichever form."""
    if raw[:1] == b"{":
        text: str = json.loads(raw)["choices"][0]["message"]["content"]
        return text
    events = [json.loads(line[6:]) for line in raw.split(b"\n\n") if line.startswith(b"data: {")]
    return "".join(c["delta"].get("content") or "" for event in events for c in event["choices"])


class Gated:
    """The provider: answers in the form asked for, once its gate is open."""

    def __init__(self, colour: Colour, *, broken: Exception | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.gate, self._runtime, self._broken = Signal(), colour.runtime(), broken

    async def __call__(self, request: Request, /) -> Response:
        body = request.body.json
        self.asked.append({name: body[name] for name in ("stream", "stream_options") if name in body})
        await self._runtime.wait(self.gate, None)
        if not request.streaming:
            request.notes.usage = USAGE
            return Response(status=200, body=Body(json.dumps(whole()).encode()))
        watcher, told = understanding("openai.chat").watcher(), chunks(body)
        if self._broken is not None and len(self.asked) == 1:
            return Response(status=200, stream=Stream(Cut(told[:1], self._broken), watcher))
        return Response(status=200, stream=Stream(Saved(told), watcher))


class Both:
    """A cache over it, asked by several at once."""

    def __init__(self, colour: Colour, **given: Any) -> None:
        self.colour, self.provider = colour, Gated(colour, **given)
        self.memory: MemoryStore[Held] = MemoryStore()
        self.answers, self.clock = Answers(self.memory), FakeClock(1000.0)
        self.layer = Cache(
            self.answers, colour.runtime(self.clock), Rules(Keeping(early=False)), understanding, chance=lambda: 0.0
        )

    async def told(self, asked: dict[str, Any], **fields: Any) -> Any:
        try:
            return await self.ask(asked, **fields)
        except CallError as error:
            return type(error).__name__

    async def ask(self, asked: dict[str, Any], **fields: Any) -> tuple[str, str]:
        given = request(asked, **fields)
        response = await self.layer(given, self.provider)
        if response.stream is not None:
            raw = b"".join(await read_all(response))
            await response.stream.aclose()
        else:
            assert response.body is not None
            raw = response.body.raw
        assert (raw[:1] == b"{") is not bool(asked)
        return given.notes.cache, text_of(raw)

    def together(self, *asked: dict[str, Any], each_with: Sequence[dict[str, Any]] = ()) -> list[Any]:
        """One after the other begins to ask; nobody is answered before all have."""
        coming = [self.told(each, **more) for each, more in zip_longest(asked, each_with, fillvalue={})]
        if self.colour.name == "sync":
            with ThreadPoolExecutor(len(asked)) as pool:
                futures = []
                for number, one in enumerate(coming):
                    futures.append(pool.submit(drive, one))
                    _until(lambda number=number: self.aboard() > number)  # type: ignore[misc]  # the number of now
                self.provider.gate.set()
                return [future.result(BOUND) for future in futures]

        async def several() -> list[Any]:
            tasks = []
            for number, one in enumerate(coming):
                tasks.append(asyncio.ensure_future(one))
                end = time.monotonic() + BOUND
                while self.aboard() <= number and time.monotonic() < end:
                    await asyncio.sleep(0)
            self.provider.gate.set()
            return await asyncio.gather(*tasks)

        return list(self.colour.run(several()))

    def aboard(self) -> int:
        """How many are on their way."""
        return sum(flight.guests for flight in list(self.answers.flights.under_way.values()))


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + BOUND
    while not true():
        assert time.monotonic() < end, "it never happened"
        os.sched_yield()


@pytest.mark.parametrize(
    ("first", "second"),
    [(WHOLE, COMPLETE), (WHOLE, BARE), (COMPLETE, WHOLE)],
    ids=["whole+all", "whole+bare", "all+whole"],
)
def test_a_whole_and_a_streamed_ask_share_one_call(
    colour: Colour, first: dict[str, Any], second: dict[str, Any]
) -> None:
    both = Both(colour)
    assert both.together(first, second, second) == [("MISS", "Hello"), ("COALESCED", "Hello"), ("COALESCED", "Hello")]
    assert both.provider.asked == [first]


@pytest.mark.parametrize("asked", [WHOLE, COMPLETE, BARE], ids=["whole", "all", "bare"])
def test_bytes_that_are_being_asked_for_are_known_by_sight_and_kept_apart_all_the_same(
    colour: Colour, asked: dict[str, Any]
) -> None:
    both = Both(colour)
    apart = [{}, {}, {"controls": Controls(namespace="n")}, {}, {"scope": "another"}, {"scope": "another"}]
    told = both.together(*[asked] * 6, each_with=apart)
    assert [status for status, _ in told] == ["MISS", "COALESCED", "MISS", "COALESCED", "MISS", "COALESCED"]
    assert len(both.provider.asked) == 3
    assert not both.answers.flights.by_sight, "and of those that are no longer asked for nothing is left"


def test_of_bytes_whose_call_failed_nothing_is_left(colour: Colour) -> None:
    both = Both(colour, broken=StreamBroken("it broke off"))
    assert both.together(COMPLETE, COMPLETE) == ["StreamBroken"] * 2
    assert not both.answers.flights.by_sight


def test_a_stream_that_does_not_tell_what_was_used_serves_no_whole_ask(colour: Colour) -> None:
    both = Both(colour)
    assert both.together(BARE, WHOLE) == [("MISS", "Hello"), ("MISS", "Hello")]
    assert both.provider.asked == [BARE, WHOLE]


def test_where_the_stream_breaks_the_whole_ask_is_made_anew(colour: Colour) -> None:
    both = Both(colour, broken=StreamBroken("it broke off"))
    told = both.together(COMPLETE, WHOLE)
    assert told == ["StreamBroken", ("MISS", "Hello")]
    assert both.provider.asked == [COMPLETE, WHOLE]


def test_a_late_bare_stream_does_not_replace_the_whole_answer_that_serves_both(colour: Colour) -> None:
    both = Both(colour)

    async def crossing() -> None:
        # The stream is begun first and ends last; in between the whole answer is asked for and kept.
        streaming = request(BARE)
        both.provider.gate.set()
        response = await both.layer(streaming, both.provider)
        assert response.stream is not None
        await response.stream.__anext__()
        assert await both.ask(WHOLE) == ("MISS", "Hello")
        await read_all(response)
        assert await both.ask(WHOLE) == ("HIT", "Hello")
        assert await both.ask(COMPLETE) == ("HIT", "Hello")

    colour.run(crossing())
    assert both.provider.asked == [BARE, WHOLE]


def test_a_whole_ask_waits_for_anothers_stream_no_longer_than_it_may() -> None:
    from tests.conftest import Sync

    colour = Sync()
    both = Both(colour)
    both.layer = Cache(both.answers, Blocking(), Rules(Keeping(early=False)), understanding, chance=lambda: 0.0)
    clock = both.layer.clock

    class Slow(Saved):
        async def __anext__(self) -> bytes:
            await Blocking().wait(both.provider.gate, None)
            return await super().__anext__()

    async def streams(request: Request) -> Response:
        return Response(status=200, stream=Stream(Slow(chunks(COMPLETE)), understanding("openai.chat").watcher()))

    def first() -> list[bytes]:
        return drive(read_all(drive(both.layer(request(COMPLETE), streams))))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(first)
        _until(lambda: both.aboard() == 1)
        with pytest.raises((DeadlineExceeded, CallError)):
            drive(both.ask(WHOLE, deadline=clock.now() + 0.05))
        both.provider.gate.set()
        assert text_of(b"".join(reading.result(BOUND))) == "Hello"
