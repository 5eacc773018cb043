"""
Load and faults with the real stack over sockets: what users live through on a bad day.

Each scene asks many calls at once and tells how they ended; what has to hold is checked by the names of the invariants.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from llm_edge import CallError, EdgeClient
from llm_edge.testing import Provider, answer, hang_up, html, json_body, status
from llm_edge.testing.call import Call
from llm_edge.testing.steps import Step
from tests.stores.valkey import valkey

from .oracle import said


@dataclass
class Outcome:
    """How a scene went."""

    name: str
    asked: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    upstream: int = 0
    slowest: float = 0.0
    breaches: list[str] = field(default_factory=list)

    def must(self, name: str, holds: bool, words: str) -> None:
        if not holds:
            self.breaches.append(f"{self.name}: {name}: {words}")

    @property
    def answered(self) -> float:
        """The share of calls that were answered."""
        return self.ends["answered"] / max(self.asked, 1)


def heavy_tailed(chance: random.Random) -> Callable[[Call], Step]:
    """Right answers, most of them soon."""
    return lambda call: answer(said(_question(call))).delay(min(0.05 * chance.paretovariate(1.5), 3.0))


def prompt(call: Call) -> Step:
    """The right answer at once."""
    return answer(said(_question(call)))


def faulty(chance: random.Random, share: float) -> Callable[[Call], Step]:
    """Right answers but for a share of faults of every kind."""
    well = heavy_tailed(chance)
    faults = [
        status(500), status(503), status(429), status(529), html(), hang_up(), hang_up(reset=True),
        json_body({"error": {"message": "no", "type": "server_error"}}), answer("x" * 200).cut(after_bytes=40),
        answer("never").stall(), answer("x").malformed(),
    ]  # fmt: skip
    return lambda call: chance.choice(faults) if chance.random() < share else well(call)


def _question(call: Call) -> str:
    text: str = call.json["messages"][-1]["content"]
    return text


async def crowd(outcome: Outcome, edge: EdgeClient, count: int, *, at_once: int, limit: float) -> None:
    """So many different questions, `at_once` at a time; each answer must be its question's, and none late."""
    turns = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        question = f"question {number}"
        async with turns:
            began = time.monotonic()
            try:
                reply = await edge.achat("r", question, timeout=limit)
            except CallError as error:
                outcome.ends[f"{type(error).__name__}: {error}"] += 1
            else:
                outcome.ends["answered"] += 1
                outcome.must("I7", reply.text == said(question), f"{reply.text!r} for {question!r}")
            outcome.slowest = max(outcome.slowest, time.monotonic() - began)

    first = outcome.asked
    outcome.asked += count
    await asyncio.gather(*(one(first + number) for number in range(count)))
    outcome.must("I2", outcome.ends.total() == outcome.asked, f"{outcome.asked} in, {outcome.ends.total()} out")


def _edge(*providers: Provider, **settings: Any) -> EdgeClient:
    names = [f"p{number}" for number in range(len(providers))]
    return EdgeClient(
        env={}, http={"pool": 1000}, routes={"r": {"targets": [f"{name}/m" for name in names]}},
        providers={
            name: {"kind": "openai", "base_url": f"{provider.url}/v1"}
            for name, provider in zip(names, providers, strict=True)
        },
        **settings,
    )  # fmt: skip


async def a_thousand_at_once(outcome: Outcome, scale: float) -> None:
    """1,000 calls at once to a provider with a heavy tail: all are answered."""
    count = int(1000 * scale)
    with Provider(heavy_tailed(random.Random(1)), remember=1) as provider:
        async with _edge(provider) as edge:
            await crowd(outcome, edge, count, at_once=count, limit=60)
            outcome.must("gate", outcome.answered == 1.0, f"{outcome.ends}")
    await _quiet(outcome)


async def every_fifth_call_fails(outcome: Outcome, scale: float) -> None:
    """20 % faults of all kinds, and one healthy second target: more than 99.9 % are answered."""
    count = int(2000 * scale)
    with (
        Provider(faulty(random.Random(2), 0.2), remember=1) as first,
        Provider(heavy_tailed(random.Random(3)), remember=1) as second,
    ):
        async with _edge(first, second, deadline={"attempt": 2.0}) as edge:
            await crowd(outcome, edge, count, at_once=100, limit=30)
            outcome.must("gate", outcome.answered > 0.999, f"{outcome.ends}")
    await _quiet(outcome)


async def a_provider_hangs(outcome: Outcome, scale: float) -> None:
    """The first target accepts and never answers: the second does, in time, and the first is soon left alone."""
    count = int(300 * scale)
    with Provider(answer("never").stall()) as hung, Provider(prompt, remember=1) as second:
        async with _edge(hung, second, deadline={"attempt": 2.0}, retry={"attempts": 1}) as edge:
            await crowd(outcome, edge, count, at_once=20, limit=10)
            outcome.must("gate", outcome.answered == 1.0, f"{outcome.ends}")
            outcome.must("I10", outcome.slowest < 10.1, f"{outcome.slowest:.2f} s")
            outcome.must("breaker", len(hung.calls) <= 40, f"{len(hung.calls)} of {count} went to it, 20 at once")
    await _quiet(outcome)


async def a_storm_of_429(outcome: Outcome, scale: float) -> None:
    """The first target has enough of us, the second not: nobody notices, and its breaker stays closed."""
    count = int(500 * scale)
    refusing = status(429, headers={"retry-after": "30"})
    with Provider(refusing) as first, Provider(heavy_tailed(random.Random(5)), remember=1) as second:
        async with _edge(first, second) as edge:
            await crowd(outcome, edge, count, at_once=50, limit=30)
            outcome.must("gate", outcome.answered == 1.0, f"{outcome.ends}")
            outcome.must("I8", len(first.calls) <= 3 * count, f"{len(first.calls)} attempts")
            standing = {str(state) for name, state in edge.breakers.items() if name.startswith("p0/")}
            outcome.must("breaker", "open" not in standing, f"{standing}")
    await _quiet(outcome)


async def flapping(outcome: Outcome, scale: float) -> None:
    """A target that is half down, alone: its breaker does not swing, and no answer is wrong."""
    count = int(500 * scale)
    with Provider(faulty(random.Random(6), 0.5), remember=1) as provider:
        async with _edge(provider, deadline={"attempt": 1.0}) as edge:
            await crowd(outcome, edge, count, at_once=20, limit=10)
            outcome.must("I10", outcome.slowest < 10.1, f"{outcome.slowest:.2f} s")
    await _quiet(outcome)


async def the_store_dies(outcome: Outcome, scale: float) -> None:
    """Redis is frozen, comes back, and is killed while calls run: rates go on locally, and no call waits for it."""
    count = int(300 * scale)
    limits = {"global": {"requests_per_minute": 600_000, "burst": 10_000, "concurrency": 60}}
    with valkey() as server, Provider(heavy_tailed(random.Random(7)), remember=1) as provider:
        async with _edge(provider, store={"kind": "redis", "url": server.url}, limits=limits) as edge:
            await crowd(outcome, edge, count, at_once=30, limit=10)
            with server.frozen():
                await crowd(outcome, edge, count, at_once=30, limit=10)
            await crowd(outcome, edge, count, at_once=30, limit=10)
            server.kill()
            await crowd(outcome, edge, count, at_once=30, limit=10)
            outcome.must("gate", outcome.answered == 1.0, f"{outcome.ends}")
            outcome.must("store", outcome.slowest < 5.0, f"the slowest call took {outcome.slowest:.2f} s")
    await _quiet(outcome)


async def _quiet(outcome: Outcome) -> None:
    for _ in range(20):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.05)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    outcome.must("I11", not left, f"{len(left)} tasks are left: {[task.get_coro() for task in left][:3]}")


SCENES: list[Callable[[Outcome, float], Awaitable[None]]] = [
    a_thousand_at_once, every_fifth_call_fails, a_provider_hangs, a_storm_of_429, flapping, the_store_dies,
]  # fmt: skip


def play(scene: Callable[[Outcome, float], Awaitable[None]], scale: float) -> Outcome:
    """One scene, on a loop of its own; `scale` makes it smaller."""
    outcome = Outcome(scene.__doc__ or "")

    async def play_it() -> None:
        await scene(outcome, scale)

    asyncio.run(play_it())
    return outcome
