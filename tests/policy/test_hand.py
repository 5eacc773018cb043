"""What a process has in hand of rows that it shares."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings, strategies as st

from llm_edge.policy.hand import LIFE, Hand, Owed, SharedHold, Want, ahead
from llm_edge.policy.rows import Asks, Full, Kind, Row, Unit

UNITS: dict[Kind, Unit] = {"places": "places", "pace": "requests", "log": "requests", "tally": "requests"}


def row(kind: Kind, limit: int, *, unit: Unit | None = None, **more: Any) -> Row:
    return Row(key=f"{kind} {unit}", kind=kind, unit=unit or UNITS[kind], limit=limit, **more)


PACE = row("pace", 200, rate=1000.0)
DAY = row("tally", 100_000, period="day")
PLACES = row("places", 100)
SMALL = row("places", 5)
TOKENS = row("pace", 10**6, unit="tokens", rate=1e5)
MONEY = row("tally", 10**6, unit="nano-dollars", period="month")


def draw(hand: Hand, asks: Asks, now: float = 0.0, *, lease: float = 10.0, hold: SharedHold | None = None) -> Any:
    return hand.draw(asks, lease, now, hold or SharedHold(asks))


def fetched(hand: Hand, asks: Asks, *given: int, now: float = 0.0, id: str = "id") -> SharedHold:
    """A call for which the store was asked, and what it gave."""
    hold = SharedHold(asks, id=id)
    wants = draw(hand, asks, now, hold=hold)
    hand.receive(wants, given, now + 30.0, now, hold)
    return hold


def test_what_is_too_small_exact_or_money_is_not_shared_out() -> None:
    assert [ahead(each) for each in (PACE, DAY, PLACES, TOKENS)] == [50, 50, 5, 5000]
    assert [ahead(each) for each in (SMALL, MONEY, row("log", 1000), row("pace", 9, rate=10.0))] == [0, 0, 0, 0]
    assert ahead(row("pace", 4, rate=1000.0)) == 2  # never more than half of what may come at once


def test_what_was_fetched_ahead_serves_the_next_calls() -> None:
    hand, asks = Hand(), [(PACE, 1), (DAY, 1)]
    assert draw(hand, asks) == [Want(PACE, 1, 50), Want(DAY, 1, 50)]
    fetched(hand, asks, 2, 100, 1000, 2, 90_000, 10**9)
    assert [draw(hand, asks, 0.1), draw(hand, asks, 0.1)] == [[], []]
    assert draw(hand, asks, 0.1) == [Want(PACE, 1, 50), Want(DAY, 1, 50)]


def test_what_runs_low_is_filled_up_with_the_rest() -> None:
    hand = Hand()
    fetched(hand, [(DAY, 1)], 3, 90_000, 10**9)
    assert draw(hand, [(PACE, 1), (DAY, 1)]) == [Want(PACE, 1, 50), Want(DAY, 0, 50)]


def test_a_call_that_has_to_ask_anyway_takes_nothing_ahead() -> None:
    assert draw(Hand(), [(PACE, 1), (SMALL, 1)]) == [Want(PACE, 1, 0), Want(SMALL, 1, 0)]


def test_what_lies_here_too_long_is_given_back() -> None:
    hand = Hand()
    fetched(hand, [(PACE, 1)], 5, 100, 1000)
    assert hand.sweep(LIFE - 0.01) == []
    assert draw(hand, [(PACE, 1)], LIFE) == [Want(PACE, 1, 50)]
    assert hand.sweep(LIFE) == [Owed(PACE, "", 5, 0)]
    assert hand.empty


def test_what_belongs_to_a_day_that_is_over_is_not_given_back() -> None:
    hand = Hand()
    fetched(hand, [(DAY, 1)], 5, 100, 200_000)  # the day ends in 0.2 s
    assert draw(hand, [(DAY, 1)], 0.2) == [Want(DAY, 1, 50)]
    assert hand.sweep(0.2) == []
    assert hand.empty


def test_a_place_goes_to_the_next_call_while_its_lease_is_long_enough() -> None:
    hand = Hand()
    first = fetched(hand, [(PLACES, 1)], 0, 50, 0)
    assert [name for _, name, _ in first.places] == ["id:1"]
    assert hand.settle(first, {}, 1.0) is False
    second = SharedHold([(PLACES, 1)])
    assert draw(hand, [(PLACES, 1)], 1.0, lease=10.0, hold=second) == []
    assert second.places == [(PLACES, "id:1", 30.0)]
    hand.settle(second, {}, 2.0)
    assert draw(hand, [(PLACES, 1)], 2.1, lease=28.5) == [Want(PLACES, 1, 5)]
    assert hand.sweep(2.0 + LIFE) == [Owed(PLACES, "id:1", 1, 0)]


def test_a_place_of_few_is_given_back_at_once() -> None:
    hand = Hand()
    hold = fetched(hand, [(SMALL, 1)], 0, 4, 0)
    assert hand.settle(hold, {}, 1.0) is True
    assert hand.sweep(1.0) == [Owed(SMALL, "id:1", 1, 0)]
    assert hand.settle(hold, {}, 1.0) is False


def test_a_place_that_nobody_could_use_again_is_given_back_at_once() -> None:
    exact = row("log", 1000)
    hand, short, mixed = (
        Hand(),
        SharedHold([(PLACES, 1)], id="short"),
        SharedHold([(PLACES, 1), (exact, 1)], id="mixed"),
    )
    hand.receive(draw(hand, short.asks, hold=short), [0, 9, 9], 10.5, 0.0, short)  # no longer than its own call needs
    assert hand.settle(short, {}, 1.0) is True
    hand.receive(draw(hand, mixed.asks, hold=mixed), [0, 9, 9, 0, 9, 9], 30.0, 0.0, mixed)  # such calls ask each time
    assert hand.settle(mixed, {}, 1.0) is True
    assert hand.sweep(1.0) == [Owed(PLACES, "short:1", 1, 0), Owed(PLACES, "mixed:1", 1, 0)]


def test_of_places_no_more_than_a_tenth_lies_here_unused() -> None:
    hand = Hand()
    holds = [fetched(hand, [(PLACES, 1)], 0, 50, 0, id=str(number)) for number in range(30)]
    for hold in holds:
        hand.settle(hold, {}, 1.0)
    assert len(hand.sweep(1.0)) == 20
    assert len(hand.sweep(1.0 + LIFE)) == 10
    assert hand.empty


def test_tokens_are_corrected_together_and_money_one_by_one() -> None:
    hand = Hand()
    for number, used in enumerate((300, 1200, 400)):
        hold = fetched(hand, [(TOKENS, 1000), (MONEY, 50)], 0, 1, 1, 0, 1, 1, id=str(number))
        assert hand.settle(hold, {"tokens": used, "nano-dollars": number}, 0.0) is True
    unknown = fetched(hand, [(MONEY, 50)], 0, 1, 1, id="x")
    hand.settle(unknown, {}, 0.0)
    told = [Owed(MONEY, "0", 50, 0), Owed(MONEY, "1", 50, 1), Owed(MONEY, "2", 50, 2), Owed(MONEY, "x", 50, -1)]
    assert hand.sweep(0.0) == [*told, Owed(TOKENS, "", 1100, 0)]
    assert hand.sweep(0.0) == []


def test_the_stores_refusal_counts_for_a_little_while() -> None:
    hand = Hand()
    hand.refused(PACE, 2, 5.0, 0.0)
    assert draw(hand, [(PACE, 2)], 0.1) == Full(PACE, 4.9)
    assert draw(hand, [(PACE, 1)], 0.1) == [Want(PACE, 1, 50)]  # less may fit
    assert draw(hand, [(PACE, 2)], 0.25) == [Want(PACE, 2, 50)]
    hand.refused(SMALL, 1, 1.0, 1.0)
    assert draw(hand, [(SMALL, 1)], 1.01) == Full(SMALL, 0.99)
    hand.settle(fetched(hand, [(SMALL, 1)], 0, 0, 0, now=1.03), {}, 1.03)
    assert draw(hand, [(SMALL, 1)], 1.04) == [Want(SMALL, 1, 0)]


def test_what_was_drawn_comes_back_when_the_rest_is_not_to_be_had() -> None:
    hand, asks = Hand(), [(PACE, 1), (PLACES, 1), (DAY, 1)]
    fetched(hand, [(PACE, 1), (PLACES, 1)], 3, 9, 9, 1, 9, 9)
    hold = SharedHold(asks)
    wants = draw(hand, asks, 0.1, hold=hold)
    assert [want for want in wants if want.need] == [Want(DAY, 1, 50)]
    hand.put_back(asks, wants, hold, 0.1)
    assert sorted(owed.taken for owed in hand.sweep(0.2, everything=True)) == [1, 3]
    assert hand.empty


def test_how_the_rows_stand_is_as_the_store_last_said() -> None:
    hand, asks = Hand(), [(PACE, 1), (DAY, 1), (TOKENS, 10), (PLACES, 1)]
    fetched(hand, asks, 10, 100, 2_000_000, 0, 50, 9_000_000, 5, 70, 1_000_000, 0, 1, 0)
    told = [tuple(each) for each in hand.standings(asks, 1.0)]
    assert told == [("requests", 100_000, 50, 8.0), ("tokens", 10**6, 75, 0.0)]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60), st.integers(1, 5)), min_size=1, max_size=80))
def test_nothing_is_ever_made_of_nothing(steps: list[tuple[int, int, int]]) -> None:
    """What calls used and what was given back is never more than what the store gave."""
    hand, now, given_out, used, back = Hand(), 0.0, 0, 0, 0
    for pause, more, amount in steps:
        now += pause / 1000
        hold = SharedHold([(PACE, amount)], id=str(now))
        wants = draw(hand, hold.asks, now, hold=hold)
        if wants:
            given_out += amount + more
            hand.receive(wants, [more, 9, 9], now + 30, now, hold)
        used += amount
        back += sum(owed.taken for owed in hand.sweep(now))
        assert used + back <= given_out
    back += sum(owed.taken for owed in hand.sweep(now, everything=True))
    assert used + back == given_out
