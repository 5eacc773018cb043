"""Each strategy by what it promises, and all of them: nobody is lost, and one draw gives one order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge.policy.routing import STRATEGIES, Candidate, Question, arranged

FACTS = st.builds(
    dict,
    weight=st.floats(0, 10),
    ready=st.booleans(),
    in_flight=st.integers(0, 100),
    latency=st.none() | st.floats(0.001, 60),
    room=st.none() | st.floats(0, 1),
    load=st.floats(0, 1e6),
    cost=st.none() | st.floats(0, 1),
)


def some(*facts: dict[str, Any]) -> list[Candidate]:
    return [Candidate(number=number, name=f"p/{number}", **each) for number, each in enumerate(facts)]


def question(seed: int = 1, **given: Any) -> Question:
    return Question(chance=random.Random(seed).random, **given)


def numbers(candidates: Sequence[Candidate]) -> list[int]:
    return [each.number for each in candidates]


def order(name: str, *facts: dict[str, Any], **given: Any) -> list[int]:
    return numbers(arranged(name, question(**given), some(*facts)))


@given(st.sampled_from(sorted(set(STRATEGIES) - {"shadow"})), st.lists(FACTS, min_size=1, max_size=6), st.integers())
def test_every_strategy_asks_each_target_once_and_the_ready_ones_first(
    name: str, facts: list[dict[str, Any]], seed: int
) -> None:
    candidates = some(*facts)
    ordered = arranged(name, question(seed, turn=abs(seed)), candidates)
    assert sorted(numbers(ordered)) == list(range(len(candidates)))
    if name != "failover":
        ready = [each.ready for each in ordered]
        assert ready == sorted(ready, reverse=True)


@given(st.sampled_from(sorted(STRATEGIES)), st.lists(FACTS, min_size=1, max_size=6), st.integers())
def test_the_same_draw_gives_the_same_order(name: str, facts: list[dict[str, Any]], seed: int) -> None:
    assert order(name, *facts, seed=seed) == order(name, *facts, seed=seed)


def test_failover_asks_as_configured_whatever_their_state() -> None:
    assert order("failover", {"ready": False}, {}, {}) == [0, 1, 2]


def test_round_robin_gives_each_its_turn() -> None:
    assert [order("round-robin", {}, {}, {}, turn=turn) for turn in range(4)] == [
        [0, 1, 2],
        [1, 2, 0],
        [2, 0, 1],
        [0, 1, 2],
    ]


def shares(ask: Callable[[int], int], calls: int = 4000) -> Counter[int]:
    return Counter(ask(number) for number in range(calls))


def test_weights_are_kept_and_a_target_of_weight_nothing_comes_last() -> None:
    asked = question(7)
    candidates = some({"weight": 3.0}, {"weight": 1.0}, {"weight": 0.0})
    first = shares(lambda number: arranged("weighted", asked, candidates)[0].number)
    assert first[2] == 0
    assert abs(first[0] - 3000) < 150


def test_the_least_busy_is_asked_by_its_weight() -> None:
    assert order("least-busy", {"in_flight": 3}, {"in_flight": 2}, {"in_flight": 4, "weight": 4.0}) == [2, 1, 0]
    assert [order("least-busy", {}, {}, turn=turn)[0] for turn in range(4)] == [0, 1, 0, 1]


def test_the_quickest_is_asked_and_an_unknown_one_becomes_known() -> None:
    assert order("least-latency", {"latency": 0.3}, {"latency": 0.1}, {}) == [2, 1, 0]


def test_of_two_the_one_with_less_to_do_is_asked() -> None:
    slow, quick = {"latency": 1.0}, {"latency": 0.1}
    assert order("p2c", slow, quick) == [1, 0]
    assert order("p2c", {**slow, "in_flight": 1}, {**quick, "in_flight": 30}) == [0, 1]


def test_the_power_of_two_choices_never_asks_the_worst_and_not_always_the_best() -> None:
    asked = question(3)
    candidates = some({"latency": 0.1}, {"latency": 0.2}, {"latency": 0.3})
    first = shares(lambda number: arranged("p2c", asked, candidates)[0].number)
    assert set(first) == {0, 1}
    assert abs(first[0] - 4000 * 2 / 3) < 150


def test_the_cheapest_is_asked_and_an_unknown_price_comes_last() -> None:
    assert order("cost", {}, {"cost": 0.2}, {"cost": 0.1}) == [2, 1, 0]


def test_the_one_with_most_room_is_asked_and_of_equals_the_one_that_did_less() -> None:
    assert order("usage", {"room": 0.1}, {"room": 0.9}, {"room": 0.5}) == [1, 2, 0]
    assert order("usage", {"load": 50.0}, {"load": 90.0, "weight": 3.0}) == [1, 0]


def test_a_conversation_stays_where_it_is() -> None:
    candidates = some({}, {}, {})
    for number in range(50):
        word = str(number).encode()
        ordered = numbers(arranged("sticky", question(conversation=lambda word=word: word), candidates))
        assert numbers(arranged("sticky", question(9, conversation=lambda word=word: word), candidates)) == ordered
        # One that goes moves only its own conversations.
        left = [each for each in candidates if each.number != ordered[1]]
        assert arranged("sticky", question(conversation=lambda word=word: word), left)[0].number == ordered[0]


def test_conversations_spread_by_weight() -> None:
    candidates = some({"weight": 3.0}, {"weight": 1.0})

    def first(number: int) -> int:
        return arranged("sticky", question(conversation=lambda: str(number).encode()), candidates)[0].number

    assert abs(shares(first)[0] - 3000) < 150


@pytest.mark.parametrize(
    ("difficulty", "asked"),
    [(0.0, [0, 1, 2]), (0.25, [1, 2, 0]), (0.5, [1, 2, 0]), (0.75, [2, 1, 0]), (1.0, [2, 1, 0])],
)
def test_easy_questions_go_to_the_first_and_hard_ones_to_the_last(difficulty: float, asked: list[int]) -> None:
    assert order("semantic", {}, {}, {}, difficulty=lambda: difficulty) == asked


def test_behind_a_shadow_only_the_first_answers() -> None:
    assert order("shadow", {}, {}) == [0]


def test_one_alone_is_asked_without_any_choosing() -> None:
    turns = count()
    asked = Question(chance=lambda: next(turns))
    assert numbers(arranged("weighted", asked, some({}))) == [0]
    assert next(turns) == 0
