"""What this process counts by itself: how rows stand that nobody took of, and what is left of a parent's calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_edge.policy.rows import Account, Full, Row, Taken
from llm_edge.stores.counters import MemoryCounters

if TYPE_CHECKING:
    from tests.conftest import Colour

PLACES = Row(key="places", kind="places", unit="places", limit=1)
PACE = Row(key="pace", kind="pace", unit="requests", limit=3, rate=1.0)


def test_a_row_that_nobody_took_of_stands_nowhere_and_one_that_is_no_tally_has_no_account(colour: Colour) -> None:
    view = MemoryCounters().view(colour.runtime())
    assert colour.run(view.look(PACE)) is None
    assert isinstance(colour.run(view.take([(PACE, 1)], 30.0)), Taken)
    standing = colour.run(view.look(PACE))
    assert standing is not None
    assert standing.left == 2
    assert colour.run(view.accounts([PACE, PLACES])) == [Account(), Account()]


def test_a_forked_child_holds_nothing_of_its_parents_calls(colour: Colour) -> None:
    counters = MemoryCounters()
    view = counters.view(colour.runtime())
    taken = colour.run(view.take([(PLACES, 1)], 30.0))
    assert isinstance(taken, Taken)
    assert isinstance(colour.run(view.take([(PLACES, 1)], 30.0)), Full)
    counters.after_fork()
    assert isinstance(colour.run(view.take([(PLACES, 1)], 30.0)), Taken)
    view.settle(taken.hold, {})
    assert isinstance(colour.run(view.take([(PLACES, 1)], 30.0)), Full), "the parent's call gives back nothing here"
