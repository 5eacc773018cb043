"""
The whole chain on virtual time, from a seed: many callers, providers that fail in every way, calls that are given up.

What has to hold whatever happens is counted by the names of the invariants, and every breach is told with its seed.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from llm_edge import CallError, EdgeClient
from llm_edge.message import Body, Handler, Request

from .invariants import Tally
from .oracle import FAULTS, Host, Oracle, said, text_of
from .virtual import LoopTime, run


@dataclass
class Report(Tally):
    """How often each invariant was looked at, where it broke, and how the calls ended."""

    outcomes: Counter[str] = field(default_factory=Counter)
    upstream: Counter[str] = field(default_factory=Counter)

    def check(self, name: str, holds: bool, seed: int, words: str) -> None:
        self.note(name, holds, f"seed {seed}", words)


@dataclass
class World:
    """What a seed comes to."""

    seed: int
    calls: int
    targets: int
    attempts: int
    concurrency: int
    questions: int
    faults: float
    calm: bool = False
    """Nobody gives up and nothing fails."""

    @classmethod
    def of(cls, seed: int) -> World:
        chance = random.Random(seed)
        return cls(
            seed=seed, calls=chance.randrange(5, 25), targets=chance.randrange(1, 4), attempts=chance.randrange(1, 4),
            concurrency=chance.randrange(1, 15), questions=chance.choice([3, 10, 1000]),
            faults=chance.choice([0.0, 0.1, 0.3, 0.9]),
        )  # fmt: skip


def simulate(seeds: range) -> Report:
    """Every seed in turn, and every tenth once more as a calm day."""
    report = Report()
    for seed in seeds:
        world = World.of(seed)
        run(_world(world, report))
        if seed % 10 == 0:
            for questions in (1000, 3):
                run(_world(replace(world, faults=0.0, questions=questions, calm=True), report))
    return report


async def _world(world: World, report: Report) -> None:
    chance = random.Random(world.seed + 1)
    names = [f"p{number}" for number in range(world.targets)]
    hosts = {f"{name}.test": Host(_share(world, chance), FAULTS, 0.05 + chance.random()) for name in names}
    if world.faults and chance.random() < 0.3:
        hosts["p0.test"].down = ((1.0, 1.0 + 60 * chance.random()),)
    oracle = Oracle(hosts, chance)
    edge = EdgeClient(
        clock=LoopTime(), chance=chance.random, env={},
        providers={name: {"kind": "openai", "base_url": f"http://{name}.test/v1"} for name in names},
        routes={"r": {"targets": [f"{name}/m" for name in names]}},
        retry={"attempts": world.attempts},
        limits={"global": {"concurrency": world.concurrency, "patience": 600}, **_paced(world)},
        budgets={"global": {"usd_total": 1000}},
        prices={"models": {f"{name}/m": {"input": PRICE, "output": PRICE} for name in names}},
        breaker={"enabled": chance.random() < 0.7},
    )  # fmt: skip
    oracle.came = _Probes(world, report, edge).came
    front = edge.front("async", oracle)
    callers = [_Caller(world, report, front.handler, chance.random(), number) for number in range(world.calls)]
    before = asyncio.all_tasks()
    ends = await asyncio.gather(*(asyncio.ensure_future(caller.live()) for caller in callers))
    await asyncio.sleep(200)  # what goes on behind the callers' backs has ended by then
    _afterwards(world, report, oracle, ends, asyncio.all_tasks() - before)
    _asked_once(world, report, oracle, callers)
    (money,) = await edge.abudgets()
    least = oracle.whole * 10 * PRICE * 1000 if world.calm else 0  # who leaves early may not know what it cost
    told = f"{money.spent_nano_usd} spent, {money.reserved_nano_usd} reserved, {least} counted by the provider"
    report.check("I3", money.reserved_nano_usd == 0 and money.spent_nano_usd >= least, world.seed, told)
    await _permits_are_home(world, report, oracle, front.handler)
    await edge.aclose()


PRICE = 1
"""US dollars for a million tokens: 1,000 nano-dollars each."""
PACED, RATE, BURST = 3, 2.0, 3
"""Every so many seeds' providers are asked no more than that a second, and so many at once."""


def _paced(world: World) -> dict[str, Any]:
    pace = {"requests_per_second": RATE, "burst": BURST, "patience": 600}
    return {"provider": pace} if world.seed % PACED == 0 else {}


class _Probes:
    """Counts the calls that a half-open breaker has let through and that have not been answered."""

    def __init__(self, world: World, report: Report, edge: EdgeClient) -> None:
        self._seed, self._report, self._edge = world.seed, report, edge
        self._out: Counter[str] = Counter()

    def came(self, host: str) -> Callable[[], None] | None:
        name = f"{host.partition('.')[0]}/m"
        if self._edge.breakers.get(name) != "half-open":
            return None
        self._out[name] += 1
        self._report.check("I9", self._out[name] == 1, self._seed, f"{self._out[name]} probes at {name}")

        def begins() -> None:
            self._out[name] -= 1

        return begins


def _share(world: World, chance: random.Random) -> float:
    return min(world.faults * (0.5 + chance.random()), 1.0)


def _afterwards(world: World, report: Report, oracle: Oracle, ends: list[str], left: set[Any]) -> None:
    seed = world.seed
    report.outcomes.update(ends)
    report.upstream.update(oracle.served)
    report.check("I2", len(ends) == world.calls, seed, f"{world.calls} in, {len(ends)} out")
    report.check("I5", oracle.most_in_flight <= world.concurrency, seed, f"{oracle.most_in_flight} in flight")
    most = world.calls * world.attempts * world.targets
    report.check(
        "I8", sum(oracle.asked.values()) <= most, seed, f"{sum(oracle.asked.values())} attempts, {most} allowed"
    )
    for moments in oracle.moments.values() if world.seed % PACED == 0 else ():
        for window in (0.5, 2.0, 10.0):
            most = max(bisect_right(moments, begin + window) - at for at, begin in enumerate(moments))
            allowed = BURST + int(RATE * window + 1e-6)
            report.check("I4", most <= allowed, seed, f"{most} in {window} s, {allowed} allowed")
    report.check("I11", not left and oracle.in_flight == 0, seed, f"{len(left)} tasks, {oracle.in_flight} in flight")


def _asked_once(world: World, report: Report, oracle: Oracle, callers: list[_Caller]) -> None:
    most = oracle.most_at_once
    report.check("I1w", max(most.values(), default=0) <= 1, world.seed, f"on their way {most.most_common(1)}")
    if world.calm and world.questions == 1000:
        report.check("I1", set(oracle.asked.values()) == {1}, world.seed, f"asked {oracle.asked.most_common(1)}")
    elif world.calm:
        ways = Counter(question for question, _ in {(caller.question, caller.streaming) for caller in callers})
        too_many = {question: count for question, count in oracle.asked.items() if count > ways[question]}
        report.check("I1s", not too_many, world.seed, f"asked {too_many}, in {ways} ways")


async def _permits_are_home(world: World, report: Report, oracle: Oracle, handler: Handler) -> None:
    for host in oracle.hosts.values():
        host.faults, host.down, host.delay = 0.0, (), 0.01
    await asyncio.sleep(300)  # open breakers let somebody try
    for host in oracle.hosts:
        for number in range(3):
            await handler(_request(f"probe {number}", False, 60.0, model=f"{host.partition('.')[0]}/m"))
    asked = [handler(_request(f"again {number}", False, 60.0)) for number in range(world.concurrency)]
    ends = await asyncio.gather(*asked, return_exceptions=True)
    failed = [end for end in ends if isinstance(end, BaseException)]
    report.check("I11", not failed, world.seed, f"a permit or a breaker did not come home: {failed[:1]}")


def _request(question: str, streaming: bool, timeout: float | None, model: str = "r") -> Request:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": question}]}
    if streaming:
        body["stream"] = True
    route = "r" if model == "r" else ""
    return Request(body=Body(json=body), model=model, route=route, streaming=streaming, timeout=timeout)


class _Caller:
    """Somebody who asks once, and may lose patience."""

    def __init__(self, world: World, report: Report, handler: Handler, luck: float, number: int) -> None:
        chance = random.Random(luck)
        self._world, self._report, self._handler = world, report, handler
        pick = number if world.questions == 1000 else chance.randrange(world.questions)
        self.question = f"question {pick}"
        self._arrives = chance.random() * 10
        self.streaming = chance.random() < 0.5
        self._timeout = chance.choice([None, 0.5, 3.0, 10.0])
        self._leaves = chance.random() * 5 if chance.random() < 0.2 else None
        self._reads = chance.randrange(1, 6) if chance.random() < 0.2 else None
        if world.calm:
            self._timeout, self._leaves, self._reads = 600.0, None, None

    async def live(self) -> str:
        await asyncio.sleep(self._arrives)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            if self._leaves is None:
                return await self._ask()
            async with asyncio.timeout(self._leaves):
                return await self._ask()
        except TimeoutError:
            return "given up"
        except CallError as error:
            return type(error).__name__
        finally:
            limit = self._timeout or (120.0 if self.streaming else 30.0)
            took = loop.time() - began
            self._report.check("I10", took <= limit + 0.1, self._world.seed, f"{took:.3f} s of {limit}")

    async def _ask(self) -> str:
        response = await self._handler(_request(self.question, self.streaming, self._timeout))
        wanted = said(self.question)
        if response.stream is None:
            assert response.body is not None
            text = response.body.json["choices"][0]["message"]["content"]
            self._belongs(text == wanted, text)
            return "answered"
        raw, count = b"", 0
        try:
            async for chunk in response.stream:
                raw += chunk
                count += 1
                if self._reads is not None and count >= self._reads:
                    self._prefix(raw)
                    return "left early"
        except CallError:
            self._prefix(raw)
            raise
        finally:
            await response.stream.aclose()
        self._report.check("I6", text_of(raw) == wanted, self._world.seed, f"{text_of(raw)!r} for {wanted!r}")
        return "answered"

    def _prefix(self, raw: bytes) -> None:
        holds = said(self.question).startswith(text_of(raw))
        self._report.check("I6", holds, self._world.seed, f"{raw[:80]!r} is no beginning of the answer")

    def _belongs(self, holds: bool, text: str) -> None:
        self._report.check("I7", holds, self._world.seed, f"{text!r} for {self.question!r}")
