"""The bucket: never more than its size and pace, never less than it promised."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from llm_edge.policy.bucket import Bucket

RATES = st.sampled_from([0.1, 1.0, 7.5, 10.0, 1000.0])
GAPS = st.lists(st.floats(0, 3), min_size=1, max_size=60)


@given(RATES, st.integers(1, 20), GAPS, st.floats(0, 2))
def test_no_window_holds_more_than_size_and_rate_allow(
    rate: float, size: int, gaps: list[float], patience: float
) -> None:
    bucket, now, used = Bucket(rate=rate, size=size), 0.0, list[float]()
    for gap in gaps:
        now += gap
        wait = bucket.reserve(1, now, patience=patience)
        if wait <= patience:
            used.append(now + wait)
    used.sort()
    for first, begin in enumerate(used):
        for last in range(first, len(used)):
            window = used[last] - begin
            assert last - first + 1 <= size + rate * window + 1e-6


@given(RATES, st.integers(1, 20), GAPS)
def test_a_refusal_consumes_nothing(rate: float, size: int, gaps: list[float]) -> None:
    asked, spared, now = Bucket(rate=rate, size=size), Bucket(rate=rate, size=size), 0.0
    for gap in gaps:
        now += gap
        first = asked.reserve(1, now)
        if first > 0:
            assert [asked.reserve(1, now) for _ in range(5)] == [first] * 5
        assert spared.reserve(1, now) == first


@given(RATES, st.integers(1, 20), st.integers(0, 60), st.floats(0, 100))
def test_the_wait_is_exact(rate: float, size: int, taken: int, now: float) -> None:
    bucket = Bucket(rate=rate, size=size)
    for _ in range(taken):
        bucket.reserve(1, now)
    wait = bucket.reserve(1, now)
    assert wait == pytest.approx(max(0, 1 / rate) if taken >= size else 0.0, abs=1e-6)
    if wait > 1e-6:
        assert bucket.reserve(1, now + wait * 0.99) > 0
        assert bucket.reserve(1, now + wait) == 0.0


def test_those_who_wait_are_served_one_after_the_other() -> None:
    bucket = Bucket(rate=2.0, size=1)
    assert [bucket.reserve(1, 0.0, patience=1.5) for _ in range(6)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]


def test_a_rest_fills_it_and_no_more() -> None:
    bucket = Bucket(rate=1.0, size=3)
    assert [bucket.reserve(1, 1000.0) for _ in range(4)] == [0.0, 0.0, 0.0, 1.0]


def test_ten_at_ten_a_second_lets_nineteen_through_in_one() -> None:
    # The window rule, in numbers: a burst, and the pace meanwhile.
    bucket, passed = Bucket(rate=10.0, size=10), 0
    for tick in range(1000):
        passed += bucket.reserve(1, tick / 1000) == 0.0
    assert passed == 19
