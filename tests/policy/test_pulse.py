"""What is remembered of how a target is doing."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from llm_edge.policy.pulse import FADES, Latency, Pulse

TIMES = st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 100)), min_size=1, max_size=50)


@given(TIMES)
def test_a_latency_lies_between_the_last_and_the_slowest(times: list[tuple[float, float]]) -> None:
    latency, now = Latency(), 0.0
    for passed, seconds in times:
        now += passed
        latency.saw(now, seconds)
        value = latency.now(now)
        assert value is not None
        assert seconds - 1e-9 <= value <= max(each for _, each in times) + 1e-9


def test_a_slow_answer_counts_at_once_and_quick_ones_slowly() -> None:
    latency = Latency()
    latency.saw(0.0, 0.1)
    latency.saw(1.0, 5.0)
    assert latency.now(1.0) == 5.0
    latency.saw(2.0, 0.1)
    assert latency.now(2.0) == pytest.approx(0.1 + 4.9 * 0.967, rel=0.01)


def test_left_alone_it_fades_so_that_a_slow_target_is_asked_again() -> None:
    latency = Latency()
    assert latency.now(0.0) is None
    latency.saw(0.0, 9.0)
    later = latency.now(5 * FADES)
    assert later is not None
    assert later < 0.1


def test_what_is_usual_is_known_after_some_answers() -> None:
    latency = Latency()
    for number in range(19):
        latency.saw(float(number), 1.0)
    assert latency.usually_within(0.95) is None
    latency.saw(20.0, 8.0)
    assert latency.usually_within(0.95) == 1.0
    assert latency.usually_within(1.0) == 8.0


def test_whole_answers_and_streams_are_kept_apart() -> None:
    pulse = Pulse()
    pulse.latency(True).saw(0.0, 1.0)
    assert (pulse.latency(True).now(0.0), pulse.latency(False).now(0.0)) == (1.0, None)


def test_the_work_of_the_last_minute_counts() -> None:
    pulse = Pulse()
    for second in range(0, 120, 5):
        pulse.did(float(second), 2.0)
    assert pulse.load(119.0) == 24.0
    assert pulse.load(179.0) == 0.0
