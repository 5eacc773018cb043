"""Who waits, and who is next."""

from __future__ import annotations

from hypothesis import given, strategies as st

from llm_edge.policy.line import Line, Ticket
from llm_edge.policy.rows import Row

A, B = (Row(key=key, kind="places", unit="places", limit=1) for key in "ab")


def test_who_came_first_is_woken_first_and_the_rest_give_way() -> None:
    line, woken = Line(), list[str]()
    first, second, third = (line.ticket() for _ in range(3))
    for name, ticket in [("second", second), ("first", first), ("third", third)]:
        line.wait_at(ticket, "a", lambda name=name: woken.append(name))  # type: ignore[misc]  # a default binds it now
    assert [line.gives_way(ticket, [(A, 1)]) for ticket in (first, second, third)] == [None, "a", "a"]
    assert line.gives_way(third, [(B, 1)]) is None
    line.room([(A, 1)])
    line.leave(first)
    line.leave(second)
    assert woken == ["first", "second", "third"]
    line.leave(third)
    line.leave(third)
    assert line.empty


def test_a_higher_priority_goes_first() -> None:
    line = Line()
    low, high = line.ticket(), line.ticket(5)
    line.wait_at(low, "a", lambda: None)
    assert line.gives_way(high, [(A, 1)]) is None
    line.wait_at(high, "a", lambda: None)
    assert line.gives_way(low, [(A, 1)]) == "a"


def test_whoever_moves_to_another_row_lets_the_next_one_ask() -> None:
    line, woken = Line(), list[str]()
    first, second = line.ticket(), line.ticket()
    line.wait_at(first, "a", lambda: None)
    line.wait_at(second, "a", lambda: woken.append("second"))
    line.wait_at(first, "b", lambda: None)
    assert woken == ["second"]
    assert line.gives_way(second, [(A, 1)]) is None
    assert line.gives_way(second, [(A, 1), (B, 1)]) == "b"


def test_a_forked_child_has_nobody_waiting() -> None:
    line = Line()
    ticket = line.ticket()
    line.wait_at(ticket, "a", lambda: None)
    line.clear()
    line.leave(ticket)
    assert line.empty


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab"), st.integers(-1, 1)), min_size=1, max_size=30))
def test_of_those_who_wait_there_is_always_one_who_gives_way_to_nobody(steps: list[tuple[int, str, int]]) -> None:
    line, waiting = Line(), dict[int, Ticket]()
    for who, key, priority in steps:
        ticket = waiting.setdefault(who, line.ticket(priority))
        line.wait_at(ticket, key, lambda: None)
        free = [ticket for ticket in waiting.values() if line.gives_way(ticket, [(A, 1), (B, 1)]) is None]
        assert [ticket.order for ticket in free] == [min(ticket.order for ticket in waiting.values())]
