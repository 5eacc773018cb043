"""What a call holds is renewed while it goes on: in time, no longer, and nothing that no store knows."""

from __future__ import annotations

from llm_edge.policy.hand import SharedHold
from llm_edge.policy.rows import Row
from llm_edge.stores.leases import Leases

LEASE, NEVER = 30.0, 1e9
PLACES = Row(key="places", kind="places", unit="places", limit=2)
MONEY = Row(key="money", kind="tally", unit="nano-dollars", limit=100, period="total")
PACE = Row(key="pace", kind="pace", unit="requests", limit=3, rate=1.0)


def hold(name: str = "h", *, places: bool = True) -> SharedHold:
    held = SharedHold([(PLACES, 1), (PACE, 1), (MONEY, 5)], id=name)
    if places:
        held.places = [(PLACES, f"{name}:1", LEASE)]
    return held


def test_a_lease_is_renewed_when_a_third_of_it_is_over_and_then_a_third_later() -> None:
    leases, one = Leases(LEASE), hold()
    leases.keep(one, 0.0, NEVER)
    assert leases.due("", LEASE / 3 - 0.1) == []
    (renewal,) = leases.due("", LEASE / 3)
    leases.renewed(renewal)
    assert one.places == [(PLACES, "h:1", LEASE / 3 + LEASE)]
    assert leases.due("", 2 * LEASE / 3 - 0.1) == []
    assert leases.due("", LEASE)


def test_only_places_and_money_are_renewed_each_under_its_name() -> None:
    leases = Leases(LEASE)
    leases.keep(hold(), 0.0, NEVER)
    (renewal,) = leases.due("{t}:", LEASE / 2)
    assert renewal.batch.keys == ("{t}:places", "{t}:money")
    assert renewal.batch.words == (str(int(LEASE * 1e6)), "places", "h:1", "tally", "h")
    assert renewal.until == LEASE / 2 + LEASE


def test_nothing_is_kept_of_a_call_that_is_over_or_that_holds_nothing_in_the_store() -> None:
    leases, over = Leases(LEASE), hold()
    over.open = False
    leases.keep(over, 0.0, NEVER)
    leases.keep(hold("", places=False), 0.0, NEVER)
    assert leases.empty


def test_what_ran_out_or_is_surely_over_is_forgotten_at_that_moment() -> None:
    for end, last in ((NEVER, LEASE), (LEASE / 2, LEASE / 2)):
        leases = Leases(LEASE)
        leases.keep(hold(), 0.0, end)
        assert leases.due("", last - 0.1)
        assert leases.due("", last) == []
        assert leases.empty


def test_a_renewal_that_comes_when_its_call_has_ended_changes_nothing() -> None:
    leases, one = Leases(LEASE), hold()
    leases.keep(one, 0.0, NEVER)
    (renewal,) = leases.due("", LEASE / 2)
    leases.drop(one)
    leases.renewed(renewal)
    assert leases.empty
    assert one.places == [(PLACES, "h:1", LEASE)]


def test_many_are_renewed_some_at_a_time_and_each_once() -> None:
    leases, holds = Leases(LEASE), [hold(str(number)) for number in range(250)]
    for each in holds:
        leases.keep(each, 0.0, NEVER)
    found = leases.due("", LEASE / 2)
    assert [len(renewal.holds) for renewal in found] == [100, 100, 50]
    assert [each for renewal in found for each in renewal.holds] == holds
