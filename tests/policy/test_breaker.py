"""The breaker against a model of a few lines, and its permits in every order."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from llm_edge.policy.breaker import PROBES_TO_CLOSE, Breaker, Permit

FAILURES, OPEN_FOR = 3, 10.0


class AgainstTheModel(RuleBasedStateMachine):
    """
    The model keeps no numbers of the machine's: only what the rules of RELIABILITY 2.2 speak of.

    `era` counts changes of state; a permit's outcome matters in the era it was given in.
    """

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(failures=FAILURES, open_for=OPEN_FOR)
        self.now = 0.0
        self.state = "closed"
        self.era = self.row = self.good = 0
        self.opened = 0.0
        self.young: tuple[int, float] | None = None
        self.given = self.returned = 0

    def turn(self, state: str) -> None:
        self.state, self.era, self.row, self.good, self.young = state, self.era + 1, 0, 0, None
        self.opened = self.now

    @rule(seconds=st.sampled_from([0.5, 4.0, 9.5, 10.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def ask(self) -> tuple[Permit, int, int] | None:
        answer = self.breaker.admit(self.now)
        if self.state == "open" and self.now >= self.opened + OPEN_FOR:
            self.turn("half-open")
        busy = self.young is not None and self.now < self.young[1] + OPEN_FOR
        if self.state == "open" or (self.state == "half-open" and busy):
            assert isinstance(answer, float)
            assert 0 < answer <= OPEN_FOR
            return None
        assert isinstance(answer, Permit)
        self.given += 1
        if self.state == "half-open":
            self.young = (self.given, self.now)
        return answer, self.era, self.given

    @rule(held=consumes(permits), good=st.sampled_from([True, False, None]))
    def give_back(self, held: tuple[Permit, int, int] | None, good: bool | None) -> None:
        if held is None:
            return
        permit, era, number = held
        self.breaker.release(permit, good=good, now=self.now)
        self.returned += 1
        if era != self.era:
            return
        if self.young and self.young[0] == number:
            self.young = None
        if good is False:
            self.row += 1
            if self.state == "half-open" or self.row == FAILURES:
                self.turn("open")
        elif good:
            self.row, self.good = 0, self.good + 1
            if self.state == "half-open" and self.good == PROBES_TO_CLOSE:
                self.turn("closed")

    @invariant()
    def it_is_where_the_model_is(self) -> None:
        assert self.breaker.state == self.state
        assert self.breaker.row == (self.row if self.state == "closed" else self.breaker.row)

    def teardown(self) -> None:
        # P3: whatever happened, a healthy target is closed after one wait and two probes.
        self.now += OPEN_FOR
        for _ in range(PROBES_TO_CLOSE):
            permit = self.breaker.admit(self.now)
            assert isinstance(permit, Permit)
            self.breaker.release(permit, good=True, now=self.now)
        assert self.breaker.state == "closed"


AgainstTheModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBreaker = AgainstTheModel.TestCase


def opened() -> Breaker:
    breaker = Breaker(failures=1, open_for=OPEN_FOR)
    permit = breaker.admit(0.0)
    assert isinstance(permit, Permit)
    breaker.release(permit, good=False, now=0.0)
    return breaker


ACTS = [("ask", number) for number in range(4)] + [("tell", number) for number in range(4)]


def orders() -> list[tuple[tuple[str, int], ...]]:
    """Every order of six acts of three callers, each asking before it tells."""
    callers = [act for act in ACTS if act[1] < 3]
    return [
        order
        for order in permutations(callers)
        if all(order.index(("ask", n)) < order.index(("tell", n)) for n in range(3))
    ]


def test_in_every_order_one_probe_at_a_time_is_admitted_and_every_permit_comes_home() -> None:
    for order, outcomes in product(orders(), product([True, False, None], repeat=3)):
        breaker, held = opened(), dict[int, Permit]()
        for act, caller in order:
            if act == "ask":
                answer = breaker.admit(OPEN_FOR)
                if isinstance(answer, Permit):
                    held[caller] = answer
            elif caller in held:
                breaker.release(held.pop(caller), good=outcomes[caller], now=OPEN_FOR)
            if breaker.state == "half-open":
                young = [permit for permit in held.values() if permit.generation == breaker.generation]
                assert len(young) <= 1, (order, outcomes)  # P1
                assert (breaker.probing != 0) == bool(young), (order, outcomes)  # P4
        assert held == {}
        if breaker.state == "half-open":
            assert isinstance(breaker.admit(OPEN_FOR), Permit), (order, outcomes)


def test_an_outcome_of_an_older_generation_changes_nothing() -> None:
    breaker = Breaker(failures=2, open_for=OPEN_FOR)
    old = [breaker.admit(0.0) for _ in range(6)]
    assert all(isinstance(permit, Permit) for permit in old)
    permits = [permit for permit in old if isinstance(permit, Permit)]
    for permit in permits[:2]:
        breaker.release(permit, good=False, now=1.0)
    assert breaker.state == "open"
    for permit, good in zip(permits[2:], (True, True, False, False), strict=True):
        breaker.release(permit, good=good, now=2.0)
    assert (breaker.state, breaker.since) == ("open", 1.0)


def test_it_says_when_it_is_worth_asking_again() -> None:
    breaker = opened()
    assert breaker.admit(4.0) == 6.0
    probe = breaker.admit(10.0)
    assert isinstance(probe, Permit)
    assert breaker.admit(13.0) == 7.0  # the probe has that long to come back


def test_a_good_answer_ends_a_row_of_failures() -> None:
    breaker = Breaker(failures=2)
    for good in (False, True, False, None, True, False):
        permit = breaker.admit(0.0)
        assert isinstance(permit, Permit)
        breaker.release(permit, good=good, now=0.0)
    assert breaker.state == "closed"


def test_a_probe_that_stays_away_does_not_keep_others_out_for_ever() -> None:
    breaker = opened()
    silent = breaker.admit(10.0)
    second = breaker.admit(20.0)
    assert isinstance(silent, Permit)
    assert isinstance(second, Permit)
    breaker.release(silent, good=True, now=21.0)
    assert isinstance(breaker.admit(21.0), float)  # the second is still under way
    breaker.release(second, good=True, now=22.0)
    assert breaker.state == "closed"


@pytest.mark.parametrize("good", [True, False])
def test_calls_of_another_process_are_forgotten(good: bool) -> None:
    breaker = opened()
    theirs = breaker.admit(10.0)
    assert isinstance(theirs, Permit)
    breaker.forget_calls()
    ours = breaker.admit(10.0)
    assert isinstance(ours, Permit)
    breaker.release(theirs, good=good, now=10.0)
    assert breaker.state == "half-open"
    assert isinstance(breaker.admit(10.0), float)
