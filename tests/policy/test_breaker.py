"""The breaker against a model of a few lines, and its permits in every order."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from llm_edge.policy.breaker import LONGEST_ASKED, PROBES_TO_CLOSE, Breaker, Permit, Rule, Tally

FAILURES, OPEN_FOR = 3, 10.0


def made(**given: Any) -> Breaker:
    return Breaker(Rule(**{"failures": FAILURES, "open_for": OPEN_FOR, **given}))


def admitted(breaker: Breaker, now: float = 0.0, **given: Any) -> Permit:
    permit = breaker.admit(now, **given)
    assert isinstance(permit, Permit), permit
    return permit


def opened(**given: Any) -> Breaker:
    breaker = made(failures=1, **given)
    breaker.release(admitted(breaker), good=False, now=0.0)
    assert breaker.state == "open"
    return breaker


class AgainstTheModel(RuleBasedStateMachine):
    """
    The model remembers each call and each outcome of this era; an era begins with each change of state.

    A call is `[era, since, told to be watched, begun, counted as slow]`.
    """

    permits = Bundle("permits")
    SLOW, LEAST = 5.0, 4

    def __init__(self) -> None:
        super().__init__()
        self.breaker = made(slow_after=self.SLOW, outcomes=self.LEAST, window=1e9, failed_share=0.5, slow_share=0.75)
        self.now = self.until = 0.0
        self.era, self.state = 0, "closed"
        self.calls: dict[Permit, list[Any]] = {}
        self.row = self.good = self.heard = self.bad = self.slow = 0
        self.probe: Permit | None = None

    def turn(self, state: str) -> None:
        self.era, self.state, self.probe = self.era + 1, state, None
        self.row = self.good = self.heard = self.bad = self.slow = 0

    def open(self, at: float) -> None:
        self.until = at + OPEN_FOR
        self.turn("open")

    def too_many(self) -> bool:
        return self.heard >= self.LEAST and (2 * self.bad >= self.heard or self.slow >= 0.75 * self.heard)

    @rule(seconds=st.sampled_from([0.5, 4.0, 5.0, 9.5, 10.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits, watched=st.booleans())
    def ask(self, watched: bool) -> Permit | None:
        answer = self.breaker.admit(self.now, watched=watched)
        late = [call for call in self.calls.values() if call[0] == self.era and call[2] and not call[3] and not call[4]]
        late = [call for call in late if call[1] + self.SLOW <= self.now]
        for call in late:
            call[4] = True
            self.heard, self.slow = self.heard + 1, self.slow + 1
        if late and self.state == "closed" and self.too_many():
            self.open(self.now)
        self.look_at_the_probe()
        if self.state == "open" and self.now >= self.until:
            self.turn("half-open")
        if self.state == "open" or self.probe is not None:
            assert isinstance(answer, float)
            assert 0 < answer <= 30.0
            return None
        assert isinstance(answer, Permit)
        self.calls[answer] = [self.era, self.now, watched and self.state == "closed", False, False]
        if self.state == "half-open":
            self.probe = answer
        return answer

    def look_at_the_probe(self) -> None:
        if self.probe is None or self.now < self.probe.due:
            return
        if self.calls[self.probe][3]:
            self.probe = None
        else:
            self.open(self.probe.due)

    @rule(permit=permits)
    def it_begins(self, permit: Permit | None) -> None:
        if permit is not None and permit in self.calls:
            self.breaker.began(permit, self.now)
            self.calls[permit][3] = True

    @rule(permit=consumes(permits), good=st.sampled_from([True, False, None]))
    def give_back(self, permit: Permit | None, good: bool | None) -> None:
        if permit is None or permit not in self.calls:
            return
        self.breaker.release(permit, good=good, now=self.now)
        era, _, _, _, counted = self.calls.pop(permit)
        if permit is self.probe:
            self.probe = None
        if era != self.era or good is None:
            return
        self.heard, self.bad = self.heard + (not counted), self.bad + (not good)
        self.row = 0 if good else self.row + 1
        self.good += good
        if good and self.state == "half-open" and self.good == PROBES_TO_CLOSE:
            self.turn("closed")
        elif not good and (self.state == "half-open" or self.row == FAILURES or self.too_many()):
            self.open(self.now)

    @invariant()
    def it_is_where_the_model_is(self) -> None:
        assert (self.breaker.state, self.breaker.row) == (self.state, self.row)
        assert self.breaker.probing <= 1

    def teardown(self) -> None:
        # P3: whatever happened, a healthy target is closed after one wait and two probes.
        for _ in range(3):
            self.now += 30.0
            answer = self.breaker.admit(self.now)  # a probe that hangs is found out first
            if isinstance(answer, Permit):
                self.breaker.release(answer, good=True, now=self.now)
        self.breaker.release(admitted(self.breaker, self.now), good=True, now=self.now)
        assert self.breaker.state == "closed"


AgainstTheModel.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestBreaker = AgainstTheModel.TestCase


def orders() -> list[tuple[tuple[str, int], ...]]:
    """Every order of six acts of three callers, each asking before it tells."""
    acts = [(act, caller) for act in ("ask", "tell") for caller in range(3)]
    return [
        order
        for order in permutations(acts)
        if all(order.index(("ask", n)) < order.index(("tell", n)) for n in range(3))
    ]


@pytest.mark.parametrize("probes", [1, 2])
def test_in_every_order_no_more_probes_than_allowed_are_admitted_and_every_permit_comes_home(probes: int) -> None:
    for order, outcomes in product(orders(), product([True, False, None], repeat=3)):
        breaker, held = opened(probes=probes), dict[int, Permit]()
        for act, caller in order:
            if act == "ask":
                answer = breaker.admit(OPEN_FOR)
                if isinstance(answer, Permit):
                    held[caller] = answer
            elif caller in held:
                breaker.release(held.pop(caller), good=outcomes[caller], now=OPEN_FOR)
            if breaker.state == "half-open":
                young = [permit for permit in held.values() if permit.generation == breaker.generation]
                assert len(young) <= probes, (order, outcomes)  # P1
                assert breaker.probing == len(young), (order, outcomes)  # P4
        assert held == {}
        if breaker.state == "half-open":
            assert isinstance(breaker.admit(OPEN_FOR), Permit), (order, outcomes)


def test_an_outcome_of_an_older_generation_changes_nothing() -> None:
    breaker = made(failures=2)
    permits = [admitted(breaker) for _ in range(6)]
    for permit in permits[:2]:
        breaker.release(permit, good=False, now=1.0)
    for permit, good in zip(permits[2:], (True, True, False, False), strict=True):
        breaker.release(permit, good=good, now=2.0)
    assert (breaker.state, breaker.until) == ("open", 1.0 + OPEN_FOR)


def test_it_says_when_it_is_worth_asking_again() -> None:
    breaker = opened()
    assert breaker.admit(4.0) == 6.0
    admitted(breaker, 10.0, due=17.0)
    assert breaker.admit(13.0) == 4.0  # the probe has that long to come back


def test_a_good_answer_ends_a_row_of_failures() -> None:
    breaker = made(failures=2)
    for good in (False, True, False, None, True, False):
        breaker.release(admitted(breaker), good=good, now=0.0)
    assert breaker.state == "closed"


def test_half_of_twenty_failing_is_too_many() -> None:
    breaker = made(failures=100)
    for number in range(19):
        breaker.release(admitted(breaker), good=number % 2 == 1, now=0.0)
    assert breaker.state == "closed"
    breaker.release(admitted(breaker), good=False, now=0.0)
    assert breaker.state == "open"


def test_failures_of_long_ago_do_not_count() -> None:
    breaker = made(failures=100, window=60.0)
    for _ in range(19):
        breaker.release(admitted(breaker), good=False, now=0.0)
    for _ in range(11):
        breaker.release(admitted(breaker), good=True, now=70.0)
    for _ in range(9):
        breaker.release(admitted(breaker), good=False, now=70.0)
    assert breaker.state == "closed"


def test_calls_that_hang_open_it_before_one_has_come_back() -> None:
    breaker = made(slow_after=10.0)
    for number in range(20):
        admitted(breaker, number / 10, watched=True)
    assert isinstance(breaker.admit(11.8), Permit)  # nineteen are slow
    assert isinstance(breaker.admit(11.9), float)
    assert breaker.state == "open"


def test_an_answer_that_has_begun_is_not_slow_however_long_it_goes_on() -> None:
    breaker = made(slow_after=10.0)
    for _ in range(40):
        breaker.began(admitted(breaker, watched=True), 9.9)
    assert isinstance(breaker.admit(1000.0), Permit)


def test_calls_whose_beginning_nobody_tells_are_never_slow() -> None:
    breaker = made(slow_after=10.0)
    for _ in range(40):
        admitted(breaker)
    assert isinstance(breaker.admit(1000.0), Permit)


def test_what_the_provider_asks_for_lengthens_the_wait() -> None:
    breaker = made(failures=1)
    breaker.release(admitted(breaker), good=False, now=0.0, asked=45.0)
    assert breaker.admit(1.0) == 44.0
    breaker.force("closed")
    breaker.release(admitted(breaker), good=False, now=0.0, asked=1e6)
    assert breaker.admit(0.0) == LONGEST_ASKED


@given(chances=st.lists(st.floats(0, 1, exclude_max=True), min_size=12, max_size=12))
def test_a_growing_wait_doubles_up_to_its_longest_and_begins_anew_once_closed(chances: list[float]) -> None:
    breaker, now = made(failures=1, growing=True, open_for=30.0), 0.0
    for number, chance in enumerate(chances):
        breaker.release(admitted(breaker, now), good=False, now=now, chance=chance)
        wait = breaker.until - now
        assert wait == pytest.approx(min(30.0, 0.1 * 2**number) * (0.8 + 0.4 * chance))
        now = breaker.until
    for _ in range(PROBES_TO_CLOSE):
        breaker.release(admitted(breaker, now), good=True, now=now)
    breaker.release(admitted(breaker, now), good=False, now=now, chance=0.5)
    assert breaker.until - now == pytest.approx(0.1)


def test_a_probe_that_is_not_answered_in_time_is_a_bad_one() -> None:
    breaker = opened()
    silent = admitted(breaker, 10.0, due=14.0)
    assert breaker.admit(15.0) == 9.0  # open again since it was due
    assert breaker.state == "open"
    breaker.release(silent, good=True, now=16.0)
    assert breaker.state == "open"


def test_a_probe_that_streams_for_long_makes_room_for_the_next() -> None:
    breaker = opened()
    long = admitted(breaker, 10.0, due=130.0)
    breaker.began(long, 11.0)
    assert isinstance(breaker.admit(20.9), float)
    second = admitted(breaker, 21.0)
    breaker.release(long, good=True, now=22.0)
    assert isinstance(breaker.admit(22.0), float)  # the second is still under way
    breaker.release(second, good=True, now=23.0)
    assert breaker.state == "closed"


def test_forced_open_it_refuses_until_told_otherwise_and_learns_nothing() -> None:
    breaker = made()
    under_way = admitted(breaker)
    breaker.force("open")
    assert breaker.admit(1e6) == OPEN_FOR
    breaker.release(under_way, good=True, now=0.0)
    assert breaker.state == "forced-open"
    breaker.force("closed")
    assert isinstance(breaker.admit(0.0), Permit)


def test_switched_off_it_lets_every_call_pass() -> None:
    breaker = opened()
    breaker.force("off")
    for _ in range(20):
        breaker.release(admitted(breaker, 1.0), good=False, now=1.0)
    assert breaker.state == "off"


def test_a_hint_opens_a_closed_breaker_and_no_other() -> None:
    breaker = made()
    breaker.hint(5.0, until=25.0)
    assert breaker.admit(5.0) == 20.0
    breaker.hint(6.0, until=600.0)
    assert breaker.admit(6.0) == 19.0
    fresh = made()
    fresh.hint(5.0, until=4.0)
    assert fresh.state == "closed"


@pytest.mark.parametrize("good", [True, False])
def test_calls_of_another_process_are_forgotten(good: bool) -> None:
    breaker = opened()
    theirs = admitted(breaker, 10.0)
    breaker.forget_calls()
    admitted(breaker, 10.0)
    breaker.release(theirs, good=good, now=10.0)
    assert breaker.state == "half-open"
    assert isinstance(breaker.admit(10.0), float)


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=60))
def test_a_tally_counts_what_happened_in_its_window_to_a_tenth(steps: list[tuple[float, bool]]) -> None:
    tally, now, happened = Tally(60.0), 0.0, list[tuple[float, bool]]()
    for seconds, bad in steps:
        now += seconds
        tally.add(now, heard=1, failed=bad)
        happened.append((now, bad))
        heard, failed, _ = tally.sums(now)
        surely = [each for at, each in happened if at > now - 54.0]
        perhaps = [each for at, each in happened if at > now - 60.0]
        assert len(surely) <= heard <= len(perhaps) + 1
        assert sum(surely) <= failed <= sum(perhaps) + 1
