"""One moment for the whole call: at whatever stage it stands when its time is over, it ends there, by its own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from llm_edge import CallError, EdgeClient
from llm_edge.errors import NetworkFailed
from llm_edge.http.sender import Answer, Patience
from llm_edge.message import Body, Request, Response
from llm_edge.providers.base import Wire
from llm_edge.runtime import Clock, FakeClock, drive
from tests.chaos.oracle import JSON, SSE, events, whole
from tests.chaos.virtual import LoopTime, run

LATE = 0.1
"""Seconds by which a call may outlive its deadline."""


class Engine:
    """Answers, fails or hangs, as a real engine does: it waits no longer than it is told."""

    name = "engine"

    def __init__(self, clock: Clock, does: str) -> None:
        self.clock, self.does, self.asked = clock, does, 0

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        self.asked += 1
        if self.does == "hangs":
            await self.hang(patience)
        if self.does == "503":
            await self.takes(0.3, patience)
            return Answer(503, JSON, _Pieces(self, patience, [b'{"error":{"message":"no"}}'], len))
        if self.does == "well":
            return Answer(200, JSON, _Pieces(self, patience, [whole("q")], len))
        after = {"streams nothing": 0, "streams a little": 3}[self.does]
        return Answer(200, SSE, _Pieces(self, patience, events("q"), lambda _: after))

    async def takes(self, seconds: float, patience: Patience) -> None:
        left = patience.remaining()
        if left is not None and left < seconds:
            await self.hang(patience)
        await self.clock.sleep(seconds)

    async def hang(self, patience: Patience) -> None:
        left = patience.remaining()
        await self.clock.sleep(3600.0 if left is None else left)
        raise NetworkFailed("nothing came", kind="ReadTimeout")

    async def aclose(self) -> None: ...


class _Pieces:
    """Some of the pieces, and then silence; or all of them."""

    def __init__(self, engine: Engine, patience: Patience, pieces: list[bytes], most: Callable[[Any], int]) -> None:
        self._engine, self._patience, self._pieces = engine, patience, pieces
        self._left = most(pieces)

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        if self._left == 0:
            await self._engine.hang(self._patience)
        self._left -= 1
        await self._engine.takes(0.05, self._patience)
        return self._pieces.pop(0)

    async def aclose(self) -> None: ...


def request(timeout: float | None, *, streaming: bool = False) -> Request:
    body: dict[str, Any] = {"model": "r", "messages": [{"role": "user", "content": "q"}], "stream": streaming}
    return Request(body=Body(json=body), model="r", route="r", streaming=streaming, timeout=timeout)


class World:
    """A client in one colour, whose time passes only when somebody waits."""

    def __init__(self, mode: str, does: str, **sections: Any) -> None:
        self.clock: Clock = FakeClock() if mode == "sync" else LoopTime()
        places = {name: {"kind": "openai", "base_url": f"http://{name}.test/v1"} for name in ("a", "b")}
        self.edge = EdgeClient(
            clock=self.clock, chance=lambda: 1.0, env={}, providers=places, cache={"policy": "off"},
            routes={"r": {"targets": ["a/m", "b/m"], **sections.pop("route", {})}}, **sections,
        )  # fmt: skip
        self.engine = Engine(self.clock, does)
        self.handler = self.edge.front("sync" if mode == "sync" else "async", self.engine).handler
        self.run: Callable[[Coroutine[Any, Any, Any]], Any] = drive if mode == "sync" else run

    async def took(self, asked: Request) -> float:
        """Seconds until it failed."""
        began = self.clock.now()
        with pytest.raises(CallError):
            await self._heard_out(asked)
        return self.clock.now() - began

    async def _heard_out(self, asked: Request) -> None:
        response: Response = await self.handler(asked)
        assert response.stream is not None
        async for _ in response.stream:
            pass


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    word: str = request.param
    return word


ONE_ATTEMPT = {"retry": {"attempts": 1}}
STAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "an attempt": ("hangs", ONE_ATTEMPT),
    "an attempt after the other": ("hangs", {"deadline": {"attempt": 0.7}}),
    "a fallback": ("hangs", {**ONE_ATTEMPT, "deadline": {"attempt": 1.5}}),
    "retries": ("503", {"retry": {"attempts": 10, "per_second": 1000}}),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("timeout", [2.0, 0.2])
def test_the_time_of_a_call_is_over_at_every_stage(mode: str, stage: str, timeout: float) -> None:
    does, sections = STAGES[stage]
    world = World(mode, does, **sections)
    took = world.run(world.took(request(timeout)))
    assert took <= timeout + LATE
    assert world.engine.asked >= 1


def test_without_a_word_of_the_callers_the_routes_own_time_counts(mode: str) -> None:
    world = World(mode, "hangs", route={"deadline": {"total": 4.0}})
    assert world.run(world.took(request(None))) == pytest.approx(4.0, abs=LATE)
    common = World(mode, "hangs")
    assert common.run(common.took(request(None))) == pytest.approx(30.0, abs=LATE)


def test_who_waits_for_a_limit_waits_no_longer_than_its_time(mode: str) -> None:
    world = World(mode, "well", limits={"global": {"requests_per_minute": 1, "burst": 1, "patience": 600}})

    async def two() -> float:
        await world.handler(request(2.0))
        return await world.took(request(2.0))

    assert world.run(two()) <= 2.0 + LATE
    assert world.engine.asked == 1


@pytest.mark.parametrize(
    ("does", "deadline", "most"),
    [
        ("streams a little", {}, 6.0), ("streams a little", {"idle": 1.0}, 1.5), ("streams nothing", {}, 6.0),
        ("streams nothing", {"first_token": 1.0}, 1.5),
    ],
)  # fmt: skip
def test_a_stream_that_falls_silent_ends_with_its_time_or_its_own_limits(
    mode: str, does: str, deadline: dict[str, float], most: float
) -> None:
    world = World(mode, does, deadline=deadline, route={"targets": ["a/m"]}, **ONE_ATTEMPT)
    assert world.run(world.took(request(6.0, streaming=True))) <= most + LATE


def test_a_second_ask_gives_a_call_no_more_time() -> None:
    world = World("async", "well", hedge={"enabled": True, "share": 1.0}, **ONE_ATTEMPT)

    async def usual_and_then_slow() -> float:
        for _ in range(30):
            await world.handler(request(2.0))
        world.engine.does, world.engine.asked = "hangs", 0
        return await world.took(request(2.0))

    assert world.run(usual_and_then_slow()) <= 2.0 + LATE
    assert world.engine.asked == 2


def test_who_waits_for_a_place_leaves_when_its_time_is_over() -> None:
    world = World("async", "hangs", limits={"global": {"concurrency": 1, "patience": 600}}, **ONE_ATTEMPT)

    async def two() -> tuple[float, float]:
        return await asyncio.gather(world.took(request(9.0)), world.took(request(2.0)))

    first, second = world.run(two())
    assert second <= 2.0 + LATE
    assert first <= 9.0 + LATE
