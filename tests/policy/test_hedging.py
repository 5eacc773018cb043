"""When a second ask is made, and how few there are."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from llm_edge.policy.hedging import Hedge, Spare


@pytest.mark.parametrize(
    ("rule", "usually", "wait"),
    [
        (Hedge(enabled=True), 1.5, 1.5),
        (Hedge(enabled=True), 0.01, 0.05),
        (Hedge(enabled=True), None, None),
        (Hedge(), 1.5, None),
    ],
)
def test_a_second_ask_comes_when_the_usual_time_is_over(rule: Hedge, usually: float | None, wait: float | None) -> None:
    assert rule.wait(usually) == wait


@given(st.lists(st.sampled_from(["call", "draw"]), max_size=500), st.floats(0, 1))
def test_no_more_than_its_share_is_ever_asked_twice(acts: list[str], share: float) -> None:
    spare, calls, drawn = Spare(share), 0, 0
    for act in acts:
        if act == "call":
            spare.call()
            calls += 1
        elif spare.draw():
            drawn += 1
        assert drawn <= share * calls + 1e-6


def test_one_in_twenty_is_one_in_twenty() -> None:
    spare = Spare(0.05)
    drawn = 0
    for _ in range(1000):
        spare.call()
        drawn += spare.draw()
    assert drawn == 50
