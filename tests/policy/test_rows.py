"""Rows and the ledger that holds them, against models of a few lines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from llm_edge.policy.ledger import Ledger
from llm_edge.policy.rows import Full, Hold, Kind, Places, Row, Taken, Tally, Unit

LEASE = 8.0


def row(kind: Kind, limit: int, *, unit: Unit | None = None, key: str = "", **more: Any) -> Row:
    units: dict[Kind, Unit] = {"places": "places", "pace": "requests", "log": "requests", "tally": "nano-dollars"}
    return Row(key=key or f"{kind}:{limit}", kind=kind, unit=unit or units[kind], limit=limit, **more)


def take(ledger: Ledger, row: Row, amount: int = 1, now: float = 0.0, *, lease: float = math.inf) -> Taken | Full:
    return ledger.take([(row, amount)], now, now, lease=lease)


def granted(verdict: Taken | Full) -> Hold:
    assert isinstance(verdict, Taken)
    return verdict.hold


def refused(verdict: Taken | Full) -> float:
    assert isinstance(verdict, Full)
    return verdict.wait


# ---------------------------------------------------------------- one row


def test_a_pace_gives_a_burst_and_then_tells_the_exact_wait() -> None:
    ledger, pace = Ledger(), row("pace", 3, rate=2.0)
    for _ in range(3):
        granted(take(ledger, pace))
    assert refused(take(ledger, pace)) == 0.5
    assert refused(take(ledger, pace, 2)) == 1.0
    assert refused(take(ledger, pace, 4)) == math.inf
    assert refused(take(ledger, pace, now=0.499)) == pytest.approx(0.001)
    granted(take(ledger, pace, now=0.5))


@given(
    st.integers(1, 50),
    st.integers(1, 40),
    st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5)), min_size=1, max_size=60),
)
def test_in_no_window_a_pace_gives_more_than_burst_and_rate(
    rate: int, limit: int, steps: list[tuple[float, int]]
) -> None:
    ledger, pace, now, given_out = Ledger(), row("pace", limit, rate=float(rate)), 0.0, list[tuple[float, int]]()
    for pause, amount in steps:
        now += pause
        if isinstance(take(ledger, pace, amount, now), Taken):
            given_out.append((now, amount))
    for first, last in itertools.combinations_with_replacement(range(len(given_out)), 2):
        total = sum(amount for _, amount in given_out[first : last + 1])
        assert total <= limit + rate * (given_out[last][0] - given_out[first][0]) + 1e-6


@given(st.integers(1, 10), st.lists(st.integers(0, 32).map(lambda part: part / 16), min_size=1, max_size=80))
def test_in_no_window_a_log_gives_more_than_its_limit(limit: int, pauses: list[float]) -> None:
    ledger, log, now, moments = Ledger(), row("log", limit, window=1.0), 0.0, list[float]()
    for pause in pauses:
        now += pause
        verdict = take(ledger, log, 1, now)
        if isinstance(verdict, Taken):
            moments.append(now)
        else:
            assert isinstance(take(ledger, log, 1, now + verdict.wait / 2), Full)  # the wait is not too long
            granted(take(ledger, log, 1, now + verdict.wait))  # nor too short
            now += verdict.wait
            moments.append(now)
    for first, start in enumerate(moments):
        assert sum(1 for moment in moments[first:] if moment < start + 1.0 - 1e-9) <= limit


def test_tokens_reserved_and_not_used_come_back() -> None:
    ledger, tokens = Ledger(), row("pace", 600, unit="tokens", rate=10.0)
    hold = granted(take(ledger, tokens, 600))
    assert refused(take(ledger, tokens, 100)) == 10.0
    ledger.settle(hold, {"tokens": 100}, 1.0, 1.0)
    ledger.settle(hold, {"tokens": 0}, 1.0, 1.0)  # a second word counts for nothing
    assert refused(take(ledger, tokens, 511, now=1.0)) == pytest.approx(0.1)
    granted(take(ledger, tokens, 510, now=1.0))


def test_tokens_used_beyond_the_guess_are_owed() -> None:
    ledger, tokens = Ledger(), row("pace", 60, unit="tokens", rate=1.0)
    hold = granted(take(ledger, tokens, 10))
    ledger.settle(hold, {"tokens": 100}, 0.0, 0.0)
    assert refused(take(ledger, tokens, 1)) == pytest.approx(41.0)


def test_a_day_begins_anew_at_midnight() -> None:
    ledger, day = Ledger(), row("tally", 2, unit="requests", period="day")
    for _ in range(2):
        granted(ledger.take([(day, 1)], 5.0, 86399.0, lease=1))
    assert refused(ledger.take([(day, 1)], 5.0, 86399.0, lease=1)) == 1.0
    granted(ledger.take([(day, 1)], 6.0, 86400.0, lease=1))
    assert refused(ledger.take([(day, 2)], 6.0, 86400.0, lease=1)) == 86400.0


def test_a_clock_set_back_does_not_begin_a_day_again() -> None:
    ledger, day = Ledger(), row("tally", 1, unit="requests", period="day")
    granted(ledger.take([(day, 1)], 5.0, 86400.0 * 9, lease=1))
    assert refused(ledger.take([(day, 1)], 5.0, 86400.0 * 8, lease=1)) > 0


def test_money_nobody_settles_becomes_spent_and_unconfirmed() -> None:
    ledger, budget = Ledger(), row("tally", 100, period="total")
    lost, kept = granted(take(ledger, budget, 60, lease=5.0)), granted(take(ledger, budget, 30, lease=5.0))
    ledger.settle(kept, {"nano-dollars": 10}, 1.0, 1.0)
    assert refused(take(ledger, budget, 40, now=4.0)) == math.inf
    granted(take(ledger, budget, 30, now=5.0))
    ledger.settle(lost, {"nano-dollars": 1}, 6.0, 6.0)  # too late to be believed
    state = ledger.state(budget)
    assert isinstance(state, Tally)
    assert (state.spent, state.reserved, state.unconfirmed) == (70, 30, 60)


def test_a_reservation_of_the_last_period_does_not_weigh_on_this_one() -> None:
    ledger, budget = Ledger(), row("tally", 100, period="minute")
    hold = granted(take(ledger, budget, 90, now=59.0))
    granted(take(ledger, budget, 100, now=60.0))
    ledger.settle(hold, {"nano-dollars": 90}, 61.0, 61.0)
    state = ledger.state(budget)
    assert isinstance(state, Tally)
    assert (state.spent, state.reserved) == (0, 100)


def test_a_place_comes_back_when_its_lease_runs_out() -> None:
    ledger, places = Ledger(), row("places", 1)
    granted(take(ledger, places, lease=5.0))
    assert refused(take(ledger, places, now=4.9)) == 1.0
    granted(take(ledger, places, now=5.0))


# ---------------------------------------------------------------- all rows together


def test_what_one_row_refuses_costs_the_others_nothing() -> None:
    pace, places, tokens = (
        row("pace", 5, rate=1.0),
        row("places", 2),
        row("pace", 100, unit="tokens", rate=1.0, key="t"),
    )
    ledger = Ledger()
    for _ in range(20):
        verdict = ledger.take([(places, 1), (pace, 1), (tokens, 101)], 0.0, 0.0, lease=9)
        assert isinstance(verdict, Full)
        assert (verdict.row, verdict.wait) == (tokens, math.inf)
    granted(ledger.take([(places, 2), (pace, 5), (tokens, 100)], 0.0, 0.0, lease=9))


def test_the_longest_wait_is_told() -> None:
    ledger, fast, slow = Ledger(), row("pace", 1, rate=10.0, key="fast"), row("pace", 1, rate=0.5, key="slow")
    granted(ledger.take([(fast, 1), (slow, 1)], 0.0, 0.0, lease=9))
    assert ledger.take([(fast, 1), (slow, 1)], 0.0, 0.0, lease=9) == Full(slow, 2.0)


def test_the_tightest_row_of_each_unit_is_told() -> None:
    rows = [(row("pace", 10, rate=1.0), 1), (row("tally", 3, unit="requests"), 1), (row("places", 7), 1)]
    verdict = Ledger().take([*rows, (row("pace", 50, unit="tokens", rate=1.0, key="t"), 20)], 0.0, 80000.0, lease=9)
    assert isinstance(verdict, Taken)
    assert list(verdict.standings) == [("requests", 3, 2, 6400.0), ("tokens", 50, 30, 20.0)]


def test_subjects_without_number_do_not_fill_the_memory() -> None:
    ledger = Ledger(most=100)
    kept = row("pace", 1, rate=0.001, key="kept")
    granted(take(ledger, kept))
    for number in range(1000):
        take(ledger, row("pace", 1, rate=1000.0, key=str(number)), now=float(number))
    assert len(ledger) <= 100
    assert refused(take(ledger, kept, now=900.0)) > 0  # what has something to remember is remembered
    for number in range(1000):
        take(ledger, row("pace", 1, rate=0.0001, key=f"busy {number}"), now=1000.0)
    assert len(ledger) <= 100


def test_a_forked_child_holds_nothing() -> None:
    ledger, places, budget = Ledger(), row("places", 1), row("tally", 10, period="total")
    granted(ledger.take([(places, 1), (budget, 10)], 0.0, 0.0, lease=9))
    ledger.forget_holds()
    granted(ledger.take([(places, 1), (budget, 10)], 0.0, 0.0, lease=9))


class Model:
    """All four rows in the plainest words there are: everything that ever happened, counted again each time."""

    PACE = row("pace", 4, rate=2.0)
    LOG = row("log", 3, window=2.0)
    PLACES = row("places", 3)
    BUDGET = row("tally", 20, period="minute")

    def __init__(self) -> None:
        self.level, self.filled = Fraction(4), Fraction(0)
        self.log: list[float] = []
        self.holds: dict[int, tuple[float, int, int]] = {}  # until, money, minute
        self.spent: dict[int, int] = {}

    def at(self, now: float) -> None:
        self.level = min(Fraction(4), self.level + 2 * (Fraction(now) - self.filled))
        self.filled = Fraction(now)
        for number, (until, money, minute) in list(self.holds.items()):
            if until <= now:
                self.settle(number, money)
                assert minute is not None

    def fits(self, now: float, money: int) -> bool:
        minute = int(now // 60)
        reserved = sum(held for _, held, of in self.holds.values() if of == minute)
        return (
            self.level >= 1
            and len([moment for moment in self.log if moment > now - 2]) < 3
            and len(self.holds) < 3
            and self.spent.get(minute, 0) + reserved + money <= 20
        )

    def take(self, number: int, now: float, money: int) -> None:
        self.level -= 1
        self.log.append(now)
        self.holds[number] = (now + LEASE, money, int(now // 60))

    def settle(self, number: int, money: int) -> None:
        _, _, minute = self.holds.pop(number)
        self.spent[minute] = self.spent.get(minute, 0) + money


class LedgerMachine(RuleBasedStateMachine):
    """The ledger says of every ask what the model says, whatever came before."""

    @initialize()
    def begin(self) -> None:
        self.ledger, self.model, self.now = Ledger(), Model(), 0.0
        self.held: dict[int, Hold] = {}
        self.count = 0

    @rule(quarters=st.integers(1, 60))
    def pass_time(self, quarters: int) -> None:
        self.now += quarters / 4
        self.model.at(self.now)

    @rule(money=st.integers(0, 21))
    def ask(self, money: int) -> None:
        asks = [(Model.PLACES, 1), (Model.LOG, 1), (Model.PACE, 1), (Model.BUDGET, money)]
        verdict = self.ledger.take(asks, self.now, self.now, lease=LEASE)
        assert isinstance(verdict, Taken) == self.model.fits(self.now, money)
        if isinstance(verdict, Taken):
            self.count += 1
            self.model.take(self.count, self.now, money)
            self.held[self.count] = verdict.hold

    @rule(data=st.data(), money=st.integers(0, 30))
    def settle(self, data: st.DataObject, money: int) -> None:
        if self.held:
            number = data.draw(st.sampled_from(sorted(self.held)))
            self.ledger.settle(self.held[number], {"nano-dollars": money}, self.now, self.now)
            if number in self.model.holds:
                self.model.settle(number, money)

    @invariant()
    def places_agree(self) -> None:
        if hasattr(self, "ledger"):
            state = self.ledger.state(Model.PLACES)
            inside = [hold for hold in state.inside if hold.until > self.now] if isinstance(state, Places) else []
            assert len(inside) == len(self.model.holds)


LedgerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestLedger = LedgerMachine.TestCase


# ---------------------------------------------------------------- every order of events


def interleavings(steps: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Every order in which these actors can make so many steps each."""
    if not any(steps.values()):
        yield ()
        return
    for actor, left in steps.items():
        if left:
            for rest in interleavings({**steps, actor: left - 1}):
                yield (actor, *rest)


def test_in_every_order_a_budget_holds_and_each_reservation_is_settled_once() -> None:
    actual = {"a": 30, "b": 60, "c": 0, "d": 40}
    orders = 0
    for order in interleavings({"a": 3, "b": 2, "c": 2, "d": 2}):
        orders += 1
        ledger, budget, places = Ledger(), row("tally", 100, period="total"), row("places", 2)
        held: dict[str, Hold] = {}
        step = dict.fromkeys("abcd", 0)
        for actor in order:
            step[actor] += 1
            if step[actor] == 1:
                verdict = ledger.take([(places, 1), (budget, 50)], 0.0, 0.0, lease=9)
                if isinstance(verdict, Taken):
                    held[actor] = verdict.hold
            elif actor in held:
                ledger.settle(held[actor], {"nano-dollars": min(actual[actor], 50)}, 0.0, 0.0)
            state, inside = ledger.state(budget), ledger.state(places)
            assert isinstance(state, Tally)
            assert isinstance(inside, Places)
            assert state.spent + state.reserved <= 100
            assert len(inside.inside) <= 2
        state, inside = ledger.state(budget), ledger.state(places)
        assert isinstance(state, Tally)
        assert isinstance(inside, Places)
        assert (state.reserved, state.spent) == (0, sum(min(actual[actor], 50) for actor in held))
        assert not inside.inside
    assert orders == 7560
