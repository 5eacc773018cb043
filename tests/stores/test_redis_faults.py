"""A Redis that is not there, hangs, dies, is full, or talks nonsense: a miss each time, and soon not even asked."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge import EdgeClient
from llm_edge.stores.entry import encode
from llm_edge.stores.redis import redis_tier
from llm_edge.testing import Provider, answer
from tests.conftest import Async, Colour
from tests.stores.fake_redis import fake_redis, text
from tests.stores.kit import BOUND, Asker, Ticking, an_entry, closing, key_of
from tests.stores.test_redis import SECRET
from tests.stores.valkey import Valkey, valkey

if TYPE_CHECKING:
    from llm_edge.stores.places import Place

Opens = Callable[..., Asker]


@pytest.fixture
def own() -> Iterator[Valkey]:
    """A server of the test's own, to be ill-treated."""
    with valkey() as server:
        yield server


@pytest.fixture
def opens(colour: Colour) -> Iterator[Opens]:
    """Opens a tier with a clock that stands still; all are closed in the end."""
    made: list[Asker] = []

    def make(place: Place, **options: Any) -> Asker:
        tier = redis_tier(place, **{"secret": SECRET, "clock": Ticking(), "patience": BOUND, **options})
        made.append(Asker(tier, colour.run, colour.runtime()))
        return made[-1]

    yield make
    for asker in made:
        with closing(asker.second):
            pass


def clock_of(asker: Asker) -> Ticking:
    clock = asker.second._clock  # pyright: ignore[reportPrivateUsage]  # the one the test gave
    assert isinstance(clock, Ticking)
    return clock


# ---- not there, hanging, dying


def test_nobody_there_is_a_miss_and_after_five_is_not_asked(opens: Opens, own: Valkey) -> None:
    own.kill()
    one = opens(own.place)
    assert [one.get(1) for _ in range(20)] == [None] * 20
    counts = one.second.counts()
    assert (counts.errors, counts.skipped) == (5, 15)


def test_a_server_that_hangs_is_waited_for_once(opens: Opens, own: Valkey) -> None:
    one = opens(own.place, patience=0.05)
    one.put(an_entry(1))
    one.until_found(1, clock_of(one))
    with own.frozen():
        before = one.second.counts()
        assert [one.get(1) for _ in range(20)] == [None] * 20
        after = one.second.counts()
    assert (after.errors - before.errors, after.skipped - before.skipped) == (1, 19)
    assert one.until_found(1, clock_of(one)) is not None


def test_a_server_that_is_slow_is_left_alone_and_asked_again_later(opens: Opens, own: Valkey) -> None:
    one = opens(own.place, patience=0.05)
    one.put(an_entry(1))
    one.until_found(1, clock_of(one))
    own.client().client_pause(1500)
    assert [one.get(1) for _ in range(10)] == [None] * 10
    assert one.second.counts().skipped >= 9
    assert one.until_found(1, clock_of(one)) is not None


def test_a_server_that_was_killed_and_is_back_is_used_again(opens: Opens, own: Valkey) -> None:
    one = opens(own.place)
    one.put(an_entry(1))
    assert one.get(1) is not None
    own.kill()
    assert [one.get(1) for _ in range(10)] == [None] * 10
    own.start_again()
    clock_of(one).advance(40.0)
    while one.get(2) is None:  # the fuses close by a probe, behind the callers' backs
        one.put(an_entry(2))
        clock_of(one).advance(40.0)
    assert one.get(1) is None


# ---- full, or not to be written


def test_a_server_without_memory_keeps_nothing_new_and_still_answers(opens: Opens, own: Valkey) -> None:
    one, raw = opens(own.place), own.client()
    one.put(an_entry(1))
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", 1)
    one.put(*(an_entry(number) for number in range(2, 10)))
    assert (one.get(1) is not None, one.get(2)) == (True, None)
    assert one.second.counts().dropped == 8
    raw.config_set("maxmemory", 0)
    while one.get(2) is None:
        clock_of(one).advance(40.0)
        one.put(an_entry(2))


def test_a_server_that_has_become_a_replica_still_answers(opens: Opens, own: Valkey) -> None:
    one, raw = opens(own.place), own.client()
    one.put(an_entry(1))
    raw.replicaof("127.0.0.1", "1")
    one.put(an_entry(2))
    assert (one.get(1) is not None, one.get(2)) == (True, None)
    assert one.second.counts().dropped == 1
    raw.replicaof("NO", "ONE")
    one.put(an_entry(2))
    assert one.get(2) is not None


# ---- talking nonsense

REFUSALS = [
    b"-LOADING Redis is loading the dataset in memory\r\n", b"-CLUSTERDOWN The cluster is down\r\n",
    b"-MOVED 1 127.0.0.1:1\r\n", b"-ASK 1 127.0.0.1:1\r\n", b"-NOAUTH Authentication required.\r\n",
    b"-ERR max number of clients reached\r\n", b"-MASTERDOWN Link with MASTER is down\r\n", b"-\r\n",
    b"garbage\r\n", b"$5\r\nhe", b"$-7\r\n", b"*1\r\n$1\r\na\r\n", b":1\r\n", b"+OK\r\n", b"",
]  # fmt: skip


@pytest.mark.parametrize("said", REFUSALS, ids=lambda said: repr(said[:9]))
def test_whatever_a_server_says_is_a_miss(opens: Opens, said: bytes) -> None:
    with fake_redis(lambda words: b"*0\r\n" if words[0] == b"HGETALL" else said) as server:
        one = opens(server.place, patience=0.3)
        assert [one.get(number) for number in range(8)] == [None] * 8
        one.put(an_entry(1))
        counts = one.second.counts()
        assert counts.hits == 0
        assert counts.errors + counts.misses + counts.skipped >= 8


def test_an_answer_that_comes_in_pieces_is_put_together(opens: Opens) -> None:
    whole = text(encode(an_entry(1, size=20_000), SECRET.encode()))
    with fake_redis(lambda words: b"*0\r\n" if words[0] == b"HGETALL" else whole) as server:
        one = opens(server.place)
        assert [one.get(1) == an_entry(1, size=20_000, made=found.made) for found in [one.get(1)] if found] == [True]


def test_another_keys_answer_is_not_taken_and_its_connection_not_used_again(opens: Opens) -> None:
    lines: list[list[bytes]] = []

    def says(words: list[bytes]) -> bytes:
        lines.append(words)
        return b"*0\r\n" if words[0] == b"HGETALL" else text(encode(an_entry(2), SECRET.encode()))

    with fake_redis(says) as server:
        one = opens(server.place)
        assert [one.get(1), one.get(1)] == [None, None]
        assert one.second.counts().odd == {"key": 2}


def test_reads_that_are_cancelled_at_any_moment_leave_no_answer_for_others(own: Valkey) -> None:
    chance = random.Random(11)

    async def storm(one: Asker) -> int:
        found = 0

        async def read(number: int) -> None:
            nonlocal found
            entry = await one.tier.get(key_of(number), an_entry().scope)
            if entry is not None:
                assert entry.payload.startswith(b"%d:" % number)
                found += 1

        for _ in range(150):
            tasks = [asyncio.ensure_future(read(number)) for number in range(8)]
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            for task in tasks:
                if chance.random() < 0.5:
                    task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert outcome is None or isinstance(outcome, asyncio.CancelledError)
        return found

    with asyncio.Runner() as runner:
        colour = Async(runner)
        tier = redis_tier(own.place, secret=SECRET, clock=Ticking(), patience=BOUND)
        with closing(tier):
            one = Asker(tier, colour.run, colour.runtime())
            one.put(*(an_entry(number, size=30_000) for number in range(8)))
            assert colour.run(storm(one)) > 100
            assert tier.counts().odd == {}


# ---- the whole chain, while calls run


@pytest.mark.parametrize("fault", ["killed", "frozen", "full", "replica"])
def test_calls_go_on_whatever_happens_to_the_server(own: Valkey, provider: Provider, fault: str) -> None:
    provider.script(answer("Hello"))
    place: Any = {"kind": "openai", "base_url": f"{provider.url}/v1"}
    cache: Any = {"secret": SECRET, "redis": {"url": own.url}}
    edge = EdgeClient(providers={"p": place}, cache=cache, env={})
    said: list[str] = []
    half = threading.Event()

    def caller(mine: int) -> None:
        for number in range(12):
            if number == 6:
                half.wait(BOUND)
            said.append(edge.chat("p/m", f"question {number % 8} of {mine % 2}").text)

    threads = [threading.Thread(target=caller, args=(mine,)) for mine in range(4)]
    with edge:
        for thread in threads:
            thread.start()
        _strike(own, fault, half)
        for thread in threads:
            thread.join(2 * BOUND)
        if fault == "frozen":
            own.thaw()
    assert said == ["Hello"] * 48


def _strike(server: Valkey, fault: str, struck: threading.Event) -> None:
    raw = server.client()
    if fault == "killed":
        server.kill()
    elif fault == "frozen":
        server.freeze()
    elif fault == "full":
        raw.config_set("maxmemory", 1)
    else:
        raw.replicaof("127.0.0.1", "1")
    struck.set()
