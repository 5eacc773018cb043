"""What one process purged no other gives, however long that one had nothing to do; and memory is believed otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.message import Request, Response
from llm_edge.stores.tombstones import tag

from .kit import call
from .test_cache import UNDERSTOOD
from .test_cache_inputs import embedded
from .test_cache_tiers import Process, beside_one_another, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_edge.stores.shelf import Tier
    from tests.conftest import Colour

BATCH: Any = {"operation": "embeddings", "dialect": "openai.embeddings", "body": {"model": "e", "input": ["a", "bb"]}}


@pytest.fixture
def processes(colour: Colour, tmp_path: Path) -> Iterator[Any]:
    yield from beside_one_another(colour, tmp_path)


def tier(process: Process) -> Tier:
    return process.tier.view(process.colour.runtime(process.clock))


def purged_meanwhile(one: Process, other: Process, seconds: float) -> None:
    """As `llm-edge cache clear` does it beside a server that nobody asks anything for so long."""
    one.written()
    one.clock.advance(0.1)
    assert one.colour.run(tier(other).purge(tag(model="m")))
    one.clock.advance(seconds)


@pytest.mark.parametrize("seconds", [1.0, 5.0, 200.0])
def test_what_was_purged_while_a_process_had_nothing_to_do_is_not_given(processes: Any, seconds: float) -> None:
    one, other = processes(), processes()
    assert [one.ask()[0], one.ask()[0]] == ["MISS", "HIT"]
    purged_meanwhile(one, other, seconds)
    assert [one.ask()[0], one.ask()[0]] == ["MISS", "HIT"]


def test_nor_are_embeddings_of_a_batch(processes: Any) -> None:
    one, other = processes(embedded), processes()
    one.layer.understand = lambda dialect: type(UNDERSTOOD)(UNDERSTOOD.watcher, lambda body, usage: ())
    assert [one.ask(**BATCH)[0], one.ask(**BATCH)[0]] == ["MISS", "HIT"]
    purged_meanwhile(one, other, 5.0)
    assert [one.ask(**BATCH)[0], one.ask(**BATCH)[0]] == ["MISS", "HIT"]


def test_nor_is_a_call_joined_that_was_under_way_then(processes: Any) -> None:
    one, other = processes(), processes()
    one.ask(route="other")

    async def meanwhile(request: Request) -> Response:
        assert len(one.answers.flights.under_way) == 1
        await tier(other).purge(tag(model="m"))
        one.clock.advance(2.0)
        await one.layer(call(route="other"), one.script)  # which hears of the purge
        assert one.answers.flights.under_way == {}
        return await one.script(request)

    assert one.colour.run(one.layer(call(), meanwhile)).status == 200


def test_what_was_made_before_the_clock_was_set_back_is_purged_for_all_and_for_good(processes: Any) -> None:
    one, other = processes(), processes()
    one.ask()
    one.written()
    assert other.ask()[0] == "HIT"
    one.clock._offset -= 7200.0
    purged_meanwhile(one, other, 1.5)
    assert one.ask()[0] == "MISS"
    one.written()
    one.clock._offset += 7200.0
    assert processes().ask()[0] == "MISS"


def test_what_the_store_has_lost_memory_still_gives(processes: Any) -> None:
    """Asked first, whether anything was purged, a store that has made room says nothing against the answer."""
    one = processes()
    one.ask()
    one.written()
    assert one.colour.run(tier(one).remove(key_of(one, call())))
    one.clock.advance(5.0)
    assert one.ask()[0] == "HIT"
    assert len(one.script.asked) == 1


def test_a_store_that_cannot_be_asked_keeps_memory_from_nothing(processes: Any, tmp_path: Path) -> None:
    one = processes()
    one.ask()
    one.written()
    for file in (tmp_path / "kept").rglob("*"):
        if file.is_file():
            file.write_bytes(b"no database" * 999)
    for _ in range(8):
        one.clock.advance(5.0)
        assert one.ask()[0] == "HIT"
    assert len(one.script.asked) == 1


def test_while_the_store_is_away_memory_gives_batches_for_as_long_as_they_are_fresh(processes: Any) -> None:
    one = processes(embedded)
    one.layer.understand = lambda dialect: type(UNDERSTOOD)(UNDERSTOOD.watcher, lambda body, usage: ())
    one.ask(**BATCH)
    one.written()
    for _ in range(5):
        one.tier._reading.bad(one.clock.now())  # it has failed five times in a row
    one.clock.advance(301.0)
    assert one.ask(**BATCH)[0] == "HIT"
    assert len(one.script.asked) == 1
