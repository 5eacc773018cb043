"""Keys take turns, and those set aside come last."""

from __future__ import annotations

from hypothesis import given, strategies as st

from llm_edge.policy.keyring import Keyring


def nobody_waits(key: int) -> float:
    return 0.0


def test_keys_take_turns() -> None:
    ring = Keyring(3)
    assert [list(ring.order("m", 0.0, nobody_waits)) for _ in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]


def test_a_key_that_was_set_aside_is_used_last_until_its_time_is_over() -> None:
    ring = Keyring(3)
    ring.set_aside(1, 0.0, 10.0)
    assert [ring.order("m", 5.0, nobody_waits)[-1] for _ in range(3)] == [1, 1, 1]
    assert ring.back_in(1, "m", 5.0) == 5.0
    assert [ring.order("m", 10.0, nobody_waits)[0] for _ in range(3)] == [0, 1, 2]


def test_a_key_may_be_set_aside_for_one_model() -> None:
    ring = Keyring(2)
    ring.set_aside(0, 0.0, 10.0, model="a")
    assert [ring.order(model, 1.0, nobody_waits)[0] for model in ("a", "a", "b", "b")] == [1, 1, 0, 1]


def test_a_key_that_is_accepted_again_is_welcome() -> None:
    ring = Keyring(2)
    ring.set_aside(0, 0.0, 10.0)
    ring.welcome(0, "m")
    assert ring.back_in(0, "m", 1.0) == 0.0


def test_of_keys_whose_gates_are_closed_the_one_that_opens_first_is_first() -> None:
    ring = Keyring(3)
    waits = {0: 5.0, 1: 0.0, 2: 1.0}
    assert [list(ring.order("m", 0.0, waits.__getitem__)) for _ in range(3)] == [[1, 2, 0]] * 3


@given(
    st.integers(1, 8), st.lists(st.tuples(st.integers(0, 7), st.floats(0, 10), st.sampled_from(["", "m"])), max_size=40)
)
def test_every_key_is_in_every_order_once(count: int, steps: list[tuple[int, float, str]]) -> None:
    ring, now = Keyring(count), 0.0
    for key, pause, model in steps:
        now += pause
        ring.set_aside(key % count, now, 3.0, model=model)
        assert sorted(ring.order("m", now, nobody_waits)) == list(range(count))
    for number in range(2000):
        ring.set_aside(0, float(number), 1.0, model=str(number))
    assert len(ring._out) <= 1001  # pyright: ignore[reportPrivateUsage]  # there is no other way to see it
