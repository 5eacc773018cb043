"""What the tests of the second tier share: entries, tiers that are closed, and a way to wait for what is behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from llm_edge.runtime import Blocking, FakeClock, Runtime, drive
from llm_edge.stores.entry import Entry, digest
from llm_edge.stores.shelf import Tier
from llm_edge.stores.tier import SecondTier

SCOPE = digest("tenant", "credential")
BOUND = 20.0
"""Seconds after which a test that waits for a real event fails."""


def key_of(number: int) -> str:
    return digest(str(number))


def an_entry(number: int = 0, *, size: int = 500, **changes: Any) -> Entry:
    """An entry whose payload tells which it is."""
    given: dict[str, Any] = {
        "key": key_of(number), "scope": SCOPE, "tenant": digest("tenant"), "namespace": "docs", "model": "gpt",
        "dialect": "openai.chat", "kind": "whole", "headers": (("content-type", "application/json"),),
        "payload": (b"%d:" % number).ljust(size, b"x"), "made": time.time(), "ttl": 1e7,
    }  # fmt: skip
    return Entry(**{**given, **changes})


class Ticking(FakeClock):
    """A clock of the test's own that starts at today's time, since stores have their own idea of it."""

    def __init__(self) -> None:
        super().__init__(now=1000.0, time=time.time())


class Asker:
    """A tier in one colour, asked from a test."""

    def __init__(self, tier: SecondTier, run: Callable[[Any], Any], runtime: Runtime) -> None:
        self.second, self._run = tier, run
        self.tier: Tier = tier.view(runtime)

    def get(self, number: int = 0, *, scope: str = SCOPE) -> Entry | None:
        found: Entry | None = self._run(self.tier.get(key_of(number), scope))
        return found

    def put(self, *entries: Entry) -> None:
        for entry in entries:
            self.tier.put(entry)
        self.drain()

    def drain(self) -> None:
        self._run(self.tier.drain(BOUND))

    def remove(self, number: int) -> None:
        self._run(self.tier.remove(key_of(number)))

    def purge(self, tag: str) -> bool:
        done: bool = self._run(self.tier.purge(tag))
        return done

    def claim(self, token: str, seconds: float = 60.0) -> bool | None:
        ours: bool | None = self._run(self.tier.claim("k", token, seconds))
        return ours

    def timed(self, number: int = 0) -> tuple[Entry | None, float]:
        """What is found, and the seconds it took."""
        begun = time.perf_counter()
        return self.get(number), time.perf_counter() - begun

    def until_found(self, number: int, clock: FakeClock) -> Entry:
        """Asks, letting pauses pass, until the entry is there."""
        end = time.monotonic() + BOUND
        while time.monotonic() < end:
            found = self.get(number)
            if found is not None:
                return found
            clock.advance(40.0)
            settle(self.second)
        pytest.fail(f"the store does not come back: {self.second.counts()}")


def settle(tier: SecondTier) -> None:
    """Give what was begun behind the callers' backs time to be done."""
    done = threading.Event()
    tier._readers.submit(done.set)  # pyright: ignore[reportPrivateUsage]  # there is no other way to see it
    done.wait(0.1)  # a reader may be stuck: that is what some tests are about
    drive(tier.view(Blocking()).drain(0.1))


@contextmanager
def closing(tier: SecondTier) -> Iterator[SecondTier]:
    """The tier is closed, and its threads have ended."""
    try:
        yield tier
    finally:
        tier.close()
        tier.join(BOUND)
