"""What a provider lets us do, as far as it was heard; and how many calls at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llm_edge.policy.throttle import LONGEST, Flow, Reading, Throttle

ONE: Any = {"requests": 1.0}


def test_an_empty_bucket_is_waited_for_as_long_as_one_call_takes_to_drip_in() -> None:
    gate = Throttle()
    gate.heard([Reading("requests", 60, 0, 60.0)], 0.0)
    assert gate.wait(ONE, 0.0) == pytest.approx(1.0)
    assert gate.wait(ONE, 1.0) == 0.0


def test_what_is_sent_is_drawn_from_the_bucket_before_the_provider_says_so() -> None:
    gate = Throttle()
    gate.heard([Reading("requests", 60, 2, 58.0)], 0.0)
    for _ in range(2):
        assert gate.wait(ONE, 0.0) == 0.0
        gate.sent(ONE)
    assert gate.wait(ONE, 0.0) == pytest.approx(1.0)


def test_tokens_wait_for_as_many_as_the_call_will_take() -> None:
    gate = Throttle()
    gate.heard([Reading("requests", 60, 59, 1.0), Reading("tokens", 6000, 1000, 50.0)], 0.0)
    assert gate.low
    assert gate.wait({"requests": 1, "tokens": 1500}, 0.0) == pytest.approx(5.0)
    assert gate.wait({"requests": 1, "tokens": 900}, 0.0) == 0.0
    # More than the bucket ever holds is the provider's to refuse.
    assert gate.wait({"requests": 1, "tokens": 10**9}, 0.0) == pytest.approx(50.0)


def test_a_bucket_that_is_full_or_says_nothing_of_time_holds_nobody() -> None:
    gate = Throttle()
    gate.heard([Reading("requests", 60, 0, 60.0)], 0.0)
    gate.heard([Reading("requests", 60, 60, 0.0)], 0.0)
    assert gate.wait(ONE, 0.0) == 0.0
    gate.heard([Reading("requests", 60, 0, None)], 0.0)
    assert (gate.wait(ONE, 0.0), gate.room(0.0)) == (0.0, None)


def test_a_refusal_closes_the_gate_for_as_long_as_it_says() -> None:
    gate = Throttle()
    gate.refused(7.5, 100.0)
    assert (gate.wait(ONE, 100.0), gate.wait(ONE, 107.5), gate.room(100.0)) == (7.5, 0.0, 0.0)
    gate.refused(1e9, 100.0)
    assert gate.wait(ONE, 100.0) == LONGEST


def test_refusals_that_do_not_say_how_long_close_it_for_longer_each_time() -> None:
    gate, waits = Throttle(), list[float]()
    for _ in range(8):
        gate.refused(None, 0.0)
        waits.append(gate.wait(ONE, 0.0))
    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    gate.went_well()
    gate.refused(None, 50.0)
    assert gate.wait(ONE, 50.0) == 0.0


def test_the_shortest_of_what_is_left_is_the_room() -> None:
    gate = Throttle()
    gate.heard([Reading("requests", 100, 50, 10.0), Reading("tokens", 1000, 100, 90.0)], 0.0)
    assert gate.room(0.0) == pytest.approx(0.1)
    assert gate.room(10.0) == pytest.approx(0.2)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1e6), st.floats(-5, 1e5), st.floats(0, 50)), max_size=30))
def test_no_reading_does_harm(steps: list[tuple[float, float, float, float]]) -> None:
    gate, now = Throttle(), 0.0
    for limit, left, reset, pause in steps:
        now += pause
        if limit > 0 and left <= limit:
            gate.heard([Reading("requests", limit, left, reset)], now)
        wait = gate.wait(ONE, now)
        assert 0.0 <= wait <= LONGEST
        gate.sent(ONE)
        room = gate.room(now)
        assert room is None or 0.0 <= room <= 1.0


class FlowMachine(RuleBasedStateMachine):
    """However calls end, the number under way is right, and no more go than may."""

    def __init__(self) -> None:
        super().__init__()
        self.flow, self.inside, self.older = Flow(), 0, 0

    @rule()
    def enter(self) -> None:
        if not self.flow.full:
            self.flow.in_flight += 1
            self.inside += 1

    @rule(outcome=st.sampled_from(["well", "refused", "other"]))
    def leave(self, outcome: Any) -> None:
        if self.inside:
            before, busy = self.flow.limit, self.inside
            self.flow.over(outcome)
            self.inside -= 1
            known, self.older = self.older > 0, max(self.older - 1, 0)
            if outcome == "refused" and (known or (before is None and busy == 1)):
                assert self.flow.limit == before
            elif outcome == "refused":
                assert self.flow.limit == max(
                    1.0, 0.9 * (busy if before is None else min(before, max(busy, before / 2)))
                )
                self.older = self.inside
            elif before is not None:
                assert self.flow.limit in {before, before + 1}

    @invariant()
    def counted(self) -> None:
        assert self.flow.in_flight == self.inside
        assert self.flow.limit is None or self.flow.limit >= 1.0


FlowMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestFlow = FlowMachine.TestCase


def test_a_crowd_that_is_refused_together_makes_it_a_tenth_fewer_once() -> None:
    flow = Flow()
    flow.in_flight = 100
    for _ in range(100):
        flow.over("refused")
    assert flow.limit == 90.0
    flow.in_flight = 90
    flow.over("refused")
    assert flow.limit == 81.0


def test_of_one_call_alone_nobody_learns_how_many_are_too_many() -> None:
    flow = Flow()
    flow.in_flight = 1
    flow.over("refused")
    assert flow.limit is None
    flow.in_flight = 100
    flow.over("refused")
    for _ in range(99):
        flow.over("well")
    flow.in_flight = 1
    flow.over("refused")
    assert flow.limit == pytest.approx(90.0 / 2 * 0.9)


def test_the_room_grows_by_one_for_as_many_good_calls_as_it_allows() -> None:
    flow = Flow()
    flow.in_flight = 10
    flow.over("refused")
    assert flow.limit == 9.0
    for _ in range(9):
        flow.in_flight = 9
        flow.over("well")
    assert flow.limit == 10.0
    for _ in range(50):
        flow.in_flight = 1  # hardly used: nothing is learned from that
        flow.over("well")
    assert flow.limit == 10.0
