"""How long a kept answer is good."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import (
    BadAnswer,
    BadRequest,
    CallError,
    CertificateRefused,
    CircuitOpen,
    NetworkFailed,
    Overloaded,
    RateLimited,
    Throttled,
    Unauthorized,
)
from llm_edge.policy.freshness import SPREAD, excused, spread, verdict

SECONDS = st.floats(0.001, 1e6)
CHANCE = st.floats(0, 1, exclude_max=True)


@given(SECONDS, CHANCE)
def test_a_time_to_live_is_never_longer_and_at_most_a_tenth_shorter(ttl: float, chance: float) -> None:
    assert ttl * (1 - SPREAD) <= spread(ttl, chance) <= ttl


@given(SECONDS, st.floats(0, 100), CHANCE, st.floats(0, 1e6))
def test_before_its_end_an_answer_is_never_stale_and_after_it_never_fresh(
    left: float, took: float, chance: float, stale: float
) -> None:
    assert verdict(left, took, chance, stale=stale) in {"fresh", "early"}
    assert verdict(0.0, took, chance, stale=stale) == ("stale" if stale else "old")
    assert verdict(-left, took, chance, stale=stale) == ("stale" if left < stale else "old")


def test_the_nearer_the_end_and_the_longer_it_took_the_likelier_it_is_renewed() -> None:
    chances = [number / 1000 for number in range(1000)]

    def renewed(left: float, took: float) -> int:
        return sum(verdict(left, took, chance) == "early" for chance in chances)

    assert renewed(10, 0) == renewed(100, 2) == 0
    assert 0 < renewed(10, 2) < renewed(4, 2) < renewed(1, 2) < 1000
    assert renewed(4, 1) < renewed(4, 2) < renewed(4, 4)


def test_of_many_askers_in_the_last_moments_about_one_renews() -> None:
    # XFetch: the chance at `left` seconds is e^(-left / took).
    assert [verdict(2.0, 2.0, chance) for chance in (0.62, 0.64)] == ["fresh", "early"]


@pytest.mark.parametrize(
    "error", [NetworkFailed("no", kind="ConnectError"), NetworkFailed("late", kind="ReadTimeout"), Overloaded("no"),
              CircuitOpen("open"), BadAnswer("html")],
)  # fmt: skip
def test_where_nobody_answered_a_stale_answer_is_better_than_none(error: CallError) -> None:
    assert excused(error)


@pytest.mark.parametrize(
    "error",
    [BadRequest("no"), Unauthorized("no"), Throttled("wait"), RateLimited("wait"), CertificateRefused("no")],
)
def test_a_refusal_is_an_answer(error: CallError) -> None:
    assert not excused(error)
