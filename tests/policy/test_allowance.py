"""What a target in trouble is asked at most."""

from __future__ import annotations

from hypothesis import given, strategies as st

from llm_edge.policy.allowance import Allowance

STEPS = st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["call", "draw", "take"])), max_size=200)


@given(STEPS)
def test_in_any_ten_seconds_no_more_is_drawn_than_a_share_of_the_calls_and_a_little(
    steps: list[tuple[float, str]],
) -> None:
    allowance, now = Allowance(share=0.2, floor=0.3, ttl=10.0), 0.0
    calls, drawn = list[float](), list[float]()
    for seconds, act in steps:
        now += seconds
        if act == "call":
            allowance.call(now)
            calls.append(now)
        elif act == "take":
            allowance.take(now)
            drawn.append(now)
        elif allowance.draw(now):
            drawn.append(now)
            assert (
                len([at for at in drawn if at > now - 9.0]) <= 0.2 * len([at for at in calls if at > now - 10.001]) + 3
            )


def test_a_target_that_fails_for_a_minute_is_not_asked_many_times_over() -> None:
    allowance, attempts = Allowance(), 0
    for number in range(60_000):
        now = number / 1000
        allowance.call(now)
        attempts += 1
        while attempts and allowance.draw(now):
            attempts += 1
    assert attempts <= 1.2 * 60_000 + 3 * 60 + 30


def test_a_rest_gives_it_all_back() -> None:
    allowance = Allowance(share=0.0, floor=0.2, ttl=10.0)
    assert [allowance.draw(0.0) for _ in range(3)] == [True, True, False]
    assert [allowance.draw(10.0) for _ in range(3)] == [True, True, False]


def test_what_was_sent_anyway_leaves_less_for_others() -> None:
    allowance = Allowance(share=0.0, floor=0.3, ttl=10.0)
    allowance.take(0.0)
    assert [allowance.draw(0.0) for _ in range(3)] == [True, True, False]
