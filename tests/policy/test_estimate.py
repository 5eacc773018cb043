"""Tokens guessed before a call, and read from what the provider says after it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge.policy.estimate import MEDIA, OUTPUT, Guess, Lessons, guess, used

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


def test_a_text_is_about_a_token_for_four_characters() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 4000}], "max_tokens": 50}
    found = guess(body, output=1000)
    assert 1000 <= found.prompt <= 1010
    assert (found.output, found.total) == (50, found.prompt + 50)


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, 1000),
        ({"max_completion_tokens": 5}, 5),
        ({"max_output_tokens": 6}, 6),
        ({"max_tokens": 5, "n": 3}, 15),
        ({"generationConfig": {"maxOutputTokens": 7}}, 7),
        ({"generationConfig": {"maxOutputTokens": 7, "candidateCount": 2}}, 14),
        ({"inferenceConfig": {"maxTokens": 8}}, 8),
        ({"max_tokens": 5, "n": 2, "best_of": 4}, 20),
        ({"max_tokens": "many", "n": True}, 1000),
        ({"max_tokens": -5, "n": -5}, 1000),
        ({"max_tokens": 10**30}, 10**8),
    ],
)
def test_every_dialect_says_in_its_own_words_how_long_an_answer_may_be(fields: dict[str, Any], output: int) -> None:
    assert guess({"messages": [], **fields}, output=1000).output == output


def test_embeddings_have_no_answer_to_count() -> None:
    assert guess({"input": ["a" * 400, "b" * 400]}, output=1000, embeddings=True).total in range(195, 210)
    assert guess({"input": [[1, 2, 3], [4, 5, 6]]}, output=1000, embeddings=True).prompt in range(6, 9)


def test_a_picture_counts_the_same_however_large() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}}
    assert guess({"messages": [{"content": [part]}]}, output=0).prompt in range(MEDIA, MEDIA + 20)
    google = {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "A" * 10**6}}]}]}
    assert guess(google, output=0).prompt in range(MEDIA, MEDIA + 20)


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=5))
def test_no_body_does_harm(body: dict[str, Any]) -> None:
    found = guess(body, output=10)
    assert 0 < found.prompt <= 10**8
    assert 0 <= found.output <= 10**8


def test_a_deep_body_does_no_harm() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert guess({"messages": deep}, output=10).prompt >= 1


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, None),
        ({}, None),
        ({"total_tokens": 9}, 9),
        ({"prompt_tokens": 4, "completion_tokens": 3}, 7),
        ({"total_tokens": -1}, 0),
        ({"total_tokens": 10**18}, 10**8),
        ({"total_tokens": float("nan")}, None),
        ({"total_tokens": True, "prompt_tokens": 2}, 2),
    ],
)
def test_absurd_usage_is_held_in_bounds(usage: dict[str, Any] | None, tokens: int | None) -> None:
    assert used(usage) == tokens


# ---------------------------------------------------------------- letters


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 200, 240),
        ("Zażółć gęślą jaźń. Portez ce vieux whisky au juge blond qui fume. " * 10, 160, 300),
        ("Съешь же ещё этих мягких французских булок, да выпей чаю. " * 10, 180, 400),
        ("いろはにほへとちりぬるを色は匂へど散りぬるを" * 10, 200, 350),
        ("敏捷的棕色狐狸跳过了懒狗" * 20, 220, 340),
    ],
)
def test_letters_beyond_ascii_weigh_more(text: str, least: int, most: int) -> None:
    assert least <= guess({"content": text}, output=0).prompt <= most


def test_a_long_text_is_weighed_by_its_beginning() -> None:
    assert guess({"content": "é" + "a" * 10**7}, output=0).prompt == pytest.approx(10**7 / 4, rel=0.01)


# ---------------------------------------------------------------- lessons


def said(prompt: int, completion: int = 1, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


@given(guessed=st.integers(1, 10**6), share=st.floats(0.2, 5.0))
def test_guesses_come_near_what_calls_really_use(guessed: int, share: float) -> None:
    lessons, real, call = Lessons(), max(round(guessed * share), 1), Guess(guessed, 5)
    assert lessons.better("m", call) == call
    for _ in range(30):
        lessons.learn("m", call, said(real))
    assert abs(lessons.better("m", call).prompt - real) <= max(real * 0.02, 1) or real < 10
    assert lessons.better("other", call) == call


@given(
    first=st.floats(0.2, 5.0), then=st.floats(0.2, 5.0), noise=st.lists(st.floats(0.8, 1.25), min_size=40, max_size=40)
)
def test_they_follow_a_model_that_changes_and_settle_among_its_calls(
    first: float, then: float, noise: list[float]
) -> None:
    lessons, call = Lessons(), Guess(1000, 5)
    for _ in range(20):
        lessons.learn("m", call, said(round(1000 * first)))
    for each in noise:
        lessons.learn("m", call, said(round(1000 * then * each)))
    assert 0.79 * then * 1000 <= lessons.better("m", call).prompt <= 1.26 * then * 1000


@given(answers=st.lists(st.integers(1, 10**5), max_size=40), choices=st.integers(1, 4))
def test_answers_without_a_bound_are_taken_to_be_as_long_as_most_were(answers: list[int], choices: int) -> None:
    lessons, call = Lessons(), Guess(10, OUTPUT * choices, False, choices)
    for answer in answers:
        lessons.learn("m", call, said(10, answer * choices))
    found = lessons.better("m", call).output
    if len(answers) < 8:
        assert found == OUTPUT * choices
    else:
        assert min(answers) * choices <= found + 4 * choices
        assert found <= choices * (3 * max(answers) + 1)


def test_answers_that_are_all_alike_are_known_exactly_and_a_bound_of_the_calls_own_stands() -> None:
    lessons, open_call, bound = Lessons(), Guess(10, OUTPUT, False), Guess(10, 50)
    for _ in range(20):
        lessons.learn("m", open_call, said(10, 300))
        lessons.learn("m", bound, said(10, 7))
    assert lessons.better("m", open_call).output == 300
    assert lessons.better("m", bound).output == 50


@given(
    st.lists(
        st.tuples(
            st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18),
            st.none() | st.booleans() | st.floats() | st.integers(-(10**30), 10**30),
        )
    )
)  # fmt: skip
def test_no_usage_does_harm(usages: list[tuple[int, int, Any]]) -> None:
    lessons, call = Lessons(), Guess(100, OUTPUT, False)
    for prompt, completion, odd in usages:
        lessons.learn("m", call, said(prompt, completion))
        lessons.learn("m", call, {"prompt_tokens": odd, "completion_tokens": odd})
    found = lessons.better("m", call)
    assert 10 <= found.prompt <= 1000
    assert 1 <= found.output <= 10**8


def test_what_is_itself_a_guess_teaches_nothing() -> None:
    lessons, call = Lessons(), Guess(100, 5)
    lessons.learn("m", call, None)
    lessons.learn("m", call, said(900, estimated=True))
    assert lessons.better("m", call) == call


def test_memory_does_not_grow_with_models() -> None:
    lessons = Lessons()
    for number in range(10_000):
        lessons.learn(str(number), Guess(1, 1, False), said(1))
    assert len(lessons._shares) <= 4096
    assert len(lessons._answers) <= 4096


def test_a_sample_that_can_be_counted_tells_what_the_whole_is_like() -> None:
    body = {"messages": [{"content": "word " * 10_000}]}
    by_characters = guess(body).prompt
    assert Lessons(lambda model, text: len(text) // 8).guess(body, "m").prompt == pytest.approx(
        by_characters / 2, rel=0.01
    )
    assert Lessons(lambda model, text: None).guess(body, "m").prompt == by_characters
    assert Lessons(lambda model, text: 1 // 0).guess({}, "m").prompt == 1
