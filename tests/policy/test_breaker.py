"""The breaker against a model of a few lines, and its permits in every order."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(eq=False)
class Call:
    """A call under way, as the model remembers it."""

    permit: Permit
    era: int
    since: float
    watched: bool
    """Told to be, so that it can be slow."""
    begun: bool = False
    counted: bool = False
    """As slow."""


class AgainstTheModel(RuleBasedStateMachine):
    """The model remembers each call and each outcome of this era; an era begins with each change of state."""

    calls = Bundle("calls")
    SLOW, LEAST = 5.0, 4

    def __init__(self) -> None:
        super().__init__()
        self.breaker = made(slow_after=self.SLOW, outcomes=self.LEAST, window=1e9, failed_share=0.5, slow_share=0.75)
        self.now = self.until = 0.0
        self.era, self.state = 0, "closed"
        self.under_way: list[Call] = []
        self.row = self.good = self.heard = self.bad = self.slow = 0
        self.probe: Call | None = None

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

    @rule(target=calls, watched=st.booleans(), hurried=st.booleans())
    def ask(self, watched: bool, hurried: bool) -> Call | None:
        """`hurried`: by the way of those who need not keep others out, where that is open."""
        answer: Permit | float | None = self.breaker.free_permit() if hurried and not watched else None
        by_hand = answer is None
        if any(call.watched and not (call.begun or call.counted) and call.era == self.era for call in self.under_way):
            assert by_hand, "a call that may be slow is looked at by whoever comes"
        if answer is None:
            answer = self.breaker.admit(self.now, watched=watched)
            self.notice_slow()
        else:
            assert self.state == "closed"
        self.look_at_the_probe()
        if self.state == "open" and self.now >= self.until:
            self.turn("half-open")
        if self.state == "open" or self.probe is not None:
            assert isinstance(answer, float)
            assert 0 < answer <= 30.0
            return None
        assert isinstance(answer, Permit)
        call = Call(answer, self.era, self.now, watched and self.state == "closed" and by_hand)
        self.under_way.append(call)
        if self.state == "half-open":
            self.probe = call
        return call

    def notice_slow(self) -> None:
        late = [call for call in self.under_way if call.era == self.era and call.watched]
        late = [call for call in late if not call.begun and not call.counted and call.since + self.SLOW <= self.now]
        for call in late:
            call.counted = True
            self.heard, self.slow = self.heard + 1, self.slow + 1
        if late and self.state == "closed" and self.too_many():
            self.open(self.now)

    def look_at_the_probe(self) -> None:
        if self.probe is None or self.now < self.probe.permit.due:
            return
        if self.probe.begun:
            self.probe = None
        else:
            self.open(self.probe.permit.due)

    @rule(call=calls)
    def it_begins(self, call: Call | None) -> None:
        if call is not None and call in self.under_way and (call.watched or call.permit.probe):
            self.breaker.began(call.permit, self.now)
            call.begun = True

    @rule(call=consumes(calls), good=st.sampled_from([True, False, None]), hurried=st.booleans())
    def give_back(self, call: Call | None, good: bool | None, hurried: bool) -> None:
        if call is None or call not in self.under_way:
            return
        if not (good and hurried and self.breaker.went_well(call.permit, self.now)):
            self.breaker.release(call.permit, good=good, now=self.now)
        self.under_way.remove(call)
        if call is self.probe:
            self.probe = None
        if call.era != self.era or good is None:
            return
        self.heard, self.bad = self.heard + (not call.counted), self.bad + (not good)
        self.row = 0 if good else self.row + 1
        self.good += good
        if good and self.state == "half-open" and self.good == PROBES_TO_CLOSE:
            self.turn("closed")
        elif not good and (self.state == "half-open" or self.row == FAILURES or self.too_many()):
            self.open(self.now)

    @rule()
    def it_goes_down_and_comes_back(self) -> None:
        while self.state == "closed":
            self.give_back(self.ask(watched=False, hurried=False), good=False, hurried=False)
        while self.state != "closed":
            self.now += 30.0
            self.give_back(self.ask(watched=False, hurried=False), good=True, hurried=False)

    @invariant()
    def it_is_where_the_model_is(self) -> None:
        assert (self.breaker.state, self.breaker.row) == (self.state, self.row)
        assert self.breaker.probing <= 1
        assert self.breaker.tally.sums(self.now) == (self.heard, self.bad, self.slow)
        waits = self.state == "open" and self.now < self.until
        assert self.breaker.open_now(self.now) == (waits or self.probe is not None)

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


def test_an_answer_is_told_the_short_way_only_where_nothing_turns_by_it() -> None:
    breaker = made(failures=2)
    first, other = breaker.free_permit(), breaker.free_permit()
    assert first is not None
    assert other is not None
    assert not breaker.went_well(first, 0.0)  # nothing is counted yet
    breaker.release(first, good=True, now=0.0)
    assert breaker.went_well(other, 0.0)
    assert breaker.tally.sums(0.0) == (2, 0, 0)
    breaker.release(first, good=False, now=0.0)
    assert not breaker.went_well(other, 0.0)  # it ends a row of failures
    breaker.release(first, good=False, now=0.0)
    breaker.release(admitted(breaker, OPEN_FOR), good=True, now=OPEN_FOR)
    assert breaker.state == "half-open"
    assert not breaker.went_well(other, OPEN_FOR)  # it is of another time


def test_once_it_is_closed_again_what_opened_it_is_forgotten() -> None:
    breaker = made(failures=100, open_for=10.0, window=60.0)
    for _ in range(20):
        breaker.release(admitted(breaker), good=False, now=0.0)
    for _ in range(PROBES_TO_CLOSE):
        breaker.release(admitted(breaker, 10.0), good=True, now=10.0)
    breaker.release(admitted(breaker, 10.0), good=False, now=10.0)
    assert breaker.state == "closed"


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
