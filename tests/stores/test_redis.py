"""Answers kept in a real Valkey: shared, signed, purged, claimed; and every odd thing that may be found there."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_edge import ConfigError
from llm_edge.stores.entry import encode
from llm_edge.stores.redis import PREFIX, redis_tier
from llm_edge.stores.tier import SecondTier
from llm_edge.stores.tombstones import tag
from tests.conftest import Colour
from tests.stores.kit import BOUND, Asker, Ticking, an_entry, closing, key_of
from tests.stores.valkey import Valkey, valkey

SECRET = "0123456789abcdef0123456789abcdef"
Open = Callable[..., Asker]


@pytest.fixture(scope="module")
def running() -> Iterator[Valkey]:
    with valkey() as server:
        yield server


@pytest.fixture
def server(running: Valkey) -> Valkey:
    running.client().flushall()
    return running


@pytest.fixture
def open_to(colour: Colour) -> Iterator[Open]:
    """Opens the tier of a server; all of them are closed in the end."""
    tiers: list[SecondTier] = []

    def make(server: Valkey, **options: Any) -> Asker:
        given = {"secret": SECRET, "clock": Ticking(), "patience": BOUND, **options}
        tiers.append(redis_tier(given.pop("place", server.place), **given))
        return Asker(tiers[-1], colour.run, colour.runtime())

    yield make
    for tier in tiers:
        with closing(tier):
            pass


# ---- what it is for


def test_what_is_put_is_found_by_another(open_to: Open, server: Valkey) -> None:
    entry = an_entry(1, usage={"total_tokens": 3}, cost=5, took=0.5, target="openai/gpt")
    open_to(server).put(entry)
    other = open_to(server)
    assert [other.get(1), other.get(2), other.get(1, scope="another's")] == [entry, None, None]


@pytest.mark.parametrize("size", [0, 100, 70_000, 2_000_000])
def test_an_entry_of_any_size_comes_back_as_it_was(open_to: Open, server: Valkey, size: int) -> None:
    one, entry = open_to(server), an_entry(1, size=size)
    one.put(entry)
    for _ in range(2):  # by a worker at first; then, on a loop, over a connection that is open already
        assert one.get(1) == entry


def test_an_entry_leaves_with_its_time(open_to: Open, server: Valkey) -> None:
    one = open_to(server, stale=50.0)
    one.put(an_entry(1, ttl=100.0), an_entry(2, ttl=1e9))
    left = [server.client().pttl(PREFIX + key_of(number)) for number in (1, 2)]
    assert 140_000 < left[0] <= 150_000
    assert left[1] <= 31_536_000_000


def test_what_is_removed_is_gone(open_to: Open, server: Valkey) -> None:
    one = open_to(server)
    one.put(an_entry(1), an_entry(2))
    one.remove(1)
    assert [one.get(1) is None, one.get(2) is None] == [True, False]


def test_a_purge_reaches_who_comes_later(open_to: Open, server: Valkey) -> None:
    clock = Ticking()
    one = open_to(server, clock=clock)
    one.put(an_entry(1, made=clock.time()), an_entry(2, made=clock.time(), namespace="other"))
    assert one.purge(tag(namespace="docs"))
    other = open_to(server, clock=clock)
    assert [other.get(1) is None, other.get(2) is None] == [True, False]


def test_a_redis_without_a_secret_is_refused(server: Valkey) -> None:
    with pytest.raises(ConfigError, match=r"cache\.secret"):
        redis_tier(server.place, secret="")


def test_all_that_is_kept_and_sound_can_be_listed(open_to: Open, server: Valkey) -> None:
    one = open_to(server)
    one.put(*(an_entry(number, made=time.time() - 100) for number in range(5)))
    one.put(an_entry(7, namespace="other"))
    assert one.claim("a")
    server.client().set(PREFIX + key_of(3), b"garbage")
    assert {entry.key for entry in one.second.every()} == {key_of(number) for number in (0, 1, 2, 4, 7)}
    assert one.purge(tag(namespace="docs"))
    assert [entry.key for entry in open_to(server).second.every()] == [key_of(7)]


# ---- who may ask, and who may write


def test_one_at_a_time_may_claim_a_key(open_to: Open, server: Valkey) -> None:
    one, other = open_to(server), open_to(server)
    assert (one.claim("a"), other.claim("b"), one.claim("a")) == (True, False, False)
    one.tier.release("k", "b")
    one.drain()
    assert not other.claim("b")
    one.tier.release("k", "a")
    one.drain()
    assert other.claim("b")


def test_who_writes_late_does_not_replace_the_answer_of_whoever_took_over(open_to: Open, server: Valkey) -> None:
    one, other = open_to(server), open_to(server)
    claimed = f"{key_of(1)} "
    late, fresh = an_entry(1, payload=b"late"), an_entry(1, payload=b"fresh")

    def claim(asker: Asker, token: str) -> bool | None:
        ours: bool | None = asker._run(asker.tier.claim(claimed, token, 60.0))  # pyright: ignore[reportPrivateUsage]
        return ours

    def write(asker: Asker, entry: Any, token: str) -> None:
        asker.tier.put(entry, (claimed, token))
        asker.drain()

    assert claim(one, "one")
    server.client().delete(f"{PREFIX}claim:{{{PREFIX}{key_of(1)}}}")  # its lease has run out
    assert claim(other, "other")
    write(one, late, "one")  # while the other is still asking
    assert one.get(1) is None
    write(other, fresh, "other")
    other.tier.release(claimed, "other")
    other.drain()
    write(one, late, "one")  # and when it is done
    assert one.get(1) == fresh
    assert (one.second.counts().late, one.second.counts().written) == (2, 0)


def test_who_was_the_last_to_claim_may_write_even_when_the_lease_has_run_out(open_to: Open, server: Valkey) -> None:
    one = open_to(server)
    one.put(an_entry(1, payload=b"old"))
    claimed = f"{key_of(1)} {{}}"
    assert one._run(one.tier.claim(claimed, "t", 60.0))  # pyright: ignore[reportPrivateUsage]
    server.client().delete(f"{PREFIX}claim:{{{PREFIX}{key_of(1)}}}{{}}")
    one.tier.put(an_entry(1, payload=b"new"), (claimed, "t"))
    one.drain()
    found = one.get(1)
    assert found is not None
    assert found.payload == b"new"


# ---- what others put there


def test_no_flipped_bit_gives_a_wrong_answer(open_to: Open, server: Valkey) -> None:
    one, chance, raw = open_to(server), random.Random(7), server.client()
    entry = an_entry(1, size=300)
    sound = encode(entry, SECRET.encode())
    for _ in range(200):
        broken = bytearray(sound)
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        raw.set(PREFIX + key_of(1), bytes(broken))
        assert one.get(1) is None
        one.drain()  # deleted, and not the next one in its place
    assert sum(one.second.counts().odd.values()) == 200


@pytest.mark.parametrize("forged", ["other secret", "other key", "cut", "empty", "text", "list", "hash"])
def test_what_is_odd_is_a_miss_counted_and_deleted(open_to: Open, server: Valkey, forged: str) -> None:
    one, raw, name = open_to(server), server.client(), PREFIX + key_of(1)
    mine = encode(an_entry(1), SECRET.encode())
    given: dict[str, bytes] = {
        "other secret": encode(an_entry(1), b"guessed"), "other key": encode(an_entry(2), SECRET.encode()),
        "cut": mine[:-1], "empty": b"", "text": b"OK",
    }  # fmt: skip
    if forged == "list":
        raw.rpush(name, mine)
    elif forged == "hash":
        raw.hset(name, "a", mine)
    else:
        raw.set(name, given[forged])
    assert one.get(1) is None
    one.drain()
    assert not raw.exists(name)
    assert sum(one.second.counts().odd.values()) == 1
    one.put(an_entry(1))
    assert one.get(1) is not None


def test_an_entry_of_another_version_is_left_for_those_who_can_read_it(open_to: Open, server: Valkey) -> None:
    one, raw = open_to(server), server.client()
    newer = bytearray(encode(an_entry(1), SECRET.encode()))
    newer[5] += 1
    raw.set(PREFIX + key_of(1), bytes(newer))
    assert one.get(1) is None
    one.drain()
    assert raw.exists(PREFIX + key_of(1))
    assert one.second.counts().odd == {"version": 1}


def test_purges_that_somebody_replaced_by_something_else_are_begun_anew(open_to: Open, server: Valkey) -> None:
    server.client().set(f"{PREFIX}purges", "no purges")
    one = open_to(server)
    one.put(an_entry(1))
    assert one.get(1) is not None
    assert one.purge(tag(namespace="docs"))
    assert server.client().hlen(f"{PREFIX}purges") == 1


def test_scripts_and_entries_may_be_forgotten_at_any_time(open_to: Open, server: Valkey) -> None:
    one, raw = open_to(server), server.client()
    one.put(an_entry(1))
    assert one.claim("a")
    raw.script_flush()
    raw.flushall()
    assert one.get(1) is None
    assert one.claim("b")
    one.put(an_entry(1))
    assert one.get(1) is not None
    assert one.second.counts().errors == 0
