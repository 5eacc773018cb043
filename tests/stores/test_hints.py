"""What processes tell one another of their breakers, over a real server, and never at a call's cost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_edge import EdgeClient
from llm_edge.breakers import Breakers
from llm_edge.config import BreakerConfig
from llm_edge.policy.breaker import Permit
from llm_edge.providers.base import Target
from llm_edge.runtime import FakeClock
from llm_edge.stores.hints import Heard, Hint, Hints
from llm_edge.stores.places import place

from .valkey import Valkey, valkey

ROOT = Path(__file__).resolve().parents[2]
PREFIX, ORIGIN, BOUND = "{t}:", "https://a.test", 20.0
A = Target(provider="p", model="a")


@pytest.fixture(scope="module")
def running() -> Iterator[Valkey]:
    with valkey() as server:
        yield server


@pytest.fixture
def server(running: Valkey) -> Valkey:
    running.client().flushall()
    return running


def told(server: Valkey) -> bytes:
    """What the store has of what was set by hand."""
    found: bytes | None = server.client().hget(f"{PREFIX}breakers:forced", "p/a")
    return found or b""


def until(truth: Callable[[], bool]) -> None:
    end = time.monotonic() + BOUND
    while not truth():
        assert time.monotonic() < end, "it does not come true"
        threading.Event().wait(0.02)


class Process:
    """One process's hints, and what it heard. Patient: a machine that stands still is no server that is away."""

    def __init__(self, url: str) -> None:
        self.heard: list[Heard] = []
        self.hints = Hints(place(url), prefix=PREFIX, listener=self.heard.append, every=BOUND, patience=BOUND)

    def look(self) -> list[Heard]:
        self.heard.clear()
        self.hints.look()
        return self.heard


@pytest.fixture
def processes(server: Valkey) -> Iterator[tuple[Process, Process]]:
    """Two of them; the first one's thread tells, and both look when the test says so."""
    one, other = Process(server.url), Process(server.url)
    one.hints.begin()
    yield one, other
    one.hints.close()
    other.hints.close()


def test_a_breaker_that_opens_is_heard_of_once_and_elsewhere_only(
    server: Valkey, processes: tuple[Process, Process]
) -> None:
    one, other = processes
    one.hints.opened("x", 1, 30.0)
    until(lambda: server.client().zcard(f"{PREFIX}breakers") == 1)
    (heard,) = other.look()
    ((where, seconds),) = heard.hints
    assert where == "x"
    assert 0.0 < seconds <= 30.0
    assert other.look() == []
    assert one.look() == []
    one.hints.opened("x", 3, 60.0)
    until(lambda: b":3" in server.client().zrange(f"{PREFIX}breakers", 0, -1)[0])
    assert [hint.place for heard in other.look() for hint in heard.hints] == ["x"]
    one.hints.closed("x")
    until(lambda: server.client().zcard(f"{PREFIX}breakers") == 0)


def test_a_hint_ends_with_its_time(server: Valkey, processes: tuple[Process, Process]) -> None:
    one, other = processes
    one.hints.opened("x", 1, 0.001)
    one.hints.opened("y", 1, 30.0)
    until(lambda: any(b"y" in each for each in server.client().zrange(f"{PREFIX}breakers", 0, -1)))
    threading.Event().wait(0.002)  # by the server's clock its time is over now
    assert [hint.place for heard in other.look() for hint in heard.hints] == ["y"]


def test_what_is_set_by_hand_is_heard_by_all_also_by_those_who_come_later(
    server: Valkey, processes: tuple[Process, Process]
) -> None:
    one, other = processes
    for word in ("open", "off"):
        one.hints.forced("p/a", word)
        until(lambda word=word: told(server).startswith(word.encode()))  # type: ignore[misc]
        assert other.look() == [Heard([], {"p/a": word})]
        assert other.look() == one.look() == []
    late = Process(server.url)
    assert late.look() == [Heard([], {"p/a": "off"})]
    late.hints.close()


def test_what_the_store_did_not_hear_is_told_when_it_is_back() -> None:
    with valkey() as gone:
        one, other = Process(gone.url), Process(gone.url)
        gone.kill()
        one.hints.opened("x", 1, 30.0)
        one.hints.opened("y", 1, 30.0)
        one.hints.closed("y")
        one.hints.forced("p/a", "open")
        with pytest.raises(OSError, match="could not be opened"):
            one.look()
        gone.start_again()
        assert one.look() == []
        (heard,) = other.look()
        assert ([hint.place for hint in heard.hints], heard.forced) == (["x"], {"p/a": "open"})
        for each in (one, other):
            each.hints.close()


def opened(breakers: Breakers, target: Target = A) -> None:
    for _ in range(5):
        permit = breakers.of(target, ORIGIN).admit(0.0)
        assert isinstance(permit, Permit)
        breakers.of(target, ORIGIN).release(permit, good=False, now=0.0)
    assert breakers[target.name] == "open"


def test_a_breaker_follows_one_of_another_process_until_that_ones_time_is_over(server: Valkey) -> None:
    clock = FakeClock()
    one, other = (Breakers(BreakerConfig(), clock=clock) for _ in range(2))
    for each in (one, other):
        each.share(server.place, PREFIX)
        assert isinstance(each.of(A, ORIGIN).admit(0.0), Permit)
    opened(one)
    until(lambda: other["p/a"] == "open")
    wait = other.of(A, ORIGIN).admit(0.0)
    assert isinstance(wait, float)
    assert 25.0 < wait <= 30.0
    assert isinstance(other.of(A, ORIGIN).admit(30.0), Permit)  # a probe of its own
    late = Breakers(BreakerConfig(), clock=clock)
    late.share(server.place, PREFIX)
    late.of(Target(provider="p", model="b"), ORIGIN).admit(0.0)
    until(lambda: bool(late._hinted))  # pyright: ignore[reportPrivateUsage]  # the thread's first look is over
    assert late.of(A, ORIGIN).state == "open"
    for each in (one, other, late):
        each.close()


CHILD = """
import sys
from llm_edge import EdgeClient
from llm_edge.providers.base import Target
edge = EdgeClient(env={}, store={"kind": "redis", "url": sys.argv[1]})
breaker = edge._house.breakers.of(Target(provider="p", model="a"), "https://a.test")
edge.breakers.force("p/b", "open")
for _ in range(5):
    breaker.release(breaker.admit(0.0), good=False, now=0.0)
print(edge.breakers["p/a"], flush=True)
sys.stdin.read()
edge.close()
"""


def test_two_processes_share_what_they_know_of_their_targets(server: Valkey) -> None:
    edge = EdgeClient(env={}, store={"kind": "redis", "url": server.url})
    here = edge.breakers.of(A, ORIGIN)
    here.admit(0.0)
    command = [sys.executable, "-c", CHILD, server.url]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "open"
        until(lambda: dict(edge.breakers) == {"p/a": "open", "p/b": "forced-open"})
        child.communicate("")
    edge.close()


def test_without_its_store_a_process_goes_by_what_it_sees(server: Valkey) -> None:
    with valkey() as gone:
        breakers = Breakers(BreakerConfig())
        breakers.share(gone.place, PREFIX)
        gone.kill()
        opened(breakers)
        breakers.force("p/b", "off")
        assert dict(breakers) == {"p/a": "open", "p/b": "off"}
        breakers.close()
        breakers.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_tells_in_its_own_name(server: Valkey) -> None:
    parent = Process(server.url)
    pid = os.fork()
    if pid == 0:
        try:
            parent.hints.begin()
            parent.hints.opened("x", 1, 30.0)
            until(lambda: server.client().zcard(f"{PREFIX}breakers") == 1)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert [hint.place for heard in parent.look() for hint in heard.hints] == ["x"]
    parent.hints.close()


def test_a_hint_is_its_place_and_its_seconds() -> None:
    assert Hint("x", 1.0) == ("x", 1.0)
