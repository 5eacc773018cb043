"""A stream kept without what it used serves one way of asking: it never replaces an answer that serves all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_edge.stores.disk import disk_tier
from llm_edge.stores.entry import Entry
from llm_edge.stores.redis import redis_tier
from llm_edge.stores.tier import SecondTier
from tests.conftest import Colour
from tests.stores.kit import BOUND, Asker, Ticking, an_entry, closing, key_of
from tests.stores.valkey import Valkey, valkey

Opens = Callable[[], Asker]


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture(params=["disk", "redis"])
def opens(request: pytest.FixtureRequest, colour: Colour, server: Valkey, tmp_path: Path) -> Iterator[Opens]:
    """Two processes' views of one store, as often as it is called."""
    tiers: list[SecondTier] = []
    server.client().flushall()

    def make() -> Asker:
        options: dict[str, Any] = {"clock": Ticking(), "patience": BOUND}
        if request.param == "disk":
            tiers.append(disk_tier(tmp_path / "kept", **options))
        else:
            tiers.append(redis_tier(server.place, secret="0123456789abcdef" * 2, **options))
        asker = Asker(tiers[-1], colour.run, colour.runtime())
        asker.get(-1)  # opens it
        return asker

    yield make
    for tier in tiers:
        with closing(tier):
            pass


NOW = Ticking().time()
USED = {"total_tokens": 3}


def whole(**changes: Any) -> Entry:
    return an_entry(1, **{"payload": b"whole", "usage": USED, "made": NOW - 5.0, **changes})


def bare(**changes: Any) -> Entry:
    return an_entry(1, **{"payload": b"bare", "kind": "stream", "made": NOW - 1.0, "took": 10.0, **changes})


def kept(asker: Asker) -> bytes | None:
    found = asker.get(1)
    return None if found is None else found.payload


@pytest.mark.parametrize("leased", [False, True])
def test_a_bare_stream_that_ends_late_does_not_replace_what_another_process_kept(opens: Opens, leased: bool) -> None:
    one, other = opens(), opens()
    claimed = f"{key_of(1)} {{}}"
    if leased:
        assert one._run(one.tier.claim(claimed, "t", 60.0))  # pyright: ignore[reportPrivateUsage]
    other.put(whole())
    one.tier.put(bare(), (claimed, "t") if leased else None)
    one.drain()
    assert (kept(one), one.second.counts().late, one.second.counts().written) == (b"whole", 1, 0)


@pytest.mark.parametrize(
    "before",
    [
        whole(made=NOW - 100.0),
        whole(scope="another's"),
        bare(payload=b"another bare one"),
        whole(usage=None),
    ],
    ids=["older than the question", "another's", "bare as well", "whole, but of unknown use"],
)
def test_it_replaces_what_serves_no_more_than_itself(opens: Opens, before: Entry) -> None:
    asker = opens()
    asker.put(before, bare())
    assert (kept(asker), asker.second.counts().written) == (b"bare", 2)


def test_it_is_kept_where_nothing_is(opens: Opens) -> None:
    asker = opens()
    asker.put(bare())
    assert kept(asker) == b"bare"


def test_what_comes_between_the_look_and_the_writing_is_not_replaced(server: Valkey) -> None:
    tier = redis_tier(server.place, secret="0123456789abcdef" * 2, patience=BOUND)
    with closing(tier):
        shelf: Any = tier._shelf  # pyright: ignore[reportPrivateUsage]  # to be between its two steps

        def another_writes(there: object) -> bool:
            server.client().set(f"llm-edge:cache:{key_of(2)}", b"another's", px=60_000)
            return False

        assert not shelf.put(key_of(2), b"late", 60.0, None, another_writes)
        assert server.client().get(f"llm-edge:cache:{key_of(2)}") == b"another's"
        assert shelf.put(key_of(2), b"now", 60.0, None, lambda there: there != b"another's")
        assert server.client().get(f"llm-edge:cache:{key_of(2)}") == b"now"
        shelf.leave()
