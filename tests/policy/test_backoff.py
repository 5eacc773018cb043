"""How long to wait before trying again."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from llm_edge.policy.backoff import LONGEST_ASKED, full_jitter, wait_before_retry

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), CHANCE, st.floats(0.001, 10), st.floats(0.001, 100))
def test_the_wait_stays_under_its_doubling_ceiling(attempt: int, chance: float, base: float, cap: float) -> None:
    wait = full_jitter(attempt, chance, base=base, cap=cap)
    assert 0 <= wait <= cap
    assert wait <= base * 2.0 ** min(attempt - 1, 60)


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    assert [full_jitter(attempt, 0.5, base=0.2, cap=1.0) for attempt in range(1, 6)] == pytest.approx(
        [0.1, 0.2, 0.4, 0.5, 0.5]
    )


@given(st.floats(0, 8), st.none() | st.floats(0, 300), st.none() | st.floats(-1, 300))
def test_a_wait_is_never_shorter_than_asked_nor_longer_than_there_is_time(
    jitter: float, asked: float | None, left: float | None
) -> None:
    wait = wait_before_retry(jitter, asked, left)
    if wait is None:
        too_long = asked is not None and asked > LONGEST_ASKED
        assert too_long or (left is not None and max(jitter, asked or 0.0) + 0.05 > left)
    else:
        assert wait == max(jitter, asked or 0.0)
        assert left is None or wait + 0.05 <= left
