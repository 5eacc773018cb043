"""Many callers at once with the real stack over sockets, and what is left when they have gone."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_edge import CallError, EdgeClient
from llm_edge.testing import Provider

from .invariants import Tally
from .oracle import said
from .witness import Witness

PRICE = 1000
"""Nano-dollars a token."""
_FILES = Path("/proc/self/fd")


@dataclass
class Outcome(Tally):
    """How a scene went."""

    name: str = ""
    asked: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    lag: float = 0.0
    """Seconds by which the loop was late at most: what this machine adds to every wait."""

    def check(self, name: str, holds: bool, words: str) -> None:
        self.note(name, holds, self.name, words)

    @property
    def answered(self) -> float:
        """The share of calls that were answered."""
        return self.ends["answered"] / max(self.asked, 1)


def heavy_tailed(seed: int) -> Callable[[], float]:
    """Seconds an answer takes: mostly few."""
    chance = random.Random(seed)
    return lambda: min(0.05 * chance.paretovariate(1.5), 3.0)


@contextmanager
def providers(*witnesses: Witness) -> Iterator[list[Provider]]:
    served = [Provider(witness, remember=1) for witness in witnesses]
    try:
        yield served
    finally:
        for each in served:
            each.close()


@asynccontextmanager
async def edge_over(
    outcome: Outcome, served: list[Provider], witnesses: list[Witness], **settings: Any
) -> AsyncIterator[EdgeClient]:
    """A client with a route over these; when it is done, what has to hold of attempts and money is looked at."""
    names = [f"p{number}" for number in range(len(served))]
    given: dict[str, Any] = {"http": {"pool": 1000}, "budgets": {"global": {"usd_total": 1000}}, **settings}
    edge = EdgeClient(
        env={}, routes={"r": {"targets": [f"{name}/m" for name in names]}},
        providers={
            name: {"kind": "openai", "base_url": f"{provider.url}/v1"}
            for name, provider in zip(names, served, strict=True)
        },
        prices={"models": {f"{name}/m": {"input": 1, "output": 1} for name in names}},
        **given,
    )  # fmt: skip
    for name, witness in zip(names, witnesses, strict=True):
        witness.state = lambda name=name: edge.breakers.get(f"{name}/m", "closed")
    began = time.monotonic()
    async with edge:
        with _watched(outcome):
            yield edge
        seconds = time.monotonic() - began
        for name, witness in zip(names, witnesses, strict=True):
            most = 1.2 * outcome.asked + 3 * seconds + 30
            outcome.check("I8", witness.asked <= most, f"{name} was asked {witness.asked} times, {most:.0f} allowed")
            if outcome.lag < 0.1:  # else what was sent before it opened may come while it is half open
                probes = len(witness.probes) < 2 or _apart(witness.probes)
                outcome.check("I9", probes, f"{name} was probed twice at once")
        if given["budgets"]:
            await _money_is_settled(outcome, edge, witnesses)


def _apart(spans: list[tuple[float, float]]) -> bool:
    ordered = sorted(spans)
    return all(end <= begin for (_, end), (begin, _) in zip(ordered, ordered[1:], strict=False))


@contextmanager
def _watched(outcome: Outcome) -> Iterator[None]:
    """Measures how late the loop is."""

    async def look() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            outcome.lag = max(outcome.lag, time.monotonic() - before - 0.01)

    looking = asyncio.ensure_future(look())
    try:
        yield
    finally:
        looking.cancel()


async def _money_is_settled(outcome: Outcome, edge: EdgeClient, witnesses: list[Witness]) -> None:
    least = sum(witness.tokens() for witness in witnesses) * PRICE
    for _ in range(400):
        (money,) = await edge.abudgets()
        if money.reserved_nano_usd == 0 and money.spent_nano_usd >= least:
            break
        await asyncio.sleep(0.05)  # what goes on behind the callers' backs is settled when it ends
    told = f"{money.spent_nano_usd} spent, {money.reserved_nano_usd} reserved, {least} counted by the providers"
    outcome.check("I3", money.reserved_nano_usd == 0 and money.spent_nano_usd >= least, told)


async def crowd(
    outcome: Outcome, edge: EdgeClient, count: int, *, at_once: int, limit: float,
    question: Callable[[int], str] = lambda number: f"question {number}", streaming: bool = False,
    leaves: Callable[[int], float | None] = lambda number: None,
) -> None:  # fmt: skip
    """So many calls, `at_once` at a time; some leave. Each answer must be its question's, and none late."""
    turns = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with turns:
            began = time.monotonic()
            try:
                async with asyncio.timeout(leaves(number)):
                    await _told(outcome, edge, question(number), limit, streaming)
            except TimeoutError:
                outcome.ends["given up"] += 1
            except CallError as error:
                outcome.ends[f"{type(error).__name__}: {error}"] += 1
            else:
                outcome.ends["answered"] += 1
            took = time.monotonic() - began
            outcome.slowest = max(outcome.slowest, took)
            outcome.check("I10", took <= limit + 0.1 + outcome.lag, f"{took:.2f} s of {limit:g}")

    first = outcome.asked
    outcome.asked += count
    await asyncio.gather(*(one(first + number) for number in range(count)))
    outcome.check("I2", outcome.ends.total() == outcome.asked, f"{outcome.asked} in, {outcome.ends.total()} out")


async def _told(outcome: Outcome, edge: EdgeClient, question: str, limit: float, streaming: bool) -> None:
    if not streaming:
        reply = await edge.achat("r", question, timeout=limit)
        outcome.check("I7", reply.text == said(question), f"{reply.text!r} for {question!r}")
        return
    text = ""
    stream = await edge.achat("r", question, timeout=limit, stream=True)
    try:
        async for chunk in stream:
            text += chunk.text
    except CallError:
        outcome.check("I6", said(question).startswith(text), f"{text!r} is no beginning of the answer")
        raise
    outcome.check("I6", text == said(question), f"{text!r} for {question!r}")


async def crowd_of_threads(outcome: Outcome, edge: EdgeClient, count: int, *, limit: float) -> None:
    """So many threads at once, each with a question of its own."""

    def one(number: int) -> tuple[str, str, float]:
        began = time.monotonic()
        try:
            said_by_it = edge.chat("r", f"question {number}", timeout=limit).text
        except CallError as error:
            return f"{type(error).__name__}: {error}", "", time.monotonic() - began
        return "answered", said_by_it, time.monotonic() - began

    first = outcome.asked
    outcome.asked += count
    with ThreadPoolExecutor(count) as threads:
        asked = [asyncio.wrap_future(threads.submit(one, first + number)) for number in range(count)]
        for number, (end, text, took) in enumerate(await asyncio.gather(*asked), first):
            outcome.ends[end] += 1
            outcome.slowest = max(outcome.slowest, took)
            outcome.check("I10", took <= limit + 0.1 + outcome.lag, f"{took:.2f} s of {limit:g}")
            if end == "answered":
                outcome.check("I7", text == said(f"question {number}"), f"{text!r} for question {number}")
    outcome.check("I2", outcome.ends.total() == outcome.asked, f"{outcome.asked} in, {outcome.ends.total()} out")


class Left:
    """What this process holds at the moment: threads and open files."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._files = self._open_files()

    @staticmethod
    def _open_files() -> int:
        return len(list(_FILES.iterdir())) if _FILES.exists() else 0

    def is_all(self, outcome: Outcome) -> None:
        """Looks, for a while, whether there is no more than there was."""
        for _ in range(1000):
            threads = [thread.name for thread in set(threading.enumerate()) - self._threads]
            files = self._open_files() - self._files
            if not threads and files <= 0:
                break
            time.sleep(0.02)
        outcome.check("I11", not threads and files <= 0, f"threads {threads} and {files} open files are left")


async def no_task_is_left(outcome: Outcome) -> None:
    left: set[asyncio.Task[Any]] = set()
    for _ in range(100):
        left = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]  # we are one
        if not left:
            break
        await asyncio.sleep(0.02)
    outcome.check("I11", not left, f"{len(left)} tasks are left: {[task.get_coro() for task in left][:3]}")
