"""
Load and faults with the real stack over sockets: what users live through on a bad day.

Each scene asks many calls at once; what has to hold is counted by the names of the invariants.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeAlias

from llm_edge import EdgeClient
from llm_edge.testing import answer, hang_up, html, json_body, status, stream
from llm_edge.testing.call import Call
from llm_edge.testing.steps import Step
from tests.stores.valkey import valkey

from .crowd import Left, Outcome, crowd, crowd_of_threads, edge_over, heavy_tailed, no_task_is_left, providers
from .oracle import said
from .witness import Witness, asked

ONCE = {"retry": {"attempts": 1}}
Scene: TypeAlias = Callable[[Outcome, float], Awaitable[None]]


def faults(seed: int, share: float) -> Callable[[Call], Step | None]:
    """A share of faults of every kind."""
    chance = random.Random(seed)
    kinds = [
        status(500), status(503), status(429), status(529), html(), hang_up(), hang_up(reset=True),
        json_body({"error": {"message": "no", "type": "server_error"}}), answer("never").stall(),
        answer("x").malformed(), None,
    ]  # fmt: skip

    def fault(call: Call) -> Step | None:
        return None if chance.random() >= share else chance.choice(kinds) or _cut_short(call)

    return fault


def _cut_short(call: Call) -> Step:
    """The right words, and then a broken connection."""
    words = said(asked(call)).split(" ")
    told = stream(words[0], *(f" {word}" for word in words[1:]))
    return told.cut(after_events=3) if call.streamed else told.cut(after_bytes=40)


async def a_thousand_at_once(outcome: Outcome, scale: float) -> None:
    """1,000 calls at once to a provider with a heavy tail: all are answered."""
    count, witness = int(1000 * scale), Witness(heavy_tailed(1))
    with providers(witness) as served:
        async with edge_over(outcome, served, [witness]) as edge:
            await crowd(outcome, edge, count, at_once=count, limit=60)
            outcome.check("answered", outcome.answered == 1.0, f"{outcome.ends}")
            times = set(witness.by_question.values())
            outcome.check("I1", witness.asked == count and times == {1}, f"{witness.asked} asked for {count}")


async def a_thousand_threads(outcome: Outcome, scale: float) -> None:
    """1,000 threads at once, a fifth of whose calls fail, and one healthy second target: all are answered."""
    count, patience = int(1000 * scale**1.5), {"attempt": max(10 * scale, 3.0)}
    first, second = Witness(heavy_tailed(9), faults(9, 0.2)), Witness(heavy_tailed(10))
    with providers(first, second) as served:
        async with edge_over(outcome, served, [first, second], deadline=patience) as edge:
            await crowd_of_threads(outcome, edge, count, limit=60)
            outcome.check("answered", outcome.answered > 0.999, f"{outcome.ends}")


async def many_ask_the_same(outcome: Outcome, scale: float) -> None:
    """Few questions, asked by many at once, some of whom leave: each is asked once, and all who stay hear it."""
    count, each, chance = int(600 * scale), 30, random.Random(8)
    witness = Witness(lambda: 0.2 + 0.2 * chance.random())
    with providers(witness) as served:
        async with edge_over(outcome, served, [witness]) as edge:
            for streaming in (False, True):
                before, kind = witness.asked, "streamed" if streaming else "whole"
                await crowd(
                    outcome, edge, count, at_once=count, limit=60, streaming=streaming,
                    question=lambda number, kind=kind: f"{kind} question {number // each}",
                    leaves=lambda number: 0.1 if number % each in (0, 7) else None,
                )  # fmt: skip
                some = -(-count // each)
                outcome.check("I1", witness.asked - before == some, f"{witness.asked - before} asked for {some}")
            stayed = outcome.ends["answered"] + outcome.ends["given up"]
            outcome.check("answered", stayed == outcome.asked, f"{outcome.ends}")


async def every_fifth_call_fails(outcome: Outcome, scale: float) -> None:
    """20 % faults of all kinds, and one healthy second target: more than 99.9 % are answered."""
    count = int(2000 * scale)
    first, second = Witness(heavy_tailed(2), faults(2, 0.2)), Witness(heavy_tailed(3))
    with providers(first, second) as served:
        async with edge_over(outcome, served, [first, second], deadline={"attempt": 2.0}) as edge:
            at_once = max(int(100 * scale), 30)
            await crowd(outcome, edge, count, at_once=at_once, limit=30)
            outcome.check("answered", outcome.answered > 0.999, f"{outcome.ends}")
            await crowd(outcome, edge, count // 4, at_once=at_once, limit=30, streaming=True)


async def a_provider_hangs_for_a_minute(outcome: Outcome, scale: float) -> None:
    """The first target accepts and does not answer for a minute: the second does, in time, and then the first again."""
    minute, stays = 60 * scale**2, max(5 * scale, 0.3)
    until = time.monotonic() + minute
    hung = Witness(instead=lambda call: answer("never").stall() if time.monotonic() < until else None)
    second = Witness(lambda: 0.05)
    breaker = {"open_for": stays}
    with providers(hung, second) as served:
        patience, at_once = {"attempt": 2.0}, max(int(20 * scale), 6)
        async with edge_over(outcome, served, [hung, second], deadline=patience, **ONCE, breaker=breaker) as edge:
            while time.monotonic() < until:
                await crowd(outcome, edge, at_once, at_once=at_once, limit=10)
            outcome.check("answered", outcome.answered == 1.0, f"{outcome.ends}")
            most = at_once + 5 * (minute / stays + 2)
            outcome.check("breaker", hung.asked <= most, f"{hung.asked} went to it, {most:.0f} allowed")
            await _closes(outcome, edge, stays)
            outcome.check("answered", outcome.answered == 1.0, f"{outcome.ends}")


async def _closes(outcome: Outcome, edge: EdgeClient, stays: float) -> None:
    """Where the target is well again, calls find that out."""
    until = time.monotonic() + 10 * stays + 20
    while edge.breakers["p0/m"] != "closed" and time.monotonic() < until:
        await crowd(outcome, edge, 1, at_once=1, limit=10)
        await asyncio.sleep(0.02)
    outcome.check("breaker", edge.breakers["p0/m"] == "closed", "it did not close although its target is well")


async def a_storm_of_429(outcome: Outcome, scale: float) -> None:
    """The first target has enough of us, the second not: nobody notices, and its breaker stays closed."""
    count, refusing = int(500 * scale), status(429, headers={"retry-after": "30"})
    first, second = Witness(instead=lambda call: refusing), Witness(heavy_tailed(5))
    with providers(first, second) as served:
        async with edge_over(outcome, served, [first, second]) as edge:
            await crowd(outcome, edge, count, at_once=50, limit=30)
            outcome.check("answered", outcome.answered == 1.0, f"{outcome.ends}")
            outcome.check("breaker", edge.breakers["p0/m"] == "closed", edge.breakers["p0/m"])


async def flapping(outcome: Outcome, scale: float) -> None:
    """A target that is half down, alone: its breaker swings no faster than it stays open, and closes in the end."""
    seconds, stays = 10 * scale, max(1.0 * scale, 0.2)
    until = time.monotonic() + seconds
    failing = faults(6, 0.5)
    witness = Witness(lambda: 0.01, lambda call: failing(call) if time.monotonic() < until else None)
    with providers(witness) as served:
        patience, breaker = {"attempt": 1.0}, {"open_for": stays}
        async with edge_over(outcome, served, [witness], deadline=patience, **ONCE, breaker=breaker) as edge:
            openings, before = 0, "closed"
            while time.monotonic() < until:
                await crowd(outcome, edge, 5, at_once=5, limit=10)
                state = edge.breakers["p0/m"]
                openings += state == "open" != before
                before = state
                await asyncio.sleep(0.01)
            outcome.check("breaker", openings <= seconds / stays + 1, f"it opened {openings} times in {seconds:g} s")
            await _closes(outcome, edge, stays)


async def a_crowd_before_a_gate(outcome: Outcome, scale: float) -> None:
    """Many wait in line for a pace and for places, here and in a store: none is refused, and no limit is broken."""
    with valkey() as server:
        await _before_a_gate(outcome, int(300 * scale))
        # Without money: that is refused while a store is not heard of in time, as on a machine that is too busy.
        await _before_a_gate(outcome, int(300 * scale), store={"kind": "redis", "url": server.url}, budgets={})


async def _before_a_gate(outcome: Outcome, count: int, **store: Any) -> None:
    rate, burst, places, witness = 50.0, 10, 8, Witness(lambda: 0.05)
    limits = {"global": {"requests_per_second": rate, "burst": burst, "concurrency": places, "patience": 60}}
    with providers(witness) as served:
        async with edge_over(outcome, served, [witness], limits=limits, **store) as edge:
            for at_once in (1, 4, count):  # the first ones open connections
                await crowd(outcome, edge, at_once, at_once=at_once, limit=60)
    outcome.check("answered", outcome.answered == 1.0, f"{outcome.ends}")
    # Calls that do not hear from the store in time are counted by the process alone.
    alone = 2 if store and outcome.lag > 0.02 else 1
    most = witness.most_under_way()
    outcome.check("I5", most <= alone * places, f"{most} under way, {alone * places} allowed")
    for window in (0.5, 1.0, 3.0):
        # What is sent may arrive late, and closer together than it left.
        most, allowed = witness.most_within(window), alone * (burst + int(rate * (window + 0.5 + outcome.lag)))
        outcome.check("I4", most <= allowed, f"{most} in {window:g} s, {allowed} allowed")


async def the_store_dies(outcome: Outcome, scale: float) -> None:
    """Redis is frozen, comes back, and is killed while calls run: rates go on locally, and no call waits for it."""
    count, witness = int(300 * scale), Witness(heavy_tailed(7))
    limits = {"global": {"requests_per_minute": 600_000, "burst": 10_000, "concurrency": 60}}
    with valkey() as server, providers(witness) as served:
        store = {"kind": "redis", "url": server.url}
        async with edge_over(outcome, served, [witness], store=store, limits=limits, budgets={}) as edge:
            await crowd(outcome, edge, count, at_once=30, limit=10)
            with server.frozen():
                await crowd(outcome, edge, count, at_once=30, limit=10)
            await crowd(outcome, edge, count, at_once=30, limit=10)
            server.kill()
            await crowd(outcome, edge, count, at_once=30, limit=10)
            outcome.check("answered", outcome.answered == 1.0, f"{outcome.ends}")
            outcome.check("I5", witness.most_under_way() <= 60, f"{witness.most_under_way()} under way")
            outcome.check(
                "store", outcome.slowest < 5.0 + outcome.lag, f"the slowest call took {outcome.slowest:.2f} s"
            )


SCENES: list[Scene] = [
    a_thousand_at_once, a_thousand_threads, many_ask_the_same, every_fifth_call_fails, a_provider_hangs_for_a_minute,
    a_storm_of_429, flapping, a_crowd_before_a_gate, the_store_dies,
]  # fmt: skip


def play(scene: Scene, scale: float) -> Outcome:
    """One scene, on a loop of its own; `scale` makes it smaller."""
    _warm()
    outcome, left = Outcome(name=scene.__doc__ or ""), Left()

    async def play_it() -> None:
        await scene(outcome, scale)
        await no_task_is_left(outcome)

    asyncio.run(play_it())
    left.is_all(outcome)
    return outcome


@cache
def _warm() -> None:
    """What is opened once for all, and stays, is there before it is counted."""

    async def once() -> None:
        witness = Witness()
        with providers(witness) as served:
            async with edge_over(Outcome(), served, [witness]) as edge:
                await crowd(Outcome(), edge, 2, at_once=2, limit=10)

    asyncio.run(once())
